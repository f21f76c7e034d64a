"""Surface normals of a pseudo depth, the map of a supervised network, as a teacher of shape: any positive scale will do.

Source: "DCPI-Depth" (IEEE TIP 2025), in the losses it takes over from SC-DepthV3.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

STRONG = 0.1
"""Edges are pixels of at least this share of the strongest."""


def surface_normals(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Unit normals ``(B, 3, H, W)`` of depth ``(B, 1, H, W)``: ``dX/dx x dX/dy`` by Sobel's differences, border replicated."""
    from kornia.geometry.depth import depth_to_normals

    return depth_to_normals(depth, intrinsics)


def edge_responses(maps: Tensor) -> Tensor:
    """Sobel's responses in x and y to ``(B, C, H, W)``, absolute, averaged over channels, 0 on the border: ``(B, 2, H, W)``."""
    from kornia.filters import spatial_gradient

    inner = spatial_gradient(maps, normalized=False)[..., 1:-1, 1:-1]
    return F.pad(inner.abs().mean(1), (1, 1, 1, 1))


def edge_strength(responses: Tensor) -> Tensor:
    """The length ``(B, 1, H, W)`` of responses ``(B, 2, H, W)``."""
    return responses.norm(dim=1, keepdim=True)


def cosine_error(normals: Tensor, pseudo: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """``| |n_A.n_B| of pseudo - |n_A.n_B| of prediction |`` for pairs of pixels of one image.

    Args:
        normals, pseudo: ``(3, H, W)``.
        first, second: ``(N,)``, pixels A and B as places in the flattened image.

    Returns:
        ``(N,)``.
    """
    cosines = []
    for field in (pseudo, normals):
        flat = field.flatten(1)
        cosines.append((flat[:, first] * flat[:, second]).sum(0).abs())
    return (cosines[0] - cosines[1]).abs()


def ranking_loss(depth: Tensor, normals: Tensor, pseudo_depth: Tensor, pseudo: Tensor, generator: Generator) -> Tensor:
    """The mean :func:`cosine_error` over pairs of pixels across edges of the depth and of the pseudo normals.

    Edges of the pseudo depth itself do not count, nor what lies next to them: there, normals mean nothing.

    Args:
        depth, pseudo_depth: ``(B, 1, H, W)``.
        normals, pseudo: of those, ``(B, 3, H, W)``.
        generator: draws the pairs, on the CPU.
    """
    with torch.no_grad():
        jumps = edge_strength(edge_responses(pseudo_depth))
        near_jumps = F.max_pool2d((jumps >= STRONG * jumps.amax((1, 2, 3), keepdim=True)).to(jumps), 3, 1, 1) > 0
        of_normals = edge_responses(pseudo)
        framed = torch.zeros_like(of_normals)
        framed[..., 5:-5, 5:-5] = of_normals[..., 5:-5, 5:-5]
        sources = [responses.masked_fill(near_jumps, 0) for responses in (edge_responses(depth), framed)]
    errors = [
        cosine_error(normals[image], pseudo[image], *_pairs_across_edges(responses[image], generator))
        for responses in sources
        for image in range(len(depth))
    ]
    return torch.cat(errors).mean()


def _pairs_across_edges(responses: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Pairs of pixels on lines of four across each edge: two before it and two behind, 3 to 19 pixels away."""
    height, width = responses.shape[-2:]
    strength = responses.norm(dim=0).flatten()
    edges = (strength >= STRONG * strength.max()).nonzero().squeeze(1)
    chosen = edges[torch.randint(len(edges), (len(edges),), generator=generator).to(edges.device)]
    direction = responses.flatten(1)[:, chosen] / strength[chosen].clamp_min(1e-12)
    away = torch.randint(3, 20, (4, len(chosen)), generator=generator).to(responses)
    away[:2] *= -1
    x = (chosen % width + away * direction[0]).round().clamp(0, width - 1).long()
    y = (chosen // width + away * direction[1]).round().clamp(0, height - 1).long()
    places = y * width + x
    return places[:-1].flatten(), places[1:].flatten()
