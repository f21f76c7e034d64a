"""Whether a call computes, or is only written down: what a graph is made of must not depend on the sizes it is made at."""

from __future__ import annotations

import torch


def is_exported() -> bool:
    """Whether operations are being recorded for another runtime, for which every size is a name and not a number."""
    is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)  # older PyTorch lacks it
    return bool(is_exporting() or torch.jit.is_tracing())  # type: ignore[no-untyped-call, attr-defined]
