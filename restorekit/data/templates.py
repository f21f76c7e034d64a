"""Templates of file names.

A template is a path with names in braces, each of which stands for any text without a slash, and for the same text wherever it
occurs: with ``{scene}/blur/{id}.png`` and ``{scene}/sharp/{id}.png`` the file ``a/blur/7.png`` belongs to ``a/sharp/7.png``.
``{split}`` stands for the part of a data set that is asked for. An extension of ``.*`` is any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_FIELD = re.compile(r"{(\w+)}")


def names_in(template: str) -> set[str]:
    """The names a template uses, but for ``split``."""
    return set(_FIELD.findall(template)) - {"split"}


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with ``values`` for its names."""
    return _FIELD.sub(lambda match: values[match[1]], template)


def without_extension(name: str) -> str:
    """A path without what follows its last full stop."""
    return name.rpartition(".")[0]


def compile_template(template: str, split: str) -> re.Pattern[str]:
    """A pattern with a group for each name that matches the paths a template stands for."""
    seen: set[str] = set()
    pieces = []
    for piece in re.split(r"({\w+})", template.removesuffix(".*")):
        field = _FIELD.fullmatch(piece)
        if field is None:
            pieces.append(re.escape(piece))
        elif field[1] == "split":
            pieces.append(re.escape(split))
        elif field[1] in seen:
            pieces.append(f"(?P={field[1]})")
        else:
            seen.add(field[1])
            pieces.append(f"(?P<{field[1]}>[^/]+?)")
    return re.compile("".join(pieces) + (r"\.[^/.]+" if template.endswith(".*") else ""))
