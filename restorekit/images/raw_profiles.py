"""Metadata that have no chunk of their own in PNG, as ImageMagick hides them in text: a name, a length and hexadecimal digits."""

from __future__ import annotations

import re

_DIGITS = 72  # of a line


def bytes_in(text: object) -> bytes | None:
    """What the text of a chunk ``Raw profile type ...`` says; None if it is no text, or no digits."""
    if not isinstance(text, str):
        return None
    try:
        return bytes.fromhex(re.sub(r"\s", "", "".join(text.split("\n")[3:])))
    except ValueError:
        return None


def as_text(name: str, data: bytes) -> str:
    """The text of a chunk ``Raw profile type NAME``."""
    digits = data.hex()
    lines = (digits[i : i + _DIGITS] for i in range(0, len(digits), _DIGITS))
    return "\n".join(("", name, f"{len(data):8d}", *lines, ""))
