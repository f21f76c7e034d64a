"""The commands of docs/training.md, as they stand there but for the size of the training."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run, save_photo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
SMALL = ["steps=2", "batch=2", "patch=32", "warmup=0", "precision=fp32", "compile=false", "log_every=1"]
TINY = ["config.width=4", "config.enc_blk_nums=[1]", "config.dec_blk_nums=[1]"]
ELSEWHERE = ("multi-output-paper", "torchrun")
"""Need data sets or machines that are not here."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    return [line for line in lines if not any(word in line for word in ELSEWHERE)]


@pytest.mark.slow
def test_every_command_of_the_page_runs(run: Run) -> None:
    for number in range(2):
        save_photo(Path(f"photos/{number}.png"), number, (96, 96))
        for folder in ("pairs/input", "pairs/target", "held-back/input", "held-back/target"):
            save_photo(Path(f"{folder}/{number}.png"), number, (96, 96))
    assert len(commands()) >= 6
    for command in commands():
        words = shlex.split(command)
        assert words[0] == "restorekit"
        if words[1] == "train":
            smaller = SMALL if "init=" in command else [*SMALL, *TINY]
            words += [word for setting in smaller for word in ("--set", setting)] + ["--device", "cpu"]
        result = run(*words[1:])
        assert result.exit_code == 0, f"{command}\n{result.output}\n{result.stderr}"
    assert Path("restored.png").exists() and Path("runs/further/multi-output-compact.toml").exists()
