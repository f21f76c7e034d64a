"""DCPI-Depth: one photograph in, its disparity out; taught by video alone.

Paper: "DCPI-Depth: Explicitly Infusing Dense Correspondence Prior to Unsupervised Monocular Depth Estimation" (IEEE TIP 2025,
https://arxiv.org/abs/2405.16960). Encoder, decoder and pose network have the authors' keys and shapes behind a prefix each, and
RAFT has torchvision's, for what are separate files there (see :mod:`restorekit.methods.dcpi_depth.checkpoint`).

What differs from the published code, at equal numbers: see :mod:`~restorekit.methods.dcpi_depth.encoder`. Besides, any image size
works, both poses of a triplet come of one pass, and optical flow keeps its normalisation fixed in training.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from restorekit.errors import UsageError
from restorekit.layers import crop_to
from restorekit.layers.geometry import pose_matrix
from restorekit.methods.dcpi_depth import DcpiDepthConfig
from restorekit.methods.dcpi_depth.decoder import DepthDecoder
from restorekit.methods.dcpi_depth.encoder import LiteMono
from restorekit.methods.dcpi_depth.flow import Flow
from restorekit.methods.dcpi_depth.pose import LightPose, ResNetPose
from restorekit.methods.dcpi_depth.sizes import pad_by_edge

MULTIPLE = 16
"""What the encoder halves a size by, four times over."""

LEAST = 32
"""The shortest side the network runs on: smaller maps could not be mirrored outwards."""


class TripletAnswer(NamedTuple):
    """What the networks say of a frame and its two neighbours.

    Attributes:
        disparities: in (0, 1), finest first: ``(B, 1, H, W)``, ``(B, 1, H/2, W/2)``, ``(B, 1, H/4, W/4)``, halves rounded up.
        previous: the pose that takes points of the frame to the previous one's, ``(B, 4, 4)``.
        following: the same for the next frame.
        flow: from the frame to the next one, ``(B, 2, H, W)``, x before y, in pixels; None without a network or images for it.
        flow_back: the way back, without a graph; None unless asked for.
    """

    disparities: tuple[Tensor, ...]
    previous: Tensor
    following: Tensor
    flow: Tensor | None = None
    flow_back: Tensor | None = None


class DcpiDepth(nn.Module):
    """The depth network and, where the configuration has them, the networks it is taught with.

    Its parts, and the beginnings of their keys: ``encoder``, ``decoder``, ``pose`` and ``flow``; the last two may be None.

    Attributes:
        trained_size: rows and columns of the images of its training.
        keep_aspect: whether photographs keep their own aspect.
    """

    def __init__(self, config: DcpiDepthConfig) -> None:
        super().__init__()
        self.trained_size = (config.height, config.width)
        self.keep_aspect = config.keep_aspect
        self.encoder = LiteMono(config.dims, config.dilation, config.heads, config.expansion)
        self.decoder = DepthDecoder(config.dims, config.scales)
        self.pose = _pose(config)
        self.flow = None if config.flow == "none" else Flow(config.flow, config.flow_iterations, config.train_flow)
        self.register_load_state_dict_pre_hook(_leave_out_size)  # type: ignore[no-untyped-call]

    def forward(
        self,
        image: Tensor,
        neighbours: tuple[Tensor, Tensor] | None = None,
        flow_images: tuple[Tensor, Tensor] | None = None,
        backward_flow: bool = False,
    ) -> Tensor | TripletAnswer:
        """The disparity ``(B, 1, H, W)``, in (0, 1), of images ``(B, 3, H, W)``, RGB in [0, 1], any size; or all of a triplet.

        Images are taken as they come: :func:`~restorekit.methods.dcpi_depth.sizes.estimate` brings photographs to the size of the
        training first.

        Args:
            image: the frames whose depth is asked for.
            neighbours: the frames before and after them, in training.
            flow_images: the frame and the next one as optical flow shall see them, without colour jitter.
            backward_flow: estimate the flow back, too.

        Raises:
            UsageError: for neighbours, where the network has no pose network.
        """
        if neighbours is None:
            return self.disparities(image, 1)[0]
        previous, following = neighbours
        before, after = self.motion(torch.cat([previous, image]), torch.cat([image, following])).chunk(2)
        flow, flow_back = self._flows(flow_images, backward_flow)
        return TripletAnswer(
            self.disparities(image),
            pose_matrix(before[:, :3], before[:, 3:], invert=True),
            pose_matrix(after[:, :3], after[:, 3:]),
            flow,
            flow_back,
        )

    def disparities(self, image: Tensor, scales: int | None = None) -> tuple[Tensor, ...]:
        """The ``scales`` finest disparities of ``(B, 3, H, W)``, all by default; see :class:`TripletAnswer`."""
        height, width = image.shape[-2:]
        padded = pad_by_edge(image, MULTIPLE, LEAST)
        found: tuple[Tensor, ...] = self.decoder(self.encoder(padded), scales)
        if padded is image:
            return found
        return tuple(crop_to(x, -(-height // 2**i), -(-width // 2**i)) for i, x in enumerate(found))

    def motion(self, first: Tensor, second: Tensor) -> Tensor:
        """The motion of the camera, ``(B, 6)``, between frames ``(B, 3, H, W)`` in the order of time.

        Axis and angle of a rotation, then a translation; see :class:`~restorekit.methods.dcpi_depth.PosePrediction`.

        Raises:
            UsageError: if there is no pose network.
        """
        if self.pose is None:
            raise UsageError("this DCPI-Depth network estimates no poses", 'Set pose = "light" in [config] and train it')
        motion: Tensor = self.pose(first, second)
        return motion

    def _flows(self, images: tuple[Tensor, Tensor] | None, backward: bool) -> tuple[Tensor | None, Tensor | None]:
        if self.flow is None or images is None:
            return None, None
        frame, following = images
        flow = self.flow(frame, following)
        if not backward:
            return flow, None
        with torch.no_grad():
            return flow, self.flow(following, frame)


def _pose(config: DcpiDepthConfig) -> ResNetPose | LightPose | None:
    if config.pose == "none":
        return None
    return ResNetPose() if config.pose == "resnet18" else LightPose()


def _leave_out_size(module: nn.Module, state: dict[str, Any], prefix: str, *_: object) -> None:
    """The size an encoder was trained at, which the authors' files hold, is the configuration's business."""
    for name in ("height", "width"):
        state.pop(f"{prefix}encoder.{name}", None)
