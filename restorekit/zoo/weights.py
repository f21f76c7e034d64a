"""Weights of a card: loaded only if they are what the card says, written together with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from restorekit.errors import CardError
from restorekit.zoo.card import Card, WeightsEntry

if TYPE_CHECKING:
    from torch import Tensor, nn


def load_network(card: Card) -> nn.Module:
    """The card's network with its weights: on the CPU, float32, in evaluation mode, without gradients.

    Raises:
        CardError: if the weights are missing, have another checksum, are not safetensors, or do not fit the network.
    """
    import torch

    if card.is_onnx:
        raise CardError(f"{card.where} is an ONNX model, which PyTorch cannot run", "Name the card it was exported from")
    state = _load_state(card)
    with torch.random.fork_rng(devices=[]):  # fresh weights, which are replaced at once, are not to cost the caller's seed
        network = card.restoration_method().build(card.parsed_config())
    own = network.state_dict()
    if wrong := misfits(state, own):
        raise CardError(f"the weights of {card.where} do not fit its network: {wrong}", "Check the card's method and [config]")
    network.load_state_dict(state)
    return network.float().eval().requires_grad_(False)


def write_card(card: Card, state_dict: Mapping[str, Tensor], folder: Path) -> Path:
    """Write ``NAME.safetensors`` and ``NAME.toml`` into a folder, each whole or not at all; the card can be used at once.

    Args:
        card: what the card shall say; its ``weights`` and ``path`` are filled in here.
        state_dict: the network's weights; what they are stored as, float32 or a half precision, is kept.
        folder: made if it does not exist.

    Returns:
        The path of the card.

    Raises:
        CardError: if the folder cannot be written to.
    """
    import tomli_w
    from safetensors.torch import save

    from restorekit.images.atomic import replacing

    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in state_dict.items()}
    # One entry only: safetensors keeps no order among several, and equal weights should give equal files.
    about = {"name": card.name, "method": card.method, "config": card.config, "licence": card.licence}
    data = save(tensors, {"restorekit": json.dumps(about, sort_keys=True)})
    file = f"{card.name}.safetensors"
    path = folder / f"{card.name}.toml"
    entry = WeightsEntry(file, hashlib.sha256(data).hexdigest(), len(data))
    text = tomli_w.dumps(replace(card, path=path, weights=entry).to_table(), multiline_strings=True)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, content in ((folder / file, data), (path, text.encode())):
            with replacing(target) as out:
                out.write(content)
    except OSError as error:
        raise CardError(
            f"{path} cannot be written: {error.strerror}", "Check the folder, its permissions and the free space"
        ) from None
    return path


def _load_state(card: Card) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = card.weights_path()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CardError(f"{path} cannot be read: {error.strerror}", "Check its permissions") from None
    if card.weights is None or hashlib.sha256(data).hexdigest() != card.weights.sha256.lower():
        raise CardError(
            f"{path} is not the file that {card.where} was made with: its checksum differs", "Fetch the weights again"
        )
    try:
        return load(data)
    except SafetensorError as error:
        raise CardError(f"{path} is not a safetensors file: {error}", "Fetch the weights again") from None


def misfits(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    """What keeps a state dict from fitting, in words; empty if nothing does."""
    complaints = {
        "missing": [key for key in own if key not in state],
        "not known": sorted(key for key in state if key not in own),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
            for key, value in own.items()
            if key in state and state[key].shape != value.shape
        ],
    }
    return "; ".join(f"{what}: {first(keys)}" for what, keys in complaints.items() if keys)


def first(keys: Iterable[str], count: int = 3) -> str:
    """The first few of some names, fit for one line, and how many more there are."""
    keys = list(keys)
    more = f" and {len(keys) - count} more" if len(keys) > count else ""
    return ", ".join(map(_legible, keys[:count])) + more


def _legible(name: str) -> str:
    """A name out of a file of anybody's, without what steers a terminal, and not endless."""
    shown = "".join(char if char.isprintable() else "?" for char in name)
    return shown if len(shown) <= 120 else shown[:117] + "..."
