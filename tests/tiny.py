"""A tiny model that tests can run in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from restorekit.methods import get_method
from restorekit.zoo import Card, Score, write_card

TINY = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1], "n_heads": 2, "train_size": [32, 32]}


OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "cbsn": ("denoise", {"filters": 12, "num_module": 1, "tail_channels": 12}),
    "dcpi-depth": (
        "depth",
        {
            "dims": [8, 16, 24],
            "dilation": [[1], [1], [1, 2]],
            "heads": [4, 4, 4],
            "scales": 1,
            "max_depth": 20.0,
            "height": 64,
            "width": 96,
        },
    ),
    "infwide": ("deblur", {"feat": 4, "width": 4, "n_resblock": 1, "denoise": [4, 4, 4, 4]}),
    "rrformer": ("dereflect", {"n_feats": 8, "dim": 8, "depths": [1], "heads": [2], "hyper_levels": 0, "window": 4}),
}
"""A task and a small configuration of other methods."""


def write_other_card(folder: Path, method: str, **changes: Any) -> Path:
    """The path of a card called ``tiny-TASK`` with random weights of one of :data:`OTHERS`."""
    task, config = OTHERS[method]
    card = Card(name=f"tiny-{task}", method=method, tasks=(task,), config={**config, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = get_method(method).build(card.parsed_config())
    return write_card(card, network.state_dict(), folder)


def write_tiny_card(folder: Path, name: str = "tiny", scale: float = 0.2, **changes: Any) -> Path:
    """The path of a card with random weights, written to ``folder``; ``scale`` multiplies the correction the network makes."""
    method = get_method("multi-output")
    card = Card(
        name=name,
        method=method.name,
        tasks=("deblur",),
        config={**TINY, **changes},
        summary="random weights",
        licence="CC0-1.0",
        limits="It does nothing\nuseful.",
        training={"steps": 0, "hardware": "none"},
        scores=(Score("nothing", "PSNR", 20.0, 20.5, "RGB", "restorekit evaluate"),),
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = method.build(card.parsed_config())
        state = network.state_dict()
        for key in ("ending.weight", "ending.bias"):
            state[key] = state[key] * scale
    return write_card(card, state, folder)
