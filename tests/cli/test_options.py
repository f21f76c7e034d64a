"""Options that commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from restorekit.cli.options import command, complete_model, parse_bytes
from restorekit.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("4 gib", 4 * 2**30),
        ("1.5Gi", 3 * 2**29),
        ("2g", 2 * 2**30),
        ("500MB", 500_000_000),
        ("64k", 2**16),
        ("1TB", 10**12),
        ("123", 123),
        ("123 B", 123),
    ],
)
def test_sizes_are_read_as_they_are_meant(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1", "4 GiB RAM", "0", "0.2B", "1e9", "GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_bytes(text)


@dataclass(frozen=True)
class Common:
    """Options of the test's command."""

    name: Annotated[str, typer.Argument()]
    times: Annotated[int, typer.Option("--times")] = 1
    debug: Annotated[bool, typer.Option("--debug")] = False


def invoke(function: object, *arguments: str) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(function))  # type: ignore[arg-type]
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.output


def test_fields_of_a_dataclass_become_options() -> None:
    seen: list[tuple[Common, bool]] = []

    def work(options: Common, extra: Annotated[bool, typer.Option("--extra")] = False) -> None:
        seen.append((options, extra))

    assert invoke(work, "me", "--times", "3", "--extra")[0] == 0
    assert invoke(work, "me")[0] == 0
    assert seen == [(Common("me", 3), True), (Common("me"), False)]


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (DataError("no data", "Fetch some"), 1, "restorekit: no data. Fetch some.\n"),
        (UsageError("that cannot be"), 2, "restorekit: that cannot be.\n"),
        (KeyboardInterrupt(), 130, "restorekit: interrupted\n"),
        (ValueError("odd"), 1, "restorekit: internal error: ValueError: odd. Run again with --debug to see where.\n"),
    ],
)
def test_errors_become_a_line_and_an_exit_code(error: BaseException, code: int, line: str) -> None:
    def work(options: Common) -> None:
        raise error

    assert invoke(work, "me") == (code, line)


def test_debug_adds_the_traceback() -> None:
    def work(options: Common) -> None:
        raise DataError("no data")

    code, output = invoke(work, "me", "--debug")
    assert code == 1 and output.startswith("Traceback") and output.endswith("restorekit: no data.\n")


@pytest.mark.usefixtures("zoo")
def test_models_are_completed() -> None:
    assert complete_model("ti") == [("tiny-deblur", "random weights")]
    assert complete_model("x") == []
