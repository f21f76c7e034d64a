"""What dense correspondences, optical flow, say about depth and pose: the terms that DCPI-Depth adds.

Source: "DCPI-Depth" (IEEE TIP 2025), the form its scripts call v2. The corrected forms hold for any motion of the camera; the
authors' (``*_parity``) for motion straight ahead, and with their sign. D is depth ``(B, 1, H, W)``, F the flow from frame 0 to
frame 1 ``(B, 2, H, W)``, ``[R | t]`` the pose, ``t_z = -t_3`` how far the camera went ahead, and ``p_c`` a pixel seen from the
principal point. Every mean is over the pixels whose error is below a limit, and 0 if there are none.
"""

from __future__ import annotations

import torch
from torch import Tensor

from restorekit.layers.geometry import (
    derotated_flow,
    divergence,
    gradient,
    lands_inside,
    pixel_grid,
    returns,
    rigid_flow,
    triangulate,
    without_translation,
)

EPS = 1e-5


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean of the values that a mask of their shape keeps; 0, with gradients of 0, if it keeps none."""
    return torch.where(mask, values, 0).sum() / mask.sum().clamp_min(1)


def consistency(depth: Tensor, geometric: Tensor, usable: Tensor, limit: float = 2.0) -> Tensor:
    """Contextual-geometric consistency: the mean of ``r = |D_geo - D| / (D + 1e-5)`` over usable pixels where ``r < limit``.

    D is what the network sees in the image (its context), D_geo what flow and pose say (:func:`triangulate`, or
    :func:`forward_depth` as the authors have it). Gradients reach all three.
    """
    error = (geometric - depth).abs() / (depth + EPS)
    return masked_mean(error, usable & (error.detach() < limit))


def differential_terms(depth: Tensor, flow: Tensor, intrinsics: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """The two sides A, B ``(B, 1, H, W)`` of the differential property, equal where the surface is smooth, in units of depth.

    A flow without rotation, under ``s = R^T t``, is ``F_t = -s_3 e / (D + s_3)``, with ``e = p_c - f s_12 / s_3`` seen from the
    focus of expansion. Its divergence, times ``D + s_3``, gives, with differences that are not halved,

        ``A = (D + s_3) div F_t + 4 s_3``,  ``B = g . (s_3 p_c - f s_12) / (D + s_3)``,

    g being the gradient of D. Nothing is divided by s_3: it holds for sideways motion too.
    """
    forward, moved = derotated_flow(flow, intrinsics, pose), pose[:, :3, :3].mT @ pose[:, :3, 3:]
    along = moved[:, 2:, :, None]
    ahead = depth + along
    from_focus = along * from_principal_point(flow, intrinsics) - _focal(intrinsics) * moved[:, :2, :, None]
    left = ahead * divergence(forward) + 4 * along
    right = (gradient(depth) * from_focus).sum(1, keepdim=True) / ahead.abs().clamp_min(EPS)
    return left, right


def correlation(left: Tensor, right: Tensor, usable: Tensor, limit: float = 0.2) -> Tensor:
    """Differential property correlation: the mean of ``r = |A - B| / |B + 1e-5|`` over usable pixels where ``r < limit``."""
    error = (left - right).abs() / (right + EPS).abs()
    return masked_mean(error, usable & (error.detach() < limit))


def adjustment(flow: Tensor, rigid: Tensor, limit: float = 0.5) -> Tensor:
    """Stream co-adjustment, the flow's side: the mean of ``r = |F - F_rig| / |F + 1e-5|`` over components where ``r < limit``.

    The rigid flow is detached, so only a flow network learns from it; :func:`consistency` and :func:`correlation` are the other
    direction, in which depth and pose follow the flow.
    """
    error = (flow - rigid.detach()).abs() / (flow + EPS).abs()
    return masked_mean(error, error.detach() < limit)


def rigid_error(flow: Tensor, rigid: Tensor, back: Tensor | None = None) -> Tensor:
    """How far the rigid flow is from the flow: the mean of ``|F - F_rig| / (|F| + 1 pixel)`` where F can be believed.

    Not of the paper. Unlike the terms above it has no limit, so depth and pose, which its gradients reach, are drawn to the flow
    from however far they begin. F itself is taken as it is. What it says where things move by themselves is wrong, so its weight
    should be small once the pose is found.
    """
    length = flow.norm(dim=1, keepdim=True)
    error = (flow - rigid).norm(dim=1, keepdim=True) / (length + 1)
    return masked_mean(error, lands_inside(flow) & returns(flow, back))


@torch.no_grad()
def usable_pixels(
    depth: Tensor, flow: Tensor, intrinsics: Tensor, pose: Tensor, least_parallax: float = 0.3, back: Tensor | None = None
) -> Tensor:
    """Where depth can be triangulated, ``(B, 1, H, W)`` of bool.

    The flow that the translation causes is at least ``least_parallax`` pixels long and gives a depth between 0 and 100 times the
    median; the pixel does not move by itself (F is within 3 pixels or 20 % of F_rig) nor leave the image; and where the flow
    ``back`` from frame 1 to frame 0 is given, going there and back ends within 1 pixel + 5 % of where it began.
    """
    geometric, parallax = triangulate(flow, intrinsics, pose)
    median = depth.flatten(1).median(1).values.view(-1, 1, 1, 1)
    length = flow.norm(dim=1, keepdim=True)
    apart = (flow - rigid_flow(depth, intrinsics, pose)).norm(dim=1, keepdim=True)
    usable = lands_inside(flow) & returns(flow, back) & (parallax > least_parallax)
    usable &= (geometric > 0) & (geometric < 100 * median)
    return usable & ((apart < 3) | (apart < 0.2 * length))


def without_border(mask: Tensor) -> Tensor:
    """A mask ``(B, 1, H, W)`` less the outermost pixels, whose differences reach beyond the image."""
    inner = torch.zeros_like(mask)
    inner[..., 1:-1, 1:-1] = mask[..., 1:-1, 1:-1]
    return inner


def from_principal_point(like: Tensor, intrinsics: Tensor) -> Tensor:
    """``p_c``: every pixel's place seen from the principal point, ``(B, 2, H, W)``."""
    return pixel_grid(like) - intrinsics[:, :2, 2, None, None]


def _focal(intrinsics: Tensor) -> Tensor:
    return intrinsics.diagonal(dim1=1, dim2=2)[:, :2, None, None]


def flow_parity(depth: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """The authors' rigid flow: pixels are scaled by W / (W - 1) and H / (H - 1) on the way, so that it is a pixel too long at
    the right and at the bottom. Detached.
    """
    with torch.no_grad():
        grid = pixel_grid(depth)
        sides = grid.new_tensor([grid.shape[-1], grid.shape[-2]]).view(1, 2, 1, 1)
        return (rigid_flow(depth, intrinsics, pose) + grid) * sides / (sides - 1) - grid


def translational_parity(depth: Tensor, flow: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """The authors' ``F_t = F - F_rot``, which takes turning and moving to add up."""
    return flow - flow_parity(depth, intrinsics, without_translation(pose))


def forward_depth(translational: Tensor, pose: Tensor) -> Tensor:
    """The authors' ``D_geo = t_z (p_c.p_c + p_c.F_t) / (p_c.F_t + 1e-5)``, for motion straight ahead, p_c from the middle."""
    centred = _from_middle(translational)
    along = (centred * translational).sum(1, keepdim=True)
    return _ahead(pose) * (centred.square().sum(1, keepdim=True) + along) / (along + EPS)


def differential_terms_parity(depth: Tensor, translational: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """The authors' ``A = D div F_t / t_z - 4`` and ``B = g.p_c / D``. For motion straight ahead A is -B, to first order: only
    pixels that are wrong pass the limit of :func:`correlation`.
    """
    left = divergence(translational) * depth / _ahead(pose) - 4
    return left, (gradient(depth) * _from_middle(depth)).sum(1, keepdim=True) / depth


def _from_middle(like: Tensor) -> Tensor:
    height, width = like.shape[-2:]
    return pixel_grid(like) - like.new_tensor([(width - 1) / 2, (height - 1) / 2]).view(1, 2, 1, 1)


def _ahead(pose: Tensor) -> Tensor:
    return -pose[:, 2, 3].view(-1, 1, 1, 1)
