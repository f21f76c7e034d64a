"""The authors' TensorFlow variables under our keys. TensorFlow is needed only to read its own checkpoint format.

The names and shapes are those of the published checkpoint. Kernels go from (H, W, I, O) to (O, I, H, W). They are stored whole:
the centre tap, which the blind network does without, was trained by the one that sees.
"""

from __future__ import annotations

import importlib
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

SCOPE = "DBSN/"
"""What the names of all the network's variables begin with."""

_VARIABLE = re.compile(r"DBSN/(?:(?P<branch>B[12])/(?:DCM(?P<dcm>\d+)/)?)?(?P<conv>conv\d)/(?P<kind>kernel|W1|bias|b1)(?::0)?")
_OPTIMISER = re.compile(r"(?:.*/)?(?:Adam(?:_\d+)?|beta[12]_power(?:_\d+)?|global_step)(?::0)?")


def is_tensorflow(names: Mapping[str, Any]) -> bool:
    """Whether these are variables of the authors' checkpoint, not of a PyTorch state dict."""
    return any(name.startswith(SCOPE) for name in names)


def pytorch_key(name: str) -> str | None:
    """Our key of a TensorFlow variable; None for what only the optimiser needs.

    Raises:
        CheckpointError: for a variable this network does not have.
    """
    if _OPTIMISER.fullmatch(name):
        return None
    match = _VARIABLE.fullmatch(name)
    if match is None:
        raise CheckpointError(f"C-BSN has no variable '{name}'", "Check which network the checkpoint belongs to")
    parts = [
        match["branch"] and match["branch"].replace("B", "branch"),
        match["dcm"] and f"dcm.{match['dcm']}",
        match["conv"],
        "weight" if match["kind"] in ("kernel", "W1") else "bias",
    ]
    return ".".join(part for part in parts if part)


def from_tensorflow(variables: Mapping[str, Any]) -> dict[str, Tensor]:
    """The state dict of the authors' variables, given as arrays or tensors by name; what belongs to the optimiser is left out.

    Raises:
        CheckpointError: for a variable this network does not have, or a kernel that is not of four dimensions.
    """
    import torch

    state = {}
    for name, value in variables.items():
        key = pytorch_key(name)
        if key is None:
            continue
        tensor = torch.as_tensor(value)
        if key.endswith("weight"):
            if tensor.dim() != 4:
                problem = f"'{name}' is of shape {tuple(tensor.shape)}, not (H, W, I, O)"
                raise CheckpointError(problem, "Export the variables again")
            tensor = tensor.permute(3, 2, 0, 1)
        state[key] = tensor.contiguous()
    return state


def read_variables(path: Path) -> dict[str, NDArray[Any]]:
    """The network's variables in an ``.npz`` file, or in the TensorFlow checkpoint of that prefix (its ``.index`` file will do).

    Raises:
        CheckpointError: if the file cannot be read without unpickling anything, or needs TensorFlow and there is none.
    """
    return _read_npz(path) if path.suffix == ".npz" else _read_checkpoint(path)


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is not an .npz archive", "Export the variables again")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zlib, zipfile and NumPy each have errors of their own for a file that is damaged
        raise CheckpointError(f"{path} cannot be read as arrays: {error}", "Export the variables again") from None


def _read_checkpoint(path: Path) -> dict[str, NDArray[Any]]:
    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError:
        raise CheckpointError(
            f"{path} is a TensorFlow checkpoint, and TensorFlow is not installed",
            "Install it, or save the variables as .npz where it is: docs/methods/cbsn.md has the program",
        ) from None
    prefix = path.with_suffix("") if path.suffix == ".index" else path
    try:
        reader = tensorflow.train.load_checkpoint(str(prefix))
        names = (name for name in reader.get_variable_to_shape_map() if name.startswith(SCOPE))
        return {name: np.asarray(reader.get_tensor(name)) for name in names if not _OPTIMISER.fullmatch(name)}
    except (RuntimeError, ValueError, tensorflow.errors.OpError) as error:
        problem = f"{path} cannot be read by TensorFlow: {error}"
        raise CheckpointError(problem, "Check that its data file lies beside it") from None
