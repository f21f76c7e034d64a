from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from restorekit.data import LAYOUTS, Layout, get_layout
from restorekit.data.templates import compile_template, names_in
from restorekit.errors import DataError, SettingError, UnknownNameError


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def names(root: Path, pairs: list[tuple[Path, Path]]) -> list[tuple[str, ...]]:
    return [tuple(path.relative_to(root).as_posix() for path in pair) for pair in pairs]


def test_templates_match_and_repeat() -> None:
    pattern = compile_template("{split}/{scene}/{id}_of_{scene}.*", "train")
    match = pattern.fullmatch("train/a.b/07_of_a.b.png")
    assert match is not None and match.groupdict() == {"scene": "a.b", "id": "07"}
    assert pattern.fullmatch("test/a/07_of_a.png") is None
    assert pattern.fullmatch("train/a/07_of_b.png") is None
    assert names_in("{split}/{scene}/{id}") == {"scene", "id"}


def test_gopro(tmp_path: Path) -> None:
    make(
        tmp_path,
        "train/s1/blur/1.png",
        "train/s1/sharp/1.png",
        "train/s1/blur_gamma/1.png",
        "test/s2/blur/1.png",
        "test/s2/sharp/1.png",
    )
    assert names(tmp_path, LAYOUTS["gopro"].pairs(tmp_path, "train")) == [("train/s1/blur/1.png", "train/s1/sharp/1.png")]
    assert names(tmp_path, LAYOUTS["gopro"].pairs(tmp_path, "test")) == [("test/s2/blur/1.png", "test/s2/sharp/1.png")]


def test_folders_pair_whatever_the_extensions(tmp_path: Path) -> None:
    make(tmp_path, "input/a.jpg", "target/a.png", "input/b.png", "target/b.png")
    assert names(tmp_path, LAYOUTS["folders"].pairs(tmp_path, "train")) == [
        ("input/a.jpg", "target/a.png"),
        ("input/b.png", "target/b.png"),
    ]


def test_several_inputs_may_share_a_target(tmp_path: Path) -> None:
    make(tmp_path, "in/im_0001_s80_a04.png", "in/im_0001_s95_a05.png", "gt/im_0001.png")
    found = names(tmp_path, LAYOUTS["outdoor-rain"].pairs(tmp_path, "train"))
    assert found == [("in/im_0001_s80_a04.png", "gt/im_0001.png"), ("in/im_0001_s95_a05.png", "gt/im_0001.png")]


def test_a_list_decides_where_there_is_one(tmp_path: Path) -> None:
    folder = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001"
    make(tmp_path, *(f"{folder}/{side}/{side}_{i}.png" for side in ("blur", "gt") for i in (1, 2)))
    (tmp_path / "RealBlur_J_test_list.txt").write_text(f"{folder}/gt/gt_2.png {folder}/blur/blur_2.png\n")
    assert names(tmp_path, LAYOUTS["realblur-j"].pairs(tmp_path, "test")) == [
        (f"{folder}/blur/blur_2.png", f"{folder}/gt/gt_2.png")
    ]
    with pytest.raises(DataError, match=r"RealBlur_J_train_list\.txt cannot be read"):
        LAYOUTS["realblur-j"].pairs(tmp_path, "train")


def test_what_a_list_names_and_is_not_there_is_told(tmp_path: Path) -> None:
    folder = "RealBlur-J_ECC_IMCORR_centroid_itensity_ref/scene001"
    make(tmp_path, f"{folder}/gt/gt_1.png", f"{folder}/blur/blur_1.png", f"{folder}/gt/gt_2.png", f"{folder}/blur/blur_4.png")
    lines = [f"{folder}/gt/gt_{i}.png {folder}/blur/blur_{i}.png\n" for i in (1, 2, 3, 4)]
    (tmp_path / "RealBlur_J_train_list.txt").write_text("".join(lines))
    found, problems = LAYOUTS["realblur-j"].find(tmp_path, "train")
    assert names(tmp_path, found) == [(f"{folder}/blur/blur_1.png", f"{folder}/gt/gt_1.png")]
    assert problems == [
        f"{tmp_path}/{folder}/blur/blur_4.png has no partner {tmp_path}/{folder}/gt/gt_4.png",
        *(
            f"{tmp_path}/{folder}/blur/blur_{i}.png is not there, though {tmp_path}/RealBlur_J_train_list.txt names it"
            for i in (2, 3)
        ),
    ]


def test_hidden_files_are_no_part_of_a_data_set(tmp_path: Path) -> None:
    make(tmp_path, "input/a.png", "target/a.png", "input/.a.png", "input/.ipynb_checkpoints/b.png", ".Trash/input/c.png")
    found, problems = LAYOUTS["folders"].find(tmp_path, "train")
    assert names(tmp_path, found) == [("input/a.png", "target/a.png")] and problems == []


def test_splits_have_the_names_the_data_set_gives_them(tmp_path: Path) -> None:
    make(tmp_path, "test_a/data/0_rain.png", "test_a/gt/0_clean.png", "val/val_blur/000/1.png", "val/val_sharp/000/1.png")
    assert len(LAYOUTS["raindrop"].pairs(tmp_path, "test")) == 1
    assert len(LAYOUTS["reds"].pairs(tmp_path, "test")) == 1


def test_everything_without_a_partner_is_said_at_once(tmp_path: Path) -> None:
    make(tmp_path, "input/a.png", "input/b.png", "input/c.png", "target/c.png", "target/d.png")
    with pytest.raises(DataError) as error:
        LAYOUTS["folders"].pairs(tmp_path, "train")
    text = str(error.value)
    assert text.startswith("3 problems") and "input/a.png has no partner" in text
    assert "input/b.png has no partner" in text and "target/d.png has no input" in text
    found, problems = LAYOUTS["folders"].find(tmp_path, "train")
    assert names(tmp_path, found) == [("input/c.png", "target/c.png")] and len(problems) == 3


def test_files_that_would_be_passed_over_are_told(tmp_path: Path) -> None:
    make(tmp_path, "input/a.png", "target/a.png", "input/more/b.png", "target/more/b.png", "input/more/still/c.png", "else/d.png")
    found, problems = LAYOUTS["folders"].find(tmp_path, "train")
    assert names(tmp_path, found) == [("input/a.png", "target/a.png")]
    assert problems == [
        f"{tmp_path}/input/more/{name} lies in a folder of input/, where none is looked into" for name in ("b.png", "still/c.png")
    ]


def test_two_inputs_for_one_target_are_told(tmp_path: Path) -> None:
    make(tmp_path, "input/0.png", "input/0.jpg", "target/0.png", "input/1.jpg", "target/1.png")
    found, problems = LAYOUTS["folders"].find(tmp_path, "train")
    assert problems == [f"{tmp_path}/input/0.png and {tmp_path}/input/0.jpg have one name"]
    assert names(tmp_path, found) == [("input/0.jpg", "target/0.png"), ("input/1.jpg", "target/1.png")]


def test_scenes_and_parts_of_one_name_do_not_get_in_each_others_way(tmp_path: Path) -> None:
    files = [f"{part}/{scene}/{side}/1.png" for part in ("train", "test") for scene in ("a", "b") for side in ("blur", "sharp")]
    make(tmp_path, *files, "train/a/blur_gamma/1.png", "train/a/blur/raw/1.png")
    found, problems = LAYOUTS["gopro"].find(tmp_path, "train")
    assert problems == [] and names(tmp_path, found) == [
        ("train/a/blur/1.png", "train/a/sharp/1.png"),
        ("train/b/blur/1.png", "train/b/sharp/1.png"),
    ]


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        LAYOUTS["folders"].pairs(tmp_path / "none", "train")
    with pytest.raises(DataError, match="holds no pairs"):
        LAYOUTS["folders"].pairs(tmp_path, "train")
    with pytest.raises(UnknownNameError, match="gopro"):
        get_layout("gopr0")


def test_templates_of_ones_own(tmp_path: Path) -> None:
    make(tmp_path, "x/1_noisy.png", "y/1_clean.png")
    assert names(tmp_path, get_layout("folders", "x/{id}_noisy.png", "y/{id}_clean.png").pairs(tmp_path, "train")) == [
        ("x/1_noisy.png", "y/1_clean.png")
    ]
    with pytest.raises(SettingError, match="go together"):
        get_layout("folders", "x/{id}.png")
    with pytest.raises(SettingError, match="uses scene"):
        Layout("x/{id}.png", "{scene}/{id}.png")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_finds_what_its_templates_say(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    part = layout.splits.get("train", "train")
    values = {field: f"{field}1" for field in names_in(layout.input)} | {"split": part}
    files = [template.replace(".*", ".png").format(**values) for template in (layout.input, layout.target)]
    make(tmp_path, *files)
    if layout.listing:
        (tmp_path / layout.listing.format(split=part)).write_text(" ".join(files))
    assert names(tmp_path, layout.pairs(tmp_path, "train")) == [tuple(files)]
