"""A small network learns depth from video alone, in seconds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from restorekit.data.synthetic_video import CorridorSettings, CorridorVideo, as_clip
from restorekit.data.videos import VideoTriplets
from restorekit.methods.dcpi_depth import METHOD, DcpiDepthConfig
from restorekit.metrics import depth_scores

TINY = DcpiDepthConfig((8, 16, 24), ((1,), (1,), (1, 2)), (4, 4, 4), scales=1, max_depth=20.0, pose="light")
EASY = CorridorSettings(width=64, height=48, speed=0.8, sway=0.3, detail=0.6)
STEPS = 120


@pytest.mark.slow
def test_depth_is_learnt_from_video() -> None:
    """From the error of a constant depth to below that of the best depth for each row, on corridors it has not seen."""
    torch.manual_seed(0)
    videos = [CorridorVideo(seed, EASY) for seed in range(6)]
    data = VideoTriplets([as_clip(video, 16) for video in videos], seed=0, jitter=False)
    network = METHOD.build(TINY)
    objective = METHOD.objective(TINY, {})
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)

    unseen = [CorridorVideo(100 + seed, EASY).frame(time) for seed in range(4) for time in (3, 8, 13)]
    images, truth = torch.stack([frame.image for frame in unseen]), torch.stack([frame.depth for frame in unseen])

    def abs_rel() -> float:
        network.eval()
        with torch.no_grad():
            depth = METHOD.finish({"disparity": network(images)}, TINY).depth
        network.train()
        return depth_scores(depth, truth).mean()["abs_rel"]

    untrained, curve = abs_rel(), []
    for step in range(STEPS):
        losses = objective(network, data.batch(step, 4, 0))
        total = torch.stack(list(losses.values())).sum()
        total.backward()
        optimiser.step()
        optimiser.zero_grad()
        curve.append(total.item())
    trained = abs_rel()

    assert untrained > 0.5
    assert trained < 0.55 * untrained
    assert trained < best_rows(videos, truth)
    assert sum(curve[-10:]) < 0.5 * sum(curve[:10])


def best_rows(videos: list[CorridorVideo], truth: Tensor) -> float:
    """The error of giving each row its median depth in the videos trained on."""
    rows = torch.stack([video.frame(time).depth for video in videos for time in range(16)]).median(0).values.median(2).values
    return depth_scores(rows.view(1, 1, -1, 1).expand_as(truth).contiguous(), truth).mean()["abs_rel"]
