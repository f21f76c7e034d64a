"""What shells leave to the command line, and what they can be given."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from restorekit import cli
from restorekit.cli import options, shell
from restorekit.cli.options import command
from tests.cli.test_options import Common


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as RestoreKit and Typer look."""
    monkeypatch.setattr(shell, "WINDOWS", True)
    monkeypatch.setattr("typer.core.os", SimpleNamespace(**{**vars(os), "name": "nt"}))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What commands are given, of which there is one that takes anything."""
    calls: list[list[str]] = []
    app = typer.Typer()

    @app.command()
    def take(words: list[str], set: Annotated[str, typer.Option()] = "") -> None:
        calls.append([*words, set])

    monkeypatch.setattr("restorekit.cli.app.app", app)
    return calls


def typed(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["restorekit", *words])
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code in (0, None)


@pytest.mark.usefixtures("windows")
def test_patterns_and_variables_come_to_the_command_as_they_were_typed(
    seen: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "b.jpg"):
        Path(name).touch()
    typed(monkeypatch, "*.jpg", "in/$HOME", "--set", "name=$HOME")
    assert seen == [["*.jpg", "in/$HOME", "name=$HOME"]]


@pytest.mark.parametrize("windows", [True, False])
def test_the_home_folder_is_meant_where_no_shell_says_so(
    seen: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shell, "WINDOWS", windows)
    monkeypatch.setattr(os.path, "expanduser", lambda text: text.replace("~", "HOME", 1))
    Path("~").mkdir()
    Path("~/there").touch()
    typed(monkeypatch, "~/a", "~\\b", "~/there", "~c.jpg", "d~/e", "--set", "~/f")
    home = "HOME" if windows else "~"
    assert seen == [[f"{home}/a", f"{home}\\b", "~/there", "~c.jpg", "d~/e", f"{home}/f"]]


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("a.jpg", "a.jpg"),
        ("C:\\the photos\\a.jpg", '"C:\\the photos\\a.jpg"'),
        ("out\\deep\\", "out\\deep/"),
        ("the out\\", '"the out/"'),
        ("me&you.jpg", '"me&you.jpg"'),
        ("a(1).jpg", '"a(1).jpg"'),
        ("it's.jpg", '"it\'s.jpg"'),
        ('kind="rain"', '"kind=\\"rain\\""'),
    ],
)
def test_a_line_for_windows(word: str, line: str) -> None:
    assert shell.quoted(["restorekit", word]) == f"restorekit {line}"


def test_a_line_for_other_shells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "WINDOWS", False)
    assert shell.quoted(["the photos/it's.jpg", "out\\"]) == "'the photos/it'\"'\"'s.jpg' 'out\\'"
    monkeypatch.setattr(sys, "argv", ["restorekit", "compare", "a b"])
    assert shell.command_line() == "restorekit compare 'a b'"


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "written"),
    [(io.TextIOWrapper, "\u5199é\\udcff".encode()), (Terminal, "\\u5199é\\udcff".encode("cp1252"))],
)
def test_standard_output_takes_any_name(kind: type[io.TextIOWrapper], written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = kind(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    shell.prepare_stdout()
    print("\u5199é\udcff", end="", flush=True)
    assert stream.buffer.getvalue() == written  # type: ignore[attr-defined]


def test_no_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    shell.prepare_stdout()


PRINTING = """
import sys
import restorekit.cli.app
restorekit.cli.app.app = lambda **given: print("\\u5199\\xe9", *given["args"])
restorekit.cli.main()
"""


def test_what_is_piped_is_utf8_whatever_the_system_says() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, b"\xe9.jpg" if os.name == "posix" else "\\udce9.jpg"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode("utf-8").strip() == "\u5199é \\udce9.jpg"


def refuse() -> None:
    """As a pipe of Windows does that nobody reads any more."""
    raise OSError(errno.EINVAL, "Invalid argument")


@pytest.mark.usefixtures("windows")
def test_a_reader_that_left_is_no_internal_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out.txt").open("w") as file:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=refuse, fileno=file.fileno))
        with pytest.raises(BrokenPipeError):
            options.with_errors_told(refuse, debug=False)
    assert capfd.readouterr().err == ""


@pytest.mark.usefixtures("windows")
def test_what_is_left_for_a_reader_that_left_goes_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As standard output is, by its number: Python writes there what it still has when it ends."""
    with (tmp_path / "out.txt").open("w") as file:
        file.write("what is left")
        stream = SimpleNamespace(flush=refuse, fileno=file.fileno)
        monkeypatch.setattr(sys, "stdout", stream)
        assert shell.says_nobody_reads(OSError(errno.EINVAL, "Invalid argument"))
    assert (tmp_path / "out.txt").read_text() == ""


def test_where_there_is_no_room_for_the_output_that_is_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill_a_file() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.png")

    with (tmp_path / "out.txt").open("w") as file:
        file.write("what is left")
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=file.fileno))
        with pytest.raises(typer.Exit):
            options.with_errors_told(fill, debug=False)
    assert (tmp_path / "out.txt").read_text() == ""
    assert capfd.readouterr().err.startswith("restorekit: standard output cannot be written to: No space left on device. Check")
    with pytest.raises(typer.Exit):
        options.with_errors_told(fill_a_file, debug=False)
    assert "internal error" in capfd.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="has no device that is always full")
def test_help_that_finds_no_room() -> None:
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "restorekit", "compare", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert told.returncode == 1 and told.stderr.count("\n") == 1
    assert told.stderr.startswith("restorekit: standard output cannot be written to")


@pytest.mark.parametrize("windows", [True, False])
def test_another_error_stays_one(windows: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "WINDOWS", windows)
    if not windows:
        monkeypatch.setattr(sys, "stdout", SimpleNamespace(flush=refuse))
    with pytest.raises(typer.Exit):
        options.with_errors_told(refuse, debug=False)
    assert "internal error: OSError: [Errno 22] Invalid argument" in capfd.readouterr().err


@pytest.mark.usefixtures("windows")
def test_a_command_whose_reader_left_ends_as_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "says_nobody_reads", lambda error: error.errno == errno.EINVAL)

    def work(common: Common) -> None:
        refuse()

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(work))
    result = CliRunner().invoke(app, ["me"])
    assert (result.exit_code, result.output) == (1, "")
