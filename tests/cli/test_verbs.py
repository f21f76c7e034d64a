"""The table of verbs, and how a verb finds its model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from restorekit.cli.verbs import VERBS, suffix_of
from restorekit.methods import get_method, list_methods, self_taught
from tests.cli.conftest import Run, pixels
from tests.tiny import write_other_card


def test_every_task_of_a_method_is_a_verb_and_every_verb_a_task() -> None:
    methods = [get_method(name) for name in list_methods()]
    assert {task for method in methods for task in method.tasks} == set(VERBS)
    assert all(verb.adapts == bool(self_taught(name)) for name, verb in VERBS.items())
    suffixes = [verb.suffix for verb in VERBS.values()]
    assert len(set(suffixes)) == len(suffixes) and suffix_of("soften") == "restored"


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "deblur"])
def test_a_verb_without_a_model_says_what_to_do(run: Run, zoo: Path, photo: Path, verb: str) -> None:
    result = run(verb, photo)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"restorekit: no model for {verb} is included. Import weights with `restorekit import`")
    assert "`restorekit train RECIPE`" in line and "--model" in line
    assert ("--adapt --from-scratch" in line) == VERBS[verb].adapts


def test_a_verb_refuses_a_model_for_another(run: Run, photo: Path, card: Path) -> None:
    result = run("dehaze", "-m", card, photo)
    assert result.exit_code == 2 and "model 'tiny' is for deblur, not dehaze" in result.stderr


def test_results_are_called_after_the_verb(run: Run, photo: Path, tmp_path: Path) -> None:
    card = write_other_card(tmp_path / "run", "cbsn")
    assert run("denoise", "-m", card, photo).exit_code == 0
    assert Path("photo-denoised.png").exists()
    assert run("infer", "-m", card, photo, "-o", "there/").exit_code == 0
    np.testing.assert_array_equal(pixels(Path("there/photo.png")), pixels(Path("photo-denoised.png")))


def test_what_was_taken_away_is_written(run: Run, photo: Path, tmp_path: Path) -> None:
    card = write_other_card(tmp_path / "run", "rrformer")
    arguments = ("dereflect", "-m", card, photo, "--precision", "fp32", "--format", "tiff", "-o", "out/")
    assert run(*arguments, "--reflection", "layer.tiff").exit_code == 0
    layer = _read(Path("layer.tiff"))
    answer, given = _read(Path("out/photo.tiff")), _read(photo)
    assert layer.dtype == np.uint16 and layer.shape == given.shape
    expected = (given / 255 - answer / 255).clip(0, 1)
    unclipped = (answer > 0) & (answer < 255)
    np.testing.assert_allclose((layer / 65535)[unclipped], expected[unclipped], atol=1 / 255)


def test_what_was_taken_away_is_known_of_models_that_give_the_answer_alone(run: Run, photo: Path, card: Path) -> None:
    text = card.read_text()
    assert "deblur" in text
    card.write_text(text.replace('"deblur"', '"dereflect"'))
    for strength in ("1", "0.5"):
        arguments = (
            "dereflect",
            "-m",
            card,
            photo,
            "--strength",
            strength,
            "--reflection",
            "layer.png",
            "--spread",
            "spread.png",
        )
        assert run(*arguments, "-o", "out.png", "--overwrite").exit_code == 0
        expected = (_read(photo) / 255 - _read(Path("out.png")) / 255) / float(strength)  # the answer is rounded, the layer not
        unclipped = (_read(Path("out.png")) > 0) & (_read(Path("out.png")) < 255)
        layer = _read(Path("layer.png")) / 65535
        np.testing.assert_allclose(layer[unclipped], expected.clip(0, 1)[unclipped], atol=0.51 / 255 / float(strength))
        assert _read(Path("layer.png")).max() > 0 and Path("spread.png").exists()


def test_maps_a_model_does_not_have_are_refused(run: Run, photo: Path, card: Path) -> None:
    result = run("deblur", "-m", card, photo, "--reflection", "layer.png")
    assert result.exit_code == 2
    assert (
        "the method multi-output gives no reflection. Besides the image it gives candidates (heads) and spread" in result.stderr
    )
    assert not Path("photo-deblurred.png").exists()


@pytest.mark.parametrize("wanted", [("--candidates",), ("--spread", "maps"), ("--reflection", "maps"), ("--show-kernel", "maps")])
def test_what_a_model_does_not_give_leaves_no_journal_and_no_folder(
    run: Run, photo: Path, tmp_path_factory: pytest.TempPathFactory, wanted: tuple[str, ...]
) -> None:
    plain = write_other_card(tmp_path_factory.mktemp("model"), "cbsn")
    for output in ((), ("-o", "new/folder")):
        result = run("infer", "-m", plain, ".", *output, *wanted)
        assert result.exit_code == 2 and "the method cbsn gives no " in result.stderr, result.stderr
        assert list(Path().iterdir()) == [Path(photo.name)]


def _read(path: Path) -> np.ndarray:
    from restorekit import images

    return images.read(path).pixels
