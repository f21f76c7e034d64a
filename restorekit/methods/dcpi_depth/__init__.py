"""DCPI-Depth: depth from one photograph, by a network that learnt from video alone (IEEE TIP 2025)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from restorekit.methods.base import Lesson, Maps, Method, Objective, Paper, Prediction, Tiling
from restorekit.settings import from_table

if TYPE_CHECKING:
    from torch import Tensor

    from restorekit.methods.dcpi_depth.network import DcpiDepth as Network

Three = tuple[int, int, int]


@dataclass(frozen=True)
class DcpiDepthConfig:
    """A depth network, and the networks it is taught with.

    Attributes:
        dims: channels of the encoder's three stages; half as many in the decoder. Multiples of 2 and of ``heads``.
        dilation: of the dilated blocks of each stage; an attention block follows them.
        heads: heads of that block, for each stage.
        expansion: hidden channels of a block's feed-forward part for each of its own.
        scales: disparities the decoder can make, each half as large as the one before; only the first is used outside training.
        min_depth: depth where the disparity is 1, in the network's own unit.
        max_depth: depth where it is 0.
        height: rows of the images it is trained on, a multiple of 32.
        width: their columns.
        keep_aspect: whether a photograph is given to the network in its own aspect, with the area of the training's images;
            else it is squeezed into their shape, as the published scripts do.
        pose: the network that estimates the motion of the camera in training: on ResNet-18 as published, a light one, or none.
        flow: RAFT for optical flow in training, large as published or small; none where flow comes with the data or not at all.
        flow_iterations: its refinements.
        train_flow: whether it learns, as published; else it stays as it is.
    """

    dims: Three = (32, 64, 128)
    dilation: tuple[tuple[int, ...], ...] = ((1, 2, 3), (1, 2, 3), (1, 2, 3, 2, 4, 6))
    heads: Three = (8, 8, 8)
    expansion: int = 6
    scales: int = 3
    min_depth: float = 0.1
    max_depth: float = 80.0
    height: int = 192
    width: int = 640
    keep_aspect: bool = True
    pose: Literal["none", "light", "resnet18"] = "none"
    flow: Literal["none", "small", "large"] = "none"
    flow_iterations: int = 12
    train_flow: bool = False

    def __post_init__(self) -> None:
        for channels, heads in zip(self.dims, self.heads, strict=True):
            if heads < 1 or channels < 2 or channels % 2 or channels % heads:
                raise ValueError(f"dims must be multiples of 2 and of heads, and {channels} with {heads} heads is not")
        if len(self.dilation) != 3 or min(chain((1,), *self.dilation)) < 1:
            raise ValueError("dilation must be three lists of positive numbers")
        if not 1 <= self.scales <= 3:
            raise ValueError("scales must be 1 to 3")
        if self.expansion < 1 or self.flow_iterations < 1:
            raise ValueError("expansion and flow_iterations must be at least 1")
        if not 0 < self.min_depth < self.max_depth:
            raise ValueError("min_depth must be positive and below max_depth")
        if min(self.height, self.width) < 32 or self.height % 32 or self.width % 32:
            raise ValueError("height and width must be multiples of 32")


@dataclass(frozen=True)
class DepthPrediction(Prediction):
    """How far away things are, up to one unknown factor for the whole image.

    Attributes:
        image: ``(B, 3, H, W)``, the disparity as a grey picture: near is bright.
        disparity: ``(B, 1, H, W)``, in (0, 1); ``1 / max_depth + (1 / min_depth - 1 / max_depth) * disparity`` is inverse depth.
        depth: ``(B, 1, H, W)``, ``min_depth`` to ``max_depth``.
    """

    disparity: Tensor
    depth: Tensor


@dataclass(frozen=True)
class PosePrediction:
    """How the camera moved between two frames, in the unit of the depth.

    Attributes:
        axis_angle: ``(B, 3)``, the axis of a rotation times its angle in radians; x is right, y down, z forward.
        translation: ``(B, 3)``.
        matrix: ``(B, 4, 4)``: takes points as the first camera sees them to where the second does.
    """

    axis_angle: Tensor
    translation: Tensor
    matrix: Tensor


def published_dilation(dims: Three, blocks: Three, size: tuple[int, int]) -> tuple[tuple[int, ...], ...]:
    """The dilations Lite-Mono has with these channels, blocks a stage and rows and columns of the training's images.

    Checkpoints do not hold them. 1, 2, 3 repeat over a stage, and the last three of a long one are twice as far. At 320 x 1024
    and 384 x 640 the smaller networks have 5 in place of 3.
    """
    far = 5 if size in ((320, 1024), (384, 640)) and dims != (64, 128, 224) else 3

    def stage(dilated: int) -> tuple[int, ...]:
        near = tuple((1, 2, far)[i % 3] for i in range(dilated))
        return (*near[:-3], 2, 4, 2 * far) if dilated >= 6 else near

    return tuple(stage(count - 1) for count in blocks)


def _published(dims: Three, blocks: Three, size: tuple[int, int], **others: Any) -> DcpiDepthConfig:
    dilation = published_dilation(dims, blocks, size)
    return DcpiDepthConfig(dims, dilation, height=size[0], width=size[1], **others)


_AS_PUBLISHED: dict[str, Any] = {"pose": "resnet18", "flow": "large", "flow_iterations": 24, "train_flow": True}


class DcpiDepth(Method[DcpiDepthConfig]):
    """Depth from one image. Its teachers are the camera's motion and optical flow, which must agree with it on video."""

    name = "dcpi-depth"
    tasks = ("depth",)
    paper = Paper(
        "DCPI-Depth: Explicitly Infusing Dense Correspondence Prior to Unsupervised Monocular Depth Estimation",
        "IEEE TIP",
        2025,
        "https://arxiv.org/abs/2405.16960",
    )
    config_type = DcpiDepthConfig
    parts = {"pose": ("first", "second")}
    views = 2
    alone = ("depth",)
    presets = {
        "compact": DcpiDepthConfig(pose="light"),
        "compact-xs": DcpiDepthConfig((24, 48, 80), ((1, 2), (1, 2), (1, 2, 3)), pose="light"),
        "paper": _published((64, 128, 224), (4, 4, 10), (192, 640), **_AS_PUBLISHED),
        "paper-640x384": _published((48, 80, 128), (4, 4, 10), (384, 640), **_AS_PUBLISHED),
    }

    def build(self, config: DcpiDepthConfig) -> Network:
        """A fresh network. A fresh RAFT knows nothing of flow: give it taught weights, or leave it out."""
        from restorekit.methods.dcpi_depth.network import DcpiDepth as Network

        return Network(config)

    def tiling(self, config: DcpiDepthConfig) -> Tiling:
        """Never cut, as every tile would have a scale of its own.

        The network runs at the size of its training, whatever the image's, so that a large one takes little but its own memory.
        """
        return Tiling(multiple=1, halo=None, overlap=0, minimum=32, bytes_per_pixel=32, whole=True)

    def predict(self, network: Any, image: Tensor, **extras: Tensor) -> Maps:
        """The disparity of ``(B, 3, H, W)``, RGB in [0, 1], any size."""
        from restorekit.methods.dcpi_depth.sizes import estimate

        return {"disparity": estimate(network, image)}

    def own_size(self, config: DcpiDepthConfig, height: int, width: int) -> tuple[int, int]:
        from restorekit.methods.dcpi_depth.fitting import fitted_size

        trained = (config.height, config.width)
        return fitted_size((height, width), trained) if config.keep_aspect else trained

    def finish(self, maps: Maps, config: DcpiDepthConfig) -> DepthPrediction:
        from restorekit.methods.dcpi_depth.fitting import depth_of

        disparity = maps["disparity"]
        depth = depth_of(disparity, config.min_depth, config.max_depth)
        return DepthPrediction(disparity[:, [0, 0, 0]], disparity, depth)

    def predict_pose(self, network: Any, first: Tensor, second: Tensor) -> PosePrediction:
        """How the camera moved between frames ``(B, 3, H, W)`` of one video, in the order of time, RGB in [0, 1].

        Raises:
            UsageError: if the network has no pose network.
        """
        from restorekit.layers.geometry import pose_matrix

        motion = network.motion(first, second)
        axis_angle, translation = motion[:, :3], motion[:, 3:]
        return PosePrediction(axis_angle, translation, pose_matrix(axis_angle, translation))

    def run_part(self, part: str, network: Any, *images: Tensor) -> dict[str, Tensor]:
        """The fields of :class:`PosePrediction` for ``pose``, which takes two frames."""
        if part not in self.parts:
            return super().run_part(part, network, *images)
        pose = self.predict_pose(network, *images)
        return {"axis_angle": pose.axis_angle, "translation": pose.translation, "matrix": pose.matrix}

    def objective(self, config: DcpiDepthConfig, settings: Mapping[str, Any]) -> Objective:
        from restorekit.methods.dcpi_depth.objective import DcpiObjective
        from restorekit.methods.dcpi_depth.settings import DcpiObjectiveSettings

        chosen = from_table(DcpiObjectiveSettings, settings, "[objective]")
        return DcpiObjective(chosen, config.min_depth, config.max_depth)

    def lesson(self, config: DcpiDepthConfig, steps: int, *, fresh: bool, frame: tuple[int, int] = (0, 0)) -> Lesson:
        """On videos, without any depth (the specification's section 9.3).

        Frames are seen in the video's own aspect, if the network keeps it. A network without a pose network gets a light one,
        which has to learn faster than depth, whose weights are taught already. Optical flow is that of the network, or else
        found, and motion from it. The terms that compare with flow alone begin after a fifth of the steps. Found flow is too
        rough for its derivatives to mean anything, so differential property correlation is left out with it.
        """
        height, width = self.own_size(config, *frame) if min(frame) else (config.height, config.width)
        new_pose, found_flow = config.pose == "none", config.flow == "none"
        slower = 0.1 if new_pose else 0.3
        derivatives = {"divergence": 0.0, "own_unit": True} if found_flow else {"divergence_after": 2 * steps // 3}
        return Lesson(
            5e-4 if fresh or new_pose else 1e-4,
            {"dense_after": steps // 5, **derivatives},
            crop=width,
            config={"height": height, "width": width, "pose": "light" if new_pose else config.pose},
            rates={} if fresh else dict.fromkeys(("encoder", "decoder"), slower),
            finds_flow=found_flow,
        )

    def convert_state_dict(self, state: Mapping[str, Any]) -> dict[str, Tensor]:
        """The authors' checkpoints under our keys: ``encoder.pth`` and ``depth.pth``, and with them or not ``pose_encoder.pth``
        and ``pose.pth``, and RAFT's, all in one mapping; our own keys and torchvision's for RAFT stay.

        Entries of theirs that no network has are left out. ``height`` and ``width`` stay, as ``encoder.height`` and
        ``encoder.width``, for :meth:`config_from_state_dict`; networks ignore them when they load.
        """
        from restorekit.methods.dcpi_depth.checkpoint import convert

        return convert(state)

    def config_from_state_dict(self, state: Mapping[str, Tensor]) -> DcpiDepthConfig:
        """The hyper-parameters of the networks whose state dict this is, under our keys or the authors'.

        Dilations follow from channels, blocks and the size of the training, which is 640 x 192 unless ``height`` and ``width``
        say otherwise. Depths are DCPI-Depth's, 0.1 to 80; other networks of this form, such as Lite-Mono's own, reach to 100.
        A large RAFT is taken to learn, as published.

        Raises:
            CheckpointError: if keys are missing that encoder and decoder have, or shapes do not go together.
        """
        from restorekit.methods.dcpi_depth.checkpoint import read_config

        return read_config(state)


METHOD = DcpiDepth()
