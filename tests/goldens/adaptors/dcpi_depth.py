"""``dcpi-depth``: encoder and decoder, the pose network, RAFT under the authors' keys; losses and metrics are next door."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from restorekit.layers.geometry import pose_matrix
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig
from restorekit.methods.dcpi_depth.decoder import DepthDecoder
from restorekit.methods.dcpi_depth.fitting import depth_of
from restorekit.methods.dcpi_depth.flow import Flow, torchvision_keys
from restorekit.methods.dcpi_depth.pose import ResNetPose
from tests.goldens.adaptor import Case, NotBuiltError, Value
from tests.goldens.adaptors import dcpi_depth_losses
from tests.goldens.golden import Golden

MODELS = ("dcpi-depth",)

AUTHORS_DECODER = "RESTOREKIT_DCPI_DEPTH_PTH"
"""The environment variable that may name the authors' ``depth.pth``, whose numbers one golden has."""

Inputs = Mapping[str, Tensor]


def adapt(golden: Golden) -> Case:
    if golden.config.get("part") in dcpi_depth_losses.PARTS:
        return dcpi_depth_losses.adapt(golden)
    names = golden.inputs.keys()
    if names == {"image"}:
        return _depth(golden.config)
    if names == {"first", "second"}:
        return _pose(golden.config)
    if names == {"image1", "image2"}:
        return _flow(golden)
    if names == {"feat0", "feat1", "feat2"}:
        return _decoder(golden)
    raise NotBuiltError(f"part with inputs {', '.join(names)}")


def _depth(config: Mapping[str, Any]) -> Case:
    network = METHOD.build(
        DcpiDepthConfig(
            dims=tuple(config["dims"]),
            dilation=tuple(map(tuple, config["dilation"])),
            heads=tuple(config["heads"]),
            expansion=config["expansion"],
            scales=len(config["scales"]),
            min_depth=config["min_depth"],
            max_depth=config["max_depth"],
        )
    )

    def run(inputs: Inputs) -> dict[str, Value]:
        features = network.encoder(inputs["image"])
        disparities = network.decoder(features)
        assert torch.equal(network(inputs["image"]), disparities[0])
        return {
            **{f"feat{i}": feature for i, feature in enumerate(features)},
            **{f"disp{i}": disparity for i, disparity in enumerate(disparities)},
            "depth0": depth_of(disparities[0], config["min_depth"], config["max_depth"]),
        }

    return Case(f"network {config['encoder']}", run, (("encoder/", network.encoder), ("depth/", network.decoder)))


def _pose(config: Mapping[str, Any]) -> Case:
    if (config["resnet"], config["num_input_images"]) != (18, 2):
        raise NotBuiltError(f"pose network on {config['num_input_images']} images and ResNet-{config['resnet']}")
    network = ResNetPose()

    def run(inputs: Inputs) -> dict[str, Value]:
        features = network.encoder(inputs["first"], inputs["second"])
        motions = 1000 * network.decoder(features).unsqueeze(2)
        motion = network(inputs["first"], inputs["second"])
        identity = torch.eye(4, dtype=motion.dtype)
        forth, back = (pose_matrix(motion[:, :3], motion[:, 3:], invert) for invert in (False, True))
        return {
            "feat_last": features,
            "axisangle_x1000": motions[..., :3],
            "translation_x1000": motions[..., 3:],
            "T_plus_minus_identity_x1000": 1000 * (forth - identity),
            "T_minus_minus_identity_x1000": 1000 * (back - identity),
        }

    return Case("pose network", run, (("pose_encoder/", network.encoder), ("pose/", network.decoder)))


def _flow(golden: Golden) -> Case:
    network = Flow(
        "large" if "update_block.mask.0.weight" in golden.state_dict else "small", golden.config["iters"], trained=False
    )
    steps: list[Tensor] = []
    network.raft.update_block.register_forward_hook(lambda _, __, answer: steps.append(answer[1]))

    def run(inputs: Inputs) -> dict[str, Value]:
        flow = network(inputs["image1"] / 255, inputs["image2"] / 255)
        return {"flow_up": flow, "flow_low": torch.stack(steps).sum(0)}

    return Case("RAFT", run, (("", network.raft),), convert=torchvision_keys)


def _decoder(golden: Golden) -> Case:
    one, two, three = golden.config["num_ch_enc"]
    decoder = DepthDecoder((one, two, three), len(golden.config["scales"]))
    path = os.environ.get(AUTHORS_DECODER)

    def run(inputs: Inputs) -> dict[str, Value]:
        if path is None:
            return {}
        data = Path(path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == golden.config["sha256_of_depth_pth"], f"{path} is another file"
        decoder.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        disparities = decoder((inputs["feat0"], inputs["feat1"], inputs["feat2"]))
        return {f"disp{i}": disparity for i, disparity in enumerate(disparities)}

    if path is None:
        title = f"decoder, keys and shapes alone (its numbers need the authors' depth.pth in ${AUTHORS_DECODER})"
        return Case(title, run, (("", decoder),), optional=frozenset(golden.outputs))
    return Case("decoder with the authors' weights", run, (("", decoder),))
