"""``restorekit import`` as a user meets it, and what it makes possible."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from restorekit import Restorer
from restorekit.methods import get_method
from restorekit.methods.infwide import METHOD as INFWIDE
from restorekit.methods.infwide import InfwideConfig
from restorekit.methods.multi_output.config import HINetConfig, MultiOutputConfig
from restorekit.zoo import load_card, load_network, read_card
from tests.cli.conftest import Run, pixels, save_photo

SMALL = InfwideConfig(feat=4, width=8, n_resblock=1, n_conv=1, denoise=(4, 4, 8, 8), square_count=True)


@pytest.fixture
def checkpoint(run: Run, card: Path) -> Path:
    """The tiny card's weights as a training of others would have saved them, in the working folder."""
    state = load_network(load_card(card)).state_dict()
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 9}, "net.pth")
    return Path("net.pth")


def test_an_imported_model_restores_as_the_one_it_is(run: Run, photo: Path, card: Path, checkpoint: Path) -> None:
    result = run("import", checkpoint, "-o", "models/mine.toml", "--licence", "MIT", "--set", "train_size=[32, 32]")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "multi-output: width 4, enc_blk_nums [1], " in result.stderr
    assert "use it with --model models/mine.toml" in result.stderr
    assert read_card(Path("models/mine.toml")).licence == "MIT"
    assert run("infer", "-m", "models/mine.toml", photo, "-o", "a.png").exit_code == 0
    assert run("infer", "-m", card, photo, "-o", "b.png").exit_code == 0
    assert np.array_equal(pixels(Path("a.png")), pixels(Path("b.png")))


def test_settings_of_other_backbones_are_not_told(run: Run) -> None:
    shape = HINetConfig(wf=8, depth=2, hin_position_left=0, hin_position_right=1)
    network = get_method("multi-output").build(MultiOutputConfig(n_heads=2, backbone="hinet", hinet=shape))
    torch.save(network.state_dict(), "net.pth")
    result = run("import", "net.pth")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(
        "multi-output: n_heads 2, combinate_heads True, answer mean, backbone hinet, "
        "hinet.wf 8, hinet.depth 2, hinet.relu_slope 0.2, hinet.hin_position_left 0, hinet.hin_position_right 1\n"
    )


def test_the_card_is_named_after_method_and_file(run: Run, checkpoint: Path) -> None:
    result = run("import", checkpoint, "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    card = json.loads(result.stdout)
    assert (card["name"], card["card"], card["method"]) == ("multi-output-net", "multi-output-net.toml", "multi-output")
    assert sorted(os.listdir()) == ["multi-output-net.safetensors", "multi-output-net.toml", "net.pth"]
    again = run("import", checkpoint)
    assert again.exit_code == 2 and "--overwrite" in again.stderr and again.stderr.count("\n") == 1


def test_what_cannot_be_imported_is_one_line(run: Run, photo: Path) -> None:
    torch.save({"params": {"foo.weight": torch.zeros(2)}}, "odd.pth")
    for name, code, message in (
        (
            "odd.pth",
            1,
            "restorekit: odd.pth is of no method known here: it holds 1 tensors under params, such as foo.weight",
        ),
        (photo, 1, f"restorekit: {photo} is no checkpoint"),
        ("none.pth", 1, "restorekit: none.pth cannot be read: No such file or directory."),
    ):
        result = run("import", name)
        assert result.exit_code == code
        assert result.stderr.startswith(message) and result.stderr.count("\n") == 1
    assert run("import").exit_code == 2


class TestTemplates:
    @pytest.mark.usefixtures("zoo")
    @pytest.mark.parametrize("command", [("deblur", "-m", "multi-output-paper"), ("infer", "-m", "histoformer-paper")])
    def test_cannot_restore_and_say_what_to_do(self, run: Run, photo: Path, command: tuple[str, ...]) -> None:
        result = run(*command, photo)
        assert result.exit_code == 1
        assert result.stderr == (
            f"restorekit: '{command[2]}' is a configuration without weights. Import its authors' with "
            "`restorekit import CHECKPOINT`, or train some with `restorekit train`.\n"
        )
        assert os.listdir() == ["photo.png"]


class TestKernel:
    @pytest.fixture
    def infwide(self, run: Run) -> str:
        torch.manual_seed(0)
        torch.save({"state_dict": INFWIDE.build(SMALL).state_dict()}, "night.pth")
        assert run("import", "night.pth", "-o", "night.toml").exit_code == 0
        psf = np.zeros((5, 5), np.uint8)
        psf[2, 1:5] = (10, 30, 20, 20)
        PillowImage.fromarray(psf).save("psf.png")
        return "./night.toml"

    def test_reaches_the_network(self, run: Run, photo: Path, infwide: str) -> None:
        result = run("deblur", "-m", infwide, "--kernel", "psf.png", photo, "-o", "out.png", "--precision", "fp32")
        assert result.exit_code == 0, result.output
        expected = Restorer.from_card(infwide, precision="fp32")(photo, psf="psf.png").to_array()
        assert np.array_equal(pixels(Path("out.png")), expected)

    def test_is_asked_for_before_any_work(self, run: Run, photo: Path, infwide: str) -> None:
        result = run("deblur", "-m", infwide, photo)
        assert result.exit_code == 2
        assert result.stderr == (
            "restorekit: the method infwide needs the blur kernel (PSF) of each photograph. "
            "Give psf=..., or on the command line --kernel PSF.png, for evaluate --psf.\n"
        )

    def test_must_be_one(self, run: Run, photo: Path, infwide: str) -> None:
        Path("psf.txt").write_text("0 0\n0 0\n")
        result = run("deblur", "-m", infwide, "--kernel", "psf.txt", photo)
        assert result.exit_code == 1 and "psf.txt is no blur kernel: none of its values is positive" in result.stderr

    def test_another_one_makes_results_anew(self, run: Run, photo: Path, infwide: str) -> None:
        (photo.parent / "in").mkdir()
        photo.rename(photo.parent / "in" / "photo.png")
        Path("wide.txt").write_text("1 " * 9)
        Path("tall.txt").write_text("1\n" * 9)
        for kernel, done in (
            ("psf.png", "1 done"),
            ("psf.png", "1 up to date"),
            ("wide.txt", "1 done"),
            ("tall.txt", "1 done"),
            ("tall.txt", "1 up to date"),
        ):
            result = run("deblur", "-m", infwide, "--kernel", kernel, "in", "-o", "out")
            assert result.exit_code == 0 and done in result.stderr

    def test_an_image_too_small_for_it_fails_alone(self, run: Run, photo: Path, infwide: str) -> None:
        save_photo(Path("in/a.png"))
        save_photo(Path("in/b.png"), size=(1, 1))
        save_photo(Path("in/c.png"), 1)
        result = run("deblur", "-m", infwide, "--kernel", "psf.png", "in", "-o", "out")
        assert result.exit_code == 1 and "an image of 1 x 1 pixels is too small for INFWIDE" in result.stderr
        assert sorted(path.name for path in Path("out").glob("*.png")) == ["a.png", "c.png"]

    @pytest.mark.usefixtures("zoo")
    def test_is_refused_by_models_that_take_none(self, run: Run, photo: Path) -> None:
        result = run("deblur", photo, "--kernel", "psf.png")
        assert result.exit_code == 2
        assert "the method multi-output takes nothing beside the image. Leave out the blur kernel (PSF)" in result.stderr
