"""The door opens fast: what needs no computing does not import what computes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import restorekit

HEAVY = ("torch", "torchvision", "cv2", "kornia", "onnxruntime", "numpy", "lightning_fabric")

CHECK = f"""
import sys, time
sys.argv = ["restorekit", *sys.argv[1:]]
from restorekit.cli import main
try:
    main()
except SystemExit as leaving:
    assert not leaving.code, leaving.code
print("HEAVY", [name for name in {HEAVY} if name in sys.modules], time.process_time(), file=sys.stderr)
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", CHECK, *arguments], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["--help"], "deblur"),
        (["-h"], "evaluate"),
        (["--version"], restorekit.__version__),
        (["auto", "--help"], "--yes"),
        (["deblur", "--help"], "--strength"),
        (["infer", "--help"], "--model"),
        (["evaluate", "--help"], "--json"),
        (["degrade", "--help"], "--seed"),
        (["train", "--help"], "--resume"),
        (["export", "--help"], "--opset"),
        (["bench", "--help"], "--passes"),
        (["depth", "--help"], "--npy"),
        (["models"], "chosen when no model is named"),
        (["models", "--json"], "["),
    ],
)
def test_light_commands_import_nothing_heavy(arguments: list[str], shown: str) -> None:
    result = run(*arguments)
    assert shown in result.stdout
    assert result.stderr.startswith("HEAVY [] ")


def test_shell_completion_imports_nothing_heavy_and_knows_commands() -> None:
    result = run(
        _RESTOREKIT_COMPLETE="complete_bash", COMP_WORDS="restorekit de", COMP_CWORD="1", _TYPER_COMPLETE_ARGS="restorekit de"
    )
    assert result.stdout.split() == [
        "deblur",
        "denoise",
        "derain",
        "desnow",
        "dehaze",
        "deraindrop",
        "dereflect",
        "depth",
        "degrade",
    ]
    assert result.stderr.startswith("HEAVY [] ")


def test_module_and_command_are_the_same() -> None:
    as_module = subprocess.run([sys.executable, "-m", "restorekit", "--version"], capture_output=True, text=True, check=True)
    assert as_module.stdout == f"restorekit {restorekit.__version__}\n" == run("--version").stdout


def test_help_takes_little_time() -> None:
    """CPU time of the whole process, interpreter included. The bound is the promise; the usual value is half of it, and a slow
    machine may take as many times as long as what Typer and Rich take to load. What else runs on the machine makes it longer,
    never shorter, so one of several tries that keeps it will do.
    """
    loading = [sys.executable, "-c", "import time, typer.rich_utils; print(time.process_time())"]
    libraries = min(float(subprocess.run(loading, capture_output=True, text=True, check=True).stdout) for _ in range(3))
    assert any(float(run("--help").stderr.split()[-1]) < max(0.4, 2.5 * libraries) for _ in range(12))
