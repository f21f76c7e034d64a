"""Hold our answer to a golden against it: keys and shapes first, then every output."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.goldens.adaptor import Case, NotBuiltError, State, Value, find_case
from tests.goldens.golden import Golden, OutputSpec
from tests.goldens.recipe import fill, fill_input, sample_positions

Status = Literal["ok", "FAILED", "skipped"]


@dataclass(frozen=True)
class Result:
    """How a golden fared.

    Attributes:
        name: the file.
        status: ``"skipped"`` is for what is not built yet.
        summary: one line: what was checked, or why it was not.
        error: the largest error of all outputs; NaN where it did not come to that.
        problems: one line for each thing that is wrong.
        seconds: wall time.
    """

    name: str
    status: Status
    summary: str
    error: float = float("nan")
    problems: tuple[str, ...] = ()
    seconds: float = 0.0

    def __str__(self) -> str:
        head = f"{self.status:<8}{self.name}  {self.summary}  [{self.seconds:.1f} s]"
        return "\n".join([head, *(f"        {problem}" for problem in self.problems)])


class MismatchError(Exception):
    """Our code cannot take the golden: the problems are the arguments."""


@dataclass
class _Worst:
    """The largest error so far and the output it was found in."""

    error: float = 0.0
    output: str = "-"
    problems: list[str] = field(default_factory=list)


def check_file(path: Path) -> Result:
    """Check a golden file; one that cannot be read has failed.

    It runs on one thread: how sums round, and with it the signs that gradients of L1 take, depends on the number of threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return check(Golden.load(path))
    except (OSError, ValueError) as error:
        return Result(path.name, "FAILED", f"cannot be read: {error}")
    finally:
        torch.set_num_threads(threads)


def check(golden: Golden) -> Result:
    """Check a golden on the CPU, in its precision. Whatever our code raises is a failure of this golden only."""
    start = time.perf_counter()

    def result(status: Status, summary: str, error: float = float("nan"), problems: Iterable[str] = ()) -> Result:
        return Result(golden.name, status, summary, error, tuple(problems), time.perf_counter() - start)

    try:
        case = find_case(golden)
        keys = load_parts(golden, case)
        answers = _run(golden, case)
    except NotBuiltError as error:
        return result("skipped", f"not built yet: {error}")
    except MismatchError as error:
        return result("FAILED", "state dict does not match", problems=error.args)
    except Exception as error:  # the next golden must still be checked
        return result("FAILED", f"our code raised {type(error).__name__}: {error}")
    worst = _compare_all(golden, answers, case.optional)
    counts = f"{keys} keys, {len(golden.outputs)} outputs" if keys else f"{len(golden.outputs)} outputs"
    summary = f"{case.title} ({counts}): largest error {worst.error:.1e} ({worst.output}), atol {golden.atol:.0e}"
    return result("FAILED" if worst.problems else "ok", summary, worst.error, worst.problems)


def load_parts(golden: Golden, case: Case) -> int:
    """Fill the networks of ``case`` by the recipe, strictly, and make them ready to run; gives the number of keys.

    Raises:
        MismatchError: when the golden's keys and shapes are not the networks'.
    """
    built: State = {prefix + key: value for prefix, part in case.parts for key, value in part.state_dict().items()}
    state = {key: _filled(key, shape, built.get(key), case) for key, shape in golden.state_dict.items()}
    if case.convert is not None:
        state = case.convert(state)
    problems = _key_problems(state, built)
    if problems:
        raise MismatchError(*problems)
    for prefix, part in case.parts:
        part.load_state_dict({key: state[prefix + key] for key in part.state_dict()}, strict=True)
        part.to(getattr(torch, golden.dtype)).eval()
    return len(golden.state_dict)


def _filled(key: str, shape: tuple[int, ...], built: Tensor | None, case: Case) -> Tensor:
    if built is not None and _stays_as_built(key, built, case) and tuple(built.shape) == shape:
        return built
    prefix = max((p for p, _ in case.parts if key.startswith(p)), key=len, default="")
    return torch.from_numpy(fill(key.removeprefix(prefix), shape))


def _stays_as_built(key: str, built: Tensor, case: Case) -> bool:
    is_table = not built.is_floating_point() and not key.endswith("num_batches_tracked")
    return is_table or key.endswith(case.constant)


def _key_problems(golden: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> list[str]:
    problems = []
    for label, keys in (
        ("missing in our network", [key for key in golden if key not in ours]),
        ("unexpected in our network", [key for key in ours if key not in golden]),
        (
            "of another shape",
            [
                f"{key} (golden {list(value.shape)}, ours {list(ours[key].shape)})"
                for key, value in golden.items()
                if key in ours and value.shape != ours[key].shape
            ],
        ),
    ):
        if keys:
            more = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
            problems.append(f"{len(keys)} keys {label}: {', '.join(keys[:5])}{more}")
    return problems


def _run(golden: Golden, case: Case) -> Mapping[str, Value]:
    dtype = getattr(torch, golden.dtype)
    inputs = {
        name: torch.from_numpy(fill_input(name, spec.shape, spec.scale, spec.shift)).to(dtype)
        for name, spec in golden.inputs.items()
    }
    with torch.no_grad():
        return case.run(inputs)


def _compare_all(golden: Golden, answers: Mapping[str, Value], optional: frozenset[str]) -> _Worst:
    worst = _Worst()
    for name, spec in golden.outputs.items():
        if name not in answers:
            if name not in optional:
                worst.problems.append(f"{name}: our code gives no such output")
            continue
        error, problem = compare(answers[name], spec, golden.atol)
        if problem:
            worst.problems.append(f"{name}: {problem}")
        if error > worst.error:
            worst.error, worst.output = error, name
    return worst


def compare(answer: Value, spec: OutputSpec, atol: float) -> tuple[float, str]:
    """The largest error of an answer in sample values, mean and standard deviation, and what is wrong with it, if anything is."""
    values = as_array(answer)
    if values.size == 1 == spec.sample.size:  # a number may be written as [] or [1]
        values = values.reshape(spec.shape)
    if values.shape != spec.shape:
        return float("inf"), f"shape {list(values.shape)}, golden {list(spec.shape)}"
    flat = values.ravel()
    positions = sample_positions(flat.size)
    errors = np.abs([*(flat[positions] - spec.sample), flat.mean() - spec.mean, flat.std() - spec.std])
    errors[np.isnan(errors)] = np.inf
    *samples, mean, std = errors
    problems = []
    if max(samples) > atol:
        at, wrong = int(np.argmax(samples)), int(np.sum(np.greater(samples, atol)))
        found = f"worst {flat[positions[at]]:.7g} at {positions[at]}, golden {spec.sample[at]:.7g}"
        problems.append(f"{wrong} of {len(samples)} samples, {found}")
    if mean > atol:
        problems.append(f"mean {flat.mean():.7g}, golden {spec.mean:.7g}")
    if std > atol:
        problems.append(f"standard deviation {flat.std():.7g}, golden {spec.std:.7g}")
    return float(errors.max()), "; ".join(problems)


def as_array(value: Value) -> NDArray[np.float64]:
    """An answer as a float64 array: a tensor, an array (of integers or truth values too) or a number."""
    plain: Any = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
    return np.asarray(plain, np.float64)
