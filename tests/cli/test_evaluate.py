"""``restorekit evaluate``."""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from tests.cli.conftest import Run, pixels, save_photo
from tests.metrics.support_vectors import write_support_vectors
from tests.tiny import write_other_card


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Targets, and the same 5 levels brighter."""
    for name in ("a", "b"):
        target = save_photo(tmp_path / "targets" / f"{name}.png", ord(name))
        (tmp_path / "brighter").mkdir(exist_ok=True)
        PillowImage.fromarray(pixels(target) + np.uint8(5)).save(tmp_path / "brighter" / f"{name}.png")
    return tmp_path / "brighter", tmp_path / "targets"


@pytest.mark.usefixtures("folders")
def test_scores_are_right_and_name_their_protocol(run: Run) -> None:
    report = json.loads(run("evaluate", "brighter", "targets", "--json").stdout)
    expected = 20 * math.log10(255 / 5)
    assert [image["name"] for image in report["images"]] == ["a", "b"]
    assert report["subjects"][0]["summary"]["psnr"]["mean"] == pytest.approx(expected, abs=1e-3)
    assert report["protocol"].items() >= {"colour": "rgb", "border": 0, "eight_bit": True}.items()


@pytest.mark.usefixtures("folders")
def test_the_table_has_the_protocol_and_the_worst(run: Run) -> None:
    result = run("evaluate", "brighter", "targets", "--colour", "y", "--border", "2", "--no-round")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "rgb: Y, border 2, not rounded; 2 images"
    assert lines[1].split() == ["PSNR", "median", "SSIM", "median"]
    assert lines[2].split()[0] == "restored"
    assert lines[4].startswith("worst of restored") and "a 35.4" in lines[4] and "b 35.4" in lines[4]


@pytest.mark.usefixtures("folders")
def test_models_and_baselines_are_scored_with_their_inputs(run: Run, card: Path) -> None:
    arguments = ("evaluate", "brighter", "targets", "-m", card, "-b", "input,nlm", "--candidates")
    report = json.loads(run(*arguments, "--json").stdout)
    assert [subject["name"] for subject in report["subjects"]] == ["input", "tiny", "nlm"]
    before, after = (subject["summary"]["psnr"]["mean"] for subject in report["subjects"][:2])
    assert before == pytest.approx(34.15, abs=0.01) and after != before
    every = [image["candidates"]["tiny"].values() for image in report["images"]]
    heads = report["subjects"][1]["candidates"]
    assert heads["best_overall"] == pytest.approx(sum(map(max, every)) / 2)
    assert heads["best_overall"] >= heads["best_single"] >= heads["mean"]
    table = run(*arguments).stdout
    assert "95 % interval" in table and "best overall (chosen by the target)" in table and "worst of tiny" in table


@pytest.mark.usefixtures("folders")
@pytest.mark.parametrize("option", ["--csv", "--report"])
def test_what_cannot_be_written_is_refused_before_any_work(run: Run, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("restorekit.evaluation.evaluate_files", lambda *given, **more: pytest.fail("the work began"))
    Path("taken.csv").mkdir()
    result = run("evaluate", "brighter", "targets", option, "taken.csv")
    assert result.exit_code == 1 and "taken.csv cannot be written" in result.stderr


@pytest.mark.usefixtures("folders")
def test_protocols_bring_their_metrics(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path))
    result = run("evaluate", "brighter", "targets", "--protocol", "rrformer")
    assert result.stdout.startswith("rrformer: RGB, border 0, 8-bit truncated; 2 images")
    assert "LPIPS (VGG) left out: the weights vgg16-" in result.stderr
    result = run("evaluate", "brighter", "targets", "--protocol", "gopro", "--metric", "ssim", "--json")
    report = json.loads(result.stdout)
    assert report["protocol"]["ssim"] == "3d" and [metric["name"] for metric in report["metrics"]] == ["ssim"]


@pytest.mark.usefixtures("folders")
def test_files_for_people_and_machines(run: Run, card: Path) -> None:
    result = run("evaluate", "brighter", "targets", "-m", card, "--csv", "out/scores.csv", "--report", "out/report.html")
    assert result.exit_code == 0
    lines = Path("out/scores.csv").read_text().splitlines()
    assert lines[0] == "image,subject,psnr,ssim,protocol" and len(lines) == 5
    assert run("evaluate", "brighter", "targets", "--csv", "-").stdout.splitlines()[0] == lines[0] and not Path("-").exists()
    page = Path("out/report.html").read_text(encoding="utf-8")
    assert "<title>brighter against targets</title>" in page and page.count("data:image/webp") == 6
    assert run("evaluate", "brighter", "targets", "--report", "bare.html", "--pictures", "0").exit_code == 0
    assert "data:image/webp" not in Path("bare.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("folders")
def test_how_models_were_run_is_told_with_their_scores(run: Run, card: Path) -> None:
    how = "RGB, border 0, 8-bit, models in fp32, 2 views, tiles of at most 64"
    options = ("--precision", "fp32", "--views", "2", "--tile", "64", "--report", "page.html")
    table = run("evaluate", "brighter", "targets", "-m", card, "--csv", "scores.csv", *options).stdout
    assert table.startswith(f"rgb: {how}; 2 images") and how in Path("page.html").read_text(encoding="utf-8")
    assert all(how in line for line in Path("scores.csv").read_text().splitlines()[1:])
    plain = run("evaluate", "brighter", "targets", "-m", card, "--precision", "bf16", "--json").stdout
    assert json.loads(plain)["protocol"]["run"] == "models in bf16"
    assert "run" not in json.loads(run("evaluate", "brighter", "targets", "--json").stdout)["protocol"]


@pytest.mark.usefixtures("folders")
def test_sizes_can_be_cut_and_shifts_found(run: Run) -> None:
    cut = pixels(Path("targets/a.png"))[:-3, 1:]
    PillowImage.fromarray(cut).save("brighter/a.png")
    assert "is 39 x 27 but its target" in run("evaluate", "brighter", "targets").stderr
    report = json.loads(run("evaluate", "brighter", "targets", "--align", "crop", "--shift-search", "2", "--json").stdout)
    assert report["images"][0]["scores"]["restored"]["psnr"] is None  # the same picture, one column to the left
    table = run("evaluate", "brighter", "targets", "--align", "crop", "--shift-search", "2", "--report", "page.html").stdout
    name = "RGB, border 0, 8-bit, cut to common size, best shift up to 2 pixels"
    assert table.startswith(f"rgb: {name}; 2 images") and name == report["protocol"]["name"]
    assert name in Path("page.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("folders")
def test_what_does_not_pair_is_named(run: Run) -> None:
    Path("brighter/a.png").rename("brighter/c.png")
    save_photo(Path("brighter/b.png"), size=(30, 30))
    result = run("evaluate", "brighter", "targets")
    assert result.exit_code == 1 and "3 problems" in result.stderr
    assert "brighter/c.png has no partner" in result.stderr and "targets/a.png has no partner" in result.stderr
    assert "brighter/b.png is 30 x 30 but its target" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere", "targets"], 1, "nowhere does not exist"),
        (["brighter", "targets", "--border", "-1"], 2, "--border"),
        (["brighter", "targets", "--colour", "cmyk"], 2, "cmyk"),
        (["brighter", "targets", "--model", "nobody"], 2, "unknown model 'nobody'"),
        (["brighter", "targets", "--baseline", "nml"], 2, "unknown baseline 'nml'. Did you mean 'nlm'"),
        (["brighter", "targets", "--protocol", "gorpo"], 2, "unknown protocol 'gorpo'. Did you mean 'gopro'"),
        (["brighter", "targets", "--metric", "vmaf"], 2, "unknown metric 'vmaf'"),
        (["brighter", "targets", "--metric", "ms-ssim"], 1, "too small for MS-SSIM"),
        (["brighter", "targets", "--csv", "-", "--json"], 2, "cannot both go to standard output"),
        (["brighter"], 2, "there is nothing to compare with"),
        (["brighter", "--metric", "brisque,psnr"], 2, "take only --metric brisque"),
        (["brighter", "--metric", "brisque", "--align", "crop"], 2, "--align lays images over their targets"),
        (["brighter", "--metric", "niqe"], 2, "no maintained library under a free licence has it. Take brisque"),
        (["brighter", "targets", "--metric", "psnr,niqe"], 2, "Take brisque"),
        (["brighter", "targets", "--inverse"], 2, "--inverse is about depth maps"),
        (["brighter", "targets", "--depth-scale", "1000"], 2, "--depth-scale is about depth maps"),
        (["brighter", "targets", "--layout", "gopro"], 2, "a layout says already where the targets are"),
        (["brighter", "--layout", "gorpo"], 2, "unknown layout 'gorpo'. Did you mean 'gopro'"),
        (["brighter", "targets", "--split", "train"], 2, "--split is a part of a data set with a layout"),
        (["brighter", "targets", "--candidates"], 2, "--candidates is about a model"),
        (["brighter", "targets", "--tile", "64"], 2, "--tile is about a model"),
        (["brighter", "targets", "-b", "nlm", "--views", "2"], 2, "--views is about a model"),
        (["brighter", "targets", "--psf", "psf.png"], 2, "--psf is about a model or a baseline"),
        (["brighter", "targets", "--pictures", "3"], 2, "--pictures is about a page"),
        (["brighter", "targets", "--csv", "targets/a.png"], 2, "targets/a.png is not a name for a table"),
        (["brighter", "targets", "--report", "report.pdf"], 2, "ends in .html"),
        (["brighter", "targets", "--csv", "/dev/null/scores.csv"], 1, "cannot be written"),
    ],
)
@pytest.mark.usefixtures("folders", "zoo")
def test_hostile_options(run: Run, arguments: list[str], code: int, message: str) -> None:
    result = run("evaluate", *arguments)
    assert result.exit_code == code and message in result.stderr


@pytest.mark.usefixtures("folders")
def test_a_model_of_depth_is_not_scored_as_a_photograph(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    card = write_other_card(tmp_path_factory.mktemp("run"), "dcpi-depth")
    result = run("evaluate", "brighter", "targets", "-m", card)
    assert result.exit_code == 2 and f"{card} answers with depth, not with a photograph. Write the maps" in result.stderr


@pytest.mark.usefixtures("folders")
def test_a_single_image_has_no_interval(run: Run) -> None:
    table = run("evaluate", "brighter/a.png", "targets/a.png", "-b", "nlm").stdout
    assert "of one: none" in table and " to " not in table


def test_a_data_set_as_published(run: Run, card: Path) -> None:
    for name in ("x", "y"):
        target = save_photo(Path(f"set/test/scene/sharp/{name}.png"), ord(name))
        Path("set/test/scene/blur").mkdir(exist_ok=True)
        PillowImage.fromarray(pixels(target) + np.uint8(5)).save(f"set/test/scene/blur/{name}.png")
    report = json.loads(run("evaluate", "set", "--layout", "gopro", "-m", card, "--report", "r.html", "--json").stdout)
    assert [image["name"] for image in report["images"]] == ["test/scene/blur/x", "test/scene/blur/y"]
    assert [subject["name"] for subject in report["subjects"]] == ["input", "tiny"]
    assert report["subjects"][0]["summary"]["psnr"]["mean"] == pytest.approx(34.15, abs=0.01)
    assert "<title>set</title>" in Path("r.html").read_text(encoding="utf-8")
    alone = json.loads(run("evaluate", "set", "--layout", "gopro", "--json").stdout)
    assert [subject["name"] for subject in alone["subjects"]] == ["input"]
    assert "no pairs" in run("evaluate", "set", "--layout", "gopro", "--split", "train").stderr


def test_depth_maps(run: Run, tmp_path: Path) -> None:
    depth = np.linspace(2, 40, 30 * 40, dtype=np.float32).reshape(30, 40)
    for name, factor in {"predicted": 0.5, "truth": 1.0}.items():
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", depth * np.float32(factor))
    report = json.loads(run("evaluate", "predicted", "truth", "--protocol", "kitti", "--json").stdout)
    assert report["subjects"][0]["summary"]["abs_rel"]["mean"] == pytest.approx(0, abs=1e-6)
    result = run("evaluate", "predicted", "truth", "--protocol", "depth")
    assert result.stdout.startswith("depth: depth to 80 m, scaled by the median, clamped; 1 image")
    assert "a1" in result.stdout.splitlines()[1]
    assert "--tile is about a model" in run("evaluate", "predicted", "truth", "--protocol", "kitti", "--tile", "64").stderr
    assert "not with a model" in run("evaluate", "predicted", "truth", "--protocol", "kitti", "-m", "x").stderr


@pytest.mark.parametrize(
    "option",
    [
        ("--metric", "ssim"),
        ("--colour", "y"),
        ("--border", "2"),
        ("--no-round",),
        ("--align", "crop"),
        ("--shift-search", "2"),
        ("--psf", "psf.png"),
        ("--candidates",),
    ],
)
def test_depth_refuses_what_only_images_have(run: Run, option: tuple[str, ...]) -> None:
    result = run("evaluate", "predicted", "truth", "--protocol", "kitti", *option)
    assert result.exit_code == 2 and f"{option[0].replace('no-', '')} is about images, not depth maps" in result.stderr


@pytest.mark.usefixtures("folders")
def test_images_by_themselves(run: Run, card: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("torch.hub._hub_dir", str(tmp_path / "hub"))
    result = run("evaluate", "brighter", "--metric", "brisque")
    assert result.exit_code == 1 and "BRISQUE left out: the weights brisque_svm_weights.pt are not on this" in result.stderr
    write_support_vectors(tmp_path / "hub" / "checkpoints")
    result = run("evaluate", "brighter", "--metric", "brisque", "--report", "page.html")
    assert result.stdout.splitlines()[1].split() == ["BRISQUE", "median"]
    assert Path("page.html").read_text(encoding="utf-8").count("data:image/webp") == 2  # there are no targets to show
    report = json.loads(run("evaluate", "brighter", "-m", card, "--metric", "brisque", "--report", "page.html", "--json").stdout)
    assert [subject["name"] for subject in report["subjects"]] == ["input", "tiny"]
    assert report["metrics"] == [{"name": "brisque", "label": "BRISQUE", "higher_is_better": False}]
    beside = json.loads(run("evaluate", "brighter", "targets", "--metric", "psnr,brisque", "--json").stdout)
    assert beside["images"][0]["scores"]["restored"]["brisque"] == report["images"][0]["scores"]["input"]["brisque"]
    PillowImage.new("RGB", (40, 30)).save("brighter/b.png")
    result = run("evaluate", "brighter", "--metric", "brisque")
    assert result.exit_code == 1 and "b, restored: a flat image has no BRISQUE. Leave it out." in result.stderr


@pytest.mark.usefixtures("folders")
def test_a_pattern_that_no_shell_replaced(run: Run) -> None:
    by_name = run("evaluate", "brighter/a.png", "targets/a.png", "--json").stdout
    assert run("evaluate", "brighter/a*", "targets/[a].png", "--json").stdout == by_name
    assert run("evaluate", "[bt]*r*", "--json").stdout == run("evaluate", "brighter", "targets", "--json").stdout
    result = run("evaluate", "brighter/*.png", "targets")
    assert result.exit_code == 2 and "3 files match, and one is scored against one. Name the folders" in result.stderr


@pytest.mark.usefixtures("folders")
def test_files_are_written_whoever_reads_the_output(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def left(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with monkeypatch.context() as patch:
        patch.setattr("restorekit.cli.evaluate.print_scores", left)
        assert run("evaluate", "brighter", "targets", "--csv", "s.csv", "--report", "s.html").exit_code == 1
    assert len(Path("s.csv").read_text().splitlines()) == 3 and Path("s.html").exists()
    monkeypatch.setattr("restorekit.evaluation.page.replacing", left)
    result = run("evaluate", "brighter", "targets", "--csv", "t.csv")
    assert result.exit_code == 1 and "t.csv cannot be written" in result.stderr and "worst of restored" in result.stdout


@pytest.mark.usefixtures("folders")
def test_json_is_plain_whatever_the_names(run: Run) -> None:
    for folder in ("brighter", "targets"):
        Path(folder, "a.png").rename(Path(folder, "写真é.png"))
    result = run("evaluate", "brighter", "targets", "--json")
    assert result.stdout.isascii() and [image["name"] for image in json.loads(result.stdout)["images"]] == ["b", "写真é"]
