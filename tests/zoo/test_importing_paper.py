"""Files as the authors save them, at the papers' sizes: what is imported answers as the authors' own networks do.

The goldens tell keys, shapes and answers of the authors' networks; the recipe fills them. Other methods' authors save what
``tests/methods/test_registry.py`` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from restorekit.methods import get_method
from restorekit.zoo import Card, import_checkpoint, load_network
from tests.goldens.adaptor import Value, find_case
from tests.goldens.golden import Golden
from tests.goldens.harness import compare, load_parts
from tests.goldens.recipe import fill, fill_input
from tests.zoo import test_importing as tiny

GOLDENS = Path(__file__).parents[1] / "goldens"
State = dict[str, Tensor]

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


def golden_of(name: str) -> Golden:
    return Golden.load(GOLDENS / f"{name}.json")


def weights_of(golden: Golden, prefix: str = "") -> State:
    """What the authors' network holds under the keys that begin so; the beginning is the golden's and not theirs."""
    keys = {key: key.removeprefix(prefix) for key in golden.state_dict if key.startswith(prefix)}
    return {theirs: torch.from_numpy(fill(theirs, golden.state_dict[key])) for key, theirs in keys.items()}


def inputs_of(golden: Golden) -> list[Tensor]:
    return [torch.from_numpy(fill_input(name, spec.shape, spec.scale, spec.shift)) for name, spec in golden.inputs.items()]


def assert_answers(golden: Golden, **answers: Value) -> None:
    problems = {name: compare(answer, golden.outputs[name], golden.atol)[1] for name, answer in answers.items()}
    assert not any(problems.values()), problems


def imported(folder: Path, files: dict[str, Any], method: str, preset: str) -> tuple[Card, Any]:
    """The card and the network of files that must be those of a preset."""
    for name, content in files.items():
        torch.save(content, folder / name)
    card = import_checkpoint([folder / name for name in files], folder / "mine.toml")
    assert (card.method, card.parsed_config()) == (method, get_method(method).presets[preset])
    return card, load_network(card)


def test_cbsn_from_the_variables_of_its_graph(tmp_path: Path) -> None:
    """The blind answer as well: the centre taps, which it does without, must have been stored."""
    golden = golden_of("cbsn-paper")
    np.savez(tmp_path / "cbsn.npz", **tiny.TestTensorFlow().variables(weights_of(golden)))
    card = import_checkpoint([tmp_path / "cbsn.npz"], tmp_path / "mine.toml")
    assert (card.method, card.parsed_config()) == ("cbsn", get_method("cbsn").presets["paper"])
    network, (x,) = load_network(card), inputs_of(golden)
    assert_answers(golden, unblind=network(x), blind=network(x, blind=True))


@pytest.mark.parametrize(("preset", "output"), [("paper", "output_with_body"), ("published", "output")])
def test_rrformer_from_a_training_without_its_vgg(
    preset: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that was taught counts; one that no gradient ever reached, as in the published code's checkpoints, does not."""
    golden = golden_of("rrformer-paper")
    case = find_case(golden)
    load_parts(golden, case)
    ((_, filled),) = case.parts
    state = filled.state_dict()
    vgg = {key.removeprefix("features."): state.pop(key) for key in list(state) if key.startswith("features.")}
    monkeypatch.setattr("restorekit.methods.rrformer.checkpoint.imagenet_weights", lambda depth: vgg)
    if preset == "published":
        for key, value in state.items():
            if key.startswith("swinir_block.") and value.dim() == 1:
                value.fill_(float(key.endswith("weight")))
    training = {"icnn": state, "opt_g": tiny.optimiser({"step": torch.ones(3)}), "epoch": 60, "iterations": 1000}
    card, network = imported(tmp_path, {"model_latest.pt": training}, "rrformer", preset)
    assert card.training["entry"] == "icnn"
    assert_answers(golden, **{output: network(*inputs_of(golden))})


def test_dcpi_depth_from_the_files_of_its_networks(tmp_path: Path) -> None:
    depth, pose, raft = map(golden_of, ("dcpi-depth-paper", "dcpi-depth-pose", "dcpi-depth-raft"))
    files: dict[str, Any] = {
        "encoder.pth": {**weights_of(depth, "encoder/"), "height": 192, "width": 640, "use_stereo": False},
        "depth.pth": weights_of(depth, "depth/"),
        "pose_encoder.pth": weights_of(pose, "pose_encoder/"),
        "pose.pth": weights_of(pose, "pose/"),
        "flow.pth": {f"module.{key}": value for key, value in weights_of(raft).items()},
    }
    card, network = imported(tmp_path, files, "dcpi-depth", "paper")
    assert card.training["imported"] == list(files)

    (image,) = inputs_of(depth)
    assert_answers(depth, **{f"disp{i}": one for i, one in enumerate(network.decoder(network.encoder(image)))})

    motion = get_method("dcpi-depth").run_part("pose", network, *inputs_of(pose))
    assert_answers(pose, T_plus_minus_identity_x1000=1000 * (motion["matrix"] - torch.eye(4)))

    network.flow.iterations = raft.config["iters"]
    assert_answers(raft, flow_up=network.flow(*(frame / 255 for frame in inputs_of(raft))))
