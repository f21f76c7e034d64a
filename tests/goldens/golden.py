"""A golden file, read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.goldens.recipe import sample_positions

Shape = tuple[int, ...]


@dataclass(frozen=True)
class InputSpec:
    """An input: uniform numbers times ``scale`` plus ``shift``."""

    shape: Shape
    scale: float = 1.0
    shift: float = 0.0


@dataclass(frozen=True)
class OutputSpec:
    """What an output must be: shape, mean, population standard deviation, and values at :func:`sample_positions`."""

    shape: Shape
    mean: float
    std: float
    sample: NDArray[np.float64]


@dataclass(frozen=True)
class Golden:
    """One golden: everything that is computed follows from these fields, never from the file's name."""

    name: str
    model: str
    config: Mapping[str, Any]
    state_dict: Mapping[str, Shape]
    inputs: Mapping[str, InputSpec]
    outputs: Mapping[str, OutputSpec]
    atol: float
    dtype: str = "float32"

    @classmethod
    def load(cls, path: Path) -> Golden:
        """Read a file; ``OSError`` or ``ValueError`` say why it is no golden."""
        return cls.parse(json.loads(path.read_text(encoding="utf-8")), path.name)

    @classmethod
    def parse(cls, table: Any, name: str) -> Golden:
        """Read a table as JSON gives it; ``ValueError`` says what it lacks."""
        try:
            return cls(
                name=name,
                model=table["model"],
                config=table.get("config", {}),
                state_dict={key: tuple(shape) for key, shape in table.get("state_dict", {}).items()},
                inputs={
                    key: InputSpec(tuple(spec["shape"]), spec.get("scale", 1.0), spec.get("shift", 0.0))
                    for key, spec in table.get("inputs", {}).items()
                },
                outputs={key: _output(key, spec) for key, spec in table["outputs"].items()},
                atol=float(table["atol"]),
                dtype=_dtype(table.get("dtype", "float32")),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not of a golden's form: {type(error).__name__} {error}") from None


def _output(name: str, spec: Mapping[str, Any]) -> OutputSpec:
    shape, sample = tuple(spec["shape"]), np.asarray(spec["sample"], np.float64)
    wanted = len(sample_positions(int(np.prod(shape))))
    if sample.shape != (wanted,):
        raise ValueError(f"output '{name}' of shape {list(shape)} has {sample.size} sample values, not {wanted}")
    return OutputSpec(shape, float(spec["mean"]), float(spec["std"]), sample)


def _dtype(name: str) -> str:
    if name not in ("float32", "float64"):
        raise ValueError(f"dtype '{name}' is neither float32 nor float64")
    return name
