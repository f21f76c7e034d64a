"""``restorekit degrade``."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit.degradations import DEGRADATIONS
from restorekit.images.psf import read_psf
from tests.cli.conftest import Run, pixels, save_photo

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return [save_photo(tmp_path / "in" / f"{n}.png", n, (96, 80)) for n in range(3)]


def test_the_same_seed_gives_the_same_pictures_and_another_does_not(run: Run, photos: list[Path]) -> None:
    for out, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run("degrade", "--kind", "motion", "--seed", seed, "in", "-o", out).exit_code == 0
    a, b, c = (np.stack([pixels(Path(out) / photo.name) for photo in photos]) for out in "abc")
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert a.shape == (3, 80, 96, 3)
    assert not np.array_equal(a, np.stack([pixels(photo) for photo in photos]))


def test_a_photograph_does_not_depend_on_its_company_or_name(run: Run, photos: list[Path]) -> None:
    assert run("degrade", "in", "-o", "all").exit_code == 0
    (renamed,) = [photos[1].rename(photos[1].with_name("renamed.png"))]
    assert run("degrade", renamed, "-o", "alone.png").exit_code == 0
    assert np.array_equal(pixels(Path("all/1.png")), pixels(Path("alone.png")))


def test_grey_stays_grey(run: Run, tmp_path: Path) -> None:
    save_photo(tmp_path / "rgb.png", size=(64, 64))
    PillowImage.open("rgb.png").convert("L").save("grey.png")
    result = run("degrade", "grey.png")
    assert result.exit_code == 0 and "grey.png -> grey-degraded.png (" in result.stderr
    assert pixels(Path("grey-degraded.png")).shape == (64, 64)


def test_settings_reach_the_degradation(run: Run, photos: list[Path]) -> None:
    sharp = ["--set", "sharp=1.0", "--set", "shake=0.0", "--set", "turn=0.0", "--set", "object=0.0"]
    assert run("degrade", photos[0], "-o", "sharp.png", *sharp).exit_code == 0
    difference = pixels(Path("sharp.png")).astype(float) - pixels(photos[0])
    assert np.sqrt(np.mean(difference**2)) < 12  # noise only


@pytest.mark.parametrize("kind", [*sorted(set(DEGRADATIONS) - {"untouched"}), "rain+haze"])
def test_every_kind(run: Run, photos: list[Path], kind: str) -> None:
    far = ["--set", "length=[12, 12]"] if kind == "motion" else []  # short ones hardly show, and what is drawn depends on PyTorch
    assert run("degrade", "--kind", kind, "--seed", "4", *far, photos[0], "-o", "out.png").exit_code == 0
    degraded, clean = pixels(Path("out.png")).astype(float), pixels(photos[0])
    assert degraded.shape == clean.shape
    assert 0.2 < np.abs(degraded - clean).mean() < 120


def test_help_names_every_kind(run: Run) -> None:
    text = run("degrade", "--help").stdout
    assert all(kind in text for kind in DEGRADATIONS)


def test_settings_of_one_among_several(run: Run, photos: list[Path]) -> None:
    for out, thickness in (("thin", "0.1"), ("thick", "6")):
        choice = ["--set", f"haze.thickness=[{thickness}, {thickness}]", "--set", "haze.nearest=[1, 1]"]
        assert run("degrade", "--kind", "rain+haze", *choice, photos[0], "-o", f"{out}.png").exit_code == 0
    assert pixels(Path("thick.png")).std() < 0.3 * pixels(Path("thin.png")).std()


def test_pairs(run: Run, photos: list[Path]) -> None:
    assert run("degrade", "--kind", "noise", "in", "-o", "pairs", "--pairs").exit_code == 0
    for photo in photos:
        degraded, clean = (pixels(Path("pairs") / side / photo.name) for side in ("input", "target"))
        assert np.array_equal(clean, pixels(photo))
        assert degraded.shape == clean.shape and not np.array_equal(degraded, clean)
    again = run("degrade", "--kind", "noise", "in", "-o", "pairs", "--pairs")
    assert again.exit_code == 0 and "3 up to date" in again.stderr


def test_pairs_are_png_and_aligned_whatever_came_in(run: Run, photos: list[Path]) -> None:
    PillowImage.open(photos[1]).save("photo.jpg", quality=90)
    assert run("degrade", "--kind", "reflection", "photo.jpg", "-o", "pairs", "--pairs").exit_code == 0
    assert np.array_equal(pixels(Path("pairs/target/photo.png")), pixels(Path("photo.jpg")))
    assert Path("pairs/input/photo.png").exists()


def test_pairs_by_night_come_with_their_kernels(run: Run) -> None:
    """The target blurred by its kernel is the input, but for noise, and nearer to it than by another photograph's."""
    Path("in").mkdir()
    with PillowImage.open(EXAMPLES / "circuits.jpg") as photo:
        for index in range(3):
            photo.crop((0, 130 * index, 160, 130 * index + 130)).save(f"in/{index}.png")
    settings = ["--set", "gain=[1, 1]", "--set", "length=[8, 12]"]
    assert run("degrade", "--kind", "lowlight", "--pairs", *settings, "in", "-o", "pairs").exit_code == 0
    kernels = [read_psf(path) for path in sorted(Path("pairs/kernel").iterdir())]
    for index in range(3):
        taken, clean = (pixels(Path(f"pairs/{side}/{index}.png")).astype(np.float32) / 255 for side in ("input", "target"))
        errors = []
        for kernel in kernels:  # OpenCV correlates
            blurred = cv2.filter2D(clean, -1, kernel[::-1, ::-1], borderType=cv2.BORDER_REFLECT_101)
            errors.append(float(np.square(np.minimum(blurred, 1 / 1.2) - taken).mean()))
        assert int(np.argmin(errors)) == index


def test_only_one_known_blur_comes_with_a_kernel(run: Run, photos: list[Path]) -> None:
    assert run("degrade", "--kind", "lowlight", photos[0], "-o", "alone.png").exit_code == 0
    assert run("degrade", "--kind", "lowlight+haze", "--pairs", photos[0], "-o", "both").exit_code == 0
    assert not Path("both/kernel").exists()


@pytest.mark.parametrize("arguments", [[], ["-o", "-"], ["-o", "out", "--format", "jpg"]])
def test_pairs_need_a_folder(run: Run, photos: list[Path], arguments: list[str]) -> None:
    result = run("degrade", photos[0], "--pairs", *arguments)
    assert result.exit_code == 2 and "--pairs writes PNG files to two folders" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--kind", "moton"], "unknown degradation 'moton'. Did you mean 'motion'?"),
        (["--kind", "rain+hase"], "unknown degradation 'hase'. Did you mean 'haze'?"),
        (["--kind", "rain+haze", "--set", "haze.thicknes=[1,2]"], "unknown key 'thicknes'"),
        (["--set", "lenght=[1,2]"], "unknown key 'lenght'"),
        (["--set", "length"], "not of the form key=value"),
        (["--seed", "-1"], "--seed"),
    ],
)
def test_hostile_options(run: Run, photos: list[Path], arguments: list[str], message: str) -> None:
    result = run("degrade", photos[0], "-o", "out.png", *arguments)
    assert result.exit_code == 2 and message in result.stderr
    assert not Path("out.png").exists()


def test_what_is_not_to_be_undone_is_in_the_pairs(run: Run, photo: Path) -> None:
    arguments = ["degrade", photo, "--kind", "motion > untouched", "--set", "motion.length=[12,12]"]
    alone = run(*arguments, "-o", "alone.png")
    assert alone.exit_code == 0 and "--pairs writes that too" in alone.stderr
    both = run(*arguments, "--pairs", "-o", "out")
    assert both.exit_code == 0 and "--pairs" not in both.stderr
    given, target = (pixels(Path("out", side, "photo.png")).astype(int) for side in ("input", "target"))
    assert abs(given - target).mean() < 3 < abs(target - pixels(photo)).mean()


def test_kernels_are_written_however_their_kind_is_spelt(run: Run, photo: Path) -> None:
    for number, kind in enumerate((" lowlight ", "motion > lowlight")):
        assert run("degrade", photo, "--kind", kind, "--pairs", "-o", f"out{number}").exit_code == 0
        assert read_psf(Path(f"out{number}/kernel/photo.png")).sum() == pytest.approx(1)
    refused = run("degrade", photo, "--kind", "motion > hase", "-o", "out.png")
    assert refused.exit_code == 2 and "Did you mean 'haze'" in refused.stderr and "--pairs" not in refused.stderr
