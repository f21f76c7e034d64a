"""A tiny model that tests can run in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from restorekit.methods import get_method
from restorekit.zoo import Card, Score, write_card

TINY = {"width": 4, "enc_blk_nums": [1], "middle_blk_num": 1, "dec_blk_nums": [1], "n_heads": 2, "train_size": [32, 32]}


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
