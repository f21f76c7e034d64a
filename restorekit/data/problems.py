"""Everything that is wrong with a data set, said at once."""

from __future__ import annotations

from collections.abc import Sequence

from restorekit.errors import DataError

_LISTED = 50


def refuse(problems: Sequence[str], remedy: str) -> None:
    """Raise a :class:`DataError` that lists ``problems``, the first fifty of them; nothing if there are none."""
    if not problems:
        return
    if len(problems) == 1:
        raise DataError(problems[0], remedy)
    shown = [*problems[:_LISTED], *([f"and {len(problems) - _LISTED} more"] if len(problems) > _LISTED else [])]
    raise DataError(f"{len(problems)} problems:\n  " + "\n  ".join(shown), remedy)
