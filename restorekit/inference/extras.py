"""What some networks need beside the image, from whatever form the user has it in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from restorekit.errors import UnknownNameError, UsageError
from restorekit.methods import Method

if TYPE_CHECKING:
    from torch import Tensor

Extras = dict[str, NDArray[np.float32]]
"""Named inputs beside the image, float32, as :meth:`restorekit.methods.Method.predict` takes them for one image."""


def read_extras(method: Method[Any], given: Mapping[str, Any]) -> Extras:
    """The extra inputs of a method, ready for one image.

    Args:
        method: whose ``extra_inputs`` and ``optional_inputs`` they are.
        given: by name; ``psf`` as :func:`restorekit.images.psf.read_psf` takes it, anything else as an array as ``predict`` does,
            of which leading axes may be left out.

    Raises:
        UnknownNameError: for an input that the method does not take.
        UsageError: if one is missing.
        ImageError: for a PSF that is none.
    """
    taken = (*method.extra_inputs, *method.optional_inputs)
    for name in given:
        if not taken:
            raise UsageError(f"the method {method.name} takes nothing beside the image", f"Leave out the {_title(name)}")
        if name not in taken:
            raise UnknownNameError("input", name, taken, f"what {method.name} takes")
    for name in method.extra_inputs:
        if given.get(name) is None:
            remedy = _REMEDIES.get(name, f"Give {name}=...")
            raise UsageError(f"the method {method.name} needs the {_title(name)} of each photograph", remedy)
    return {name: _READERS.get(name, _as_array)(value) for name, value in given.items() if value is not None}


def as_arrays(tensors: Mapping[str, Tensor]) -> Extras:
    """Tensors as arrays."""
    return {name: value.float().cpu().numpy() for name, value in tensors.items()}


def _title(name: str) -> str:
    return {"psf": "blur kernel (PSF)"}.get(name, name)


def _read_psf(value: Any) -> NDArray[np.float32]:
    from restorekit.images.psf import read_psf

    return read_psf(value)[None, None]


def _as_array(value: Any) -> NDArray[np.float32]:
    return np.array(value, np.float32, ndmin=4)


_READERS: dict[str, Callable[[Any], NDArray[np.float32]]] = {"psf": _read_psf}
_REMEDIES = {"psf": "Give psf=..., or on the command line --kernel PSF.png, for evaluate --psf"}
