"""Whether a call computes, or is only written down: what a graph is made of must not depend on the sizes it is made at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_exporting = False


@contextmanager
def exporting() -> Iterator[None]:
    """Within it :func:`is_exported` holds, however the exporter looks at the code: older ones use the compiler for it."""
    global _exporting
    before, _exporting = _exporting, True
    try:
        yield
    finally:
        _exporting = before


def is_exported() -> bool:
    """Whether operations are being recorded for another runtime, for which every size is a name and not a number.

    It does not hold while ``torch.compile`` compiles, as what it makes is run here.
    """
    if _exporting or torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
        return True
    if not hasattr(torch.compiler, "is_exporting"):  # before PyTorch 2.7
        return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
    return bool(torch.compiler.is_exporting())
