"""Where pixels go when the camera moves: poses, projection, rigid flow, warps, triangulation, and flow that can be believed.

A pixel ``p = (x, y, 1)`` of frame 0, whole numbers at pixel centres, lies at ``X = D K^-1 p``; frame 1 sees it at
``X' = R X + t``, projected to ``K X'``. ``K`` is ``(B, 3, 3)`` in pixels, a pose ``T = [R | t]`` is ``(B, 4, 4)`` and takes
points of frame 0 to frame 1. Flow and coordinates are ``(B, 2, H, W)``, x first, in pixels.

Rays, rotation and intrinsics are one 3 x 3 product ``K R K^-1`` for each image, so that a projection is a multiplication and an
addition a pixel: the same as back-projecting, moving and projecting each point, with fewer maps in memory.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from restorekit.layers.tracing import is_exported

NEAREST = 1e-3
"""Points are never taken to lie nearer to a camera than this, in units of depth: behind it, a projection means nothing."""

ASIDE = 1.0
"""How far from its epipolar line, in pixels, a flow may end that depth is found from."""


def pose_matrix(axis_angle: Tensor, translation: Tensor, invert: bool = False) -> Tensor:
    """The pose ``[R | t]`` ``(B, 4, 4)`` of rotation vectors and translations ``(B, 3)``, or its inverse ``[R^T | -R^T t]``.

    R is the matrix exponential of the rotation vector's cross product: Rodrigues' formula without its 0 / 0 at no rotation,
    where gradients stay finite too.
    """
    from kornia.geometry.conversions import vector_to_skew_symmetric_matrix

    cross = vector_to_skew_symmetric_matrix(axis_angle)
    rotation: Tensor = _rotation(axis_angle, cross) if is_exported() else torch.linalg.matrix_exp(cross)
    column = translation.unsqueeze(2)
    if invert:
        rotation = rotation.mT
        column = -(rotation @ column)
    last = column.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(column), 1, 4)
    return torch.cat([torch.cat([rotation, column], 2), last], 1)


def _rotation(axis_angle: Tensor, cross: Tensor) -> Tensor:
    """Rodrigues' formula, for graphs, which know no exponential of matrices and no gradients."""
    angle = torch.linalg.vector_norm(axis_angle, dim=1, keepdim=True).clamp_min(1e-12).unsqueeze(2)
    half = (angle / 2).sin() / (angle / 2)
    eye = torch.eye(3, dtype=cross.dtype, device=cross.device)
    return eye + angle.sin() / angle * cross + half.square() / 2 * (cross @ cross)


def invert_pose(pose: Tensor) -> Tensor:
    """The inverse of rigid ``(B, 4, 4)``."""
    rotation = pose[:, :3, :3].mT
    top = torch.cat([rotation, -(rotation @ pose[:, :3, 3:])], 2)
    return torch.cat([top, pose[:, 3:]], 1)


def pixel_grid(like: Tensor) -> Tensor:
    """The coordinates (x, y) of every pixel, ``(1, 2, H, W)``, of the size, type and device of ``(..., H, W)``."""
    height, width = like.shape[-2:]
    x = torch.arange(width, dtype=like.dtype, device=like.device).expand(height, width)
    y = torch.arange(height, dtype=like.dtype, device=like.device).unsqueeze(1).expand(height, width)
    return torch.stack([x, y]).unsqueeze(0)


def transform(points: Tensor, matrix: Tensor) -> Tensor:
    """Homogeneous ``matrix (B, 3, 3)`` times ``points`` ``(B, 2, H, W)``, whose third coordinate is 1, giving
    ``(B, 3, H, W)``.
    """
    linear = torch.einsum("bij,bjhw->bihw", matrix[:, :, :2], points.expand(len(matrix), -1, -1, -1))
    return linear + matrix[:, :, 2, None, None]


def _divide(points: Tensor, eps: float = 0.0) -> Tensor:
    return points[:, :2] / (points[:, 2:].clamp_min(NEAREST) + eps)


def project(depth: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """Where frame 1 sees the pixels of frame 0 whose depth is ``(B, 1, H, W)``: ``(B, 2, H, W)``. Divides by depth + 1e-7, as the
    authors do.
    """
    turned = intrinsics @ pose[:, :3, :3] @ torch.linalg.inv(intrinsics)
    moved = (intrinsics @ pose[:, :3, 3:]).unsqueeze(3)
    return _divide(depth * transform(pixel_grid(depth), turned) + moved, eps=1e-7)


def rigid_flow(depth: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """The flow ``F_rig`` of a scene where nothing but the camera moves: :func:`project` minus the pixel's place."""
    return project(depth, intrinsics, pose) - pixel_grid(depth)


def without_translation(pose: Tensor) -> Tensor:
    """The pose ``[R | 0]``, whose rigid flow ``F_rot`` is the same at any depth."""
    rotation = torch.eye(4, dtype=pose.dtype, device=pose.device).repeat(len(pose), 1, 1)
    rotation[:, :3, :3] = pose[:, :3, :3]
    return rotation


def derotated_flow(flow: Tensor, intrinsics: Tensor, pose: Tensor) -> Tensor:
    """The flow as if the camera had moved by ``R^T t`` without turning: ``project(K R^T K^-1 (p + F)) - p``.

    Exact for any motion, unlike ``F - F_rot``, which leaves out that turning and moving do not add up.
    """
    grid = pixel_grid(flow)
    turned_back = intrinsics @ pose[:, :3, :3].mT @ torch.linalg.inv(intrinsics)
    return _divide(transform(grid + flow, turned_back)) - grid


def triangulate(flow: Tensor, intrinsics: Tensor, pose: Tensor) -> tuple[Tensor, Tensor]:
    """The depth that a flow means under a pose, and its parallax.

    With ``a = R K^-1 p``, ``b = t`` and ``q = K^-1 (p + F)``, which ``D a + b`` is parallel to, least squares give
    ``D = -(q x a).(q x b) / |q x a|^2``.

    Returns:
        depth ``(B, 1, H, W)``, negative where the flow contradicts the pose, and parallax ``f |q x a|`` ``(B, 1, H, W)``: about
        the length in pixels of what flow the translation causes.
    """
    grid = pixel_grid(flow)
    back = torch.linalg.inv(intrinsics)
    a = transform(grid, pose[:, :3, :3] @ back)
    q = transform(grid + flow, back)
    b = pose[:, :3, 3, None, None].expand_as(q)
    qa, qb = torch.linalg.cross(q, a, dim=1), torch.linalg.cross(q, b, dim=1)
    depth = -(qa * qb).sum(1, keepdim=True) / (qa.square().sum(1, keepdim=True) + 1e-12)
    focal = intrinsics[:, 0, 0].view(-1, 1, 1, 1)
    return depth, focal * qa.norm(dim=1, keepdim=True)


def to_unit_range(points: Tensor) -> Tensor:
    """Pixel coordinates ``(B, 2, H, W)`` as the grid ``(B, H, W, 2)`` of ``grid_sample``: -1 and 1 at the outermost centres."""
    height, width = points.shape[-2:]
    steps = points.new_tensor([max(width - 1, 1), max(height - 1, 1)])
    return 2 * points.permute(0, 2, 3, 1) / steps - 1


def warp(image: Tensor, points: Tensor) -> Tensor:
    """``image`` ``(B, C, H, W)`` sampled bilinearly at ``points`` ``(B, 2, H, W)``; beyond its border, the border."""
    grid = torch.nan_to_num(to_unit_range(points))  # on a CPU, the gradient at a NaN ends the process
    return F.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=True)


def lands_inside(flow: Tensor) -> Tensor:
    """Where the flow ``(B, 2, H, W)`` ends within the picture, ``(B, 1, H, W)`` of bool."""
    goal = pixel_grid(flow) + flow
    height, width = flow.shape[-2:]
    return (goal >= 0).all(1, keepdim=True) & (goal[:, :1] <= width - 1) & (goal[:, 1:] <= height - 1)


def returns(flow: Tensor, back: Tensor | None) -> Tensor:
    """Where going there and, by the flow ``back`` from there, back ends within 1 pixel + 5 % of where it began; everywhere
    without one.
    """
    length = flow.norm(dim=1, keepdim=True)
    if back is None:
        return torch.ones_like(length, dtype=torch.bool)
    return (flow + warp(back, pixel_grid(flow) + flow)).norm(dim=1, keepdim=True) < 1 + 0.05 * length


@torch.no_grad()
def depth_of_flow(
    flow: Tensor, back: Tensor | None, intrinsics: Tensor, pose: Tensor, least_parallax: float = 0.3
) -> tuple[Tensor, Tensor, Tensor]:
    """:func:`triangulate` under a pose that is right, and where that means something.

    Returns:
        depth and parallax, and ``(B, 1, H, W)`` of bool: where the flow lands inside and returns, the depth is positive, the flow
        that the translation causes at least ``least_parallax`` pixels long, and its end within :data:`ASIDE` of its epipolar
        line. Nowhere, if the camera only turned.
    """
    depth, parallax = triangulate(flow, intrinsics, pose)
    aside = (flow - rigid_flow(depth, intrinsics, pose)).norm(dim=1, keepdim=True)
    usable = lands_inside(flow) & returns(flow, back) & (depth > 0) & (parallax > least_parallax) & (aside < ASIDE)
    return depth, parallax, usable


def central_difference(maps: Tensor, axis: int) -> Tensor:
    """``maps(x + 1) - maps(x - 1)`` along an axis of ``(B, C, H, W)``, not halved; 0 stands beyond the border."""
    ends = (1, 1) if axis in (-1, 3) else (0, 0, 1, 1)
    padded = F.pad(maps, ends)
    size = maps.shape[axis]
    return padded.narrow(axis, 2, size) - padded.narrow(axis, 0, size)


def divergence(flow: Tensor) -> Tensor:
    """Twice the divergence of ``(B, 2, H, W)``, as ``(B, 1, H, W)``: its differences are not halved."""
    return central_difference(flow[:, :1], -1) + central_difference(flow[:, 1:], -2)


def gradient(maps: Tensor) -> Tensor:
    """Twice the gradient (x, y) of ``(B, 1, H, W)``, as ``(B, 2, H, W)``: its differences are not halved."""
    return torch.cat([central_difference(maps, -1), central_difference(maps, -2)], 1)
