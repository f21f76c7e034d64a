"""``restorekit deblur`` and ``restorekit infer`` as a user meets them."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from restorekit import Restorer, images
from restorekit.inference import Restoration
from restorekit.zoo import load_card
from tests.cli.conftest import Run, pixels, save_photo
from tests.tiny import write_tiny_card


@pytest.mark.usefixtures("zoo")
def test_deblur_needs_nothing_but_a_photograph(run: Run, photo: Path) -> None:
    result = run("deblur", "photo.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert "deblur with tiny-deblur" in result.stderr
    assert "photo.png -> photo-deblurred.png (cpu, " in result.stderr
    restored = pixels(photo.with_name("photo-deblurred.png"))
    assert restored.shape == (30, 40, 3)
    assert sorted(p.name for p in photo.parent.iterdir()) == ["photo-deblurred.png", "photo.png"]


def test_the_command_gives_what_python_gives(run: Run, photo: Path, card: Path) -> None:
    assert run("infer", "--model", card, photo, "-o", "out.png", "--precision", "fp32").exit_code == 0
    expected = Restorer.from_card(card, precision="fp32")(photo).to_array()
    assert np.array_equal(pixels(Path("out.png")), expected)
    assert not np.array_equal(expected, pixels(photo))


def test_strength_blends_with_the_input(run: Run, photo: Path, card: Path) -> None:
    assert run("infer", "-m", card, photo, "-o", "none.png", "--strength", "0").exit_code == 0
    assert np.array_equal(pixels(Path("none.png")), pixels(photo))
    assert run("infer", "-m", card, photo, "-o", "half.png", "--strength", "0.5").exit_code == 0
    assert run("infer", "-m", card, photo, "-o", "full.png").exit_code == 0
    mean = (pixels(photo).astype(float) + pixels(Path("full.png"))) / 2
    assert np.abs(pixels(Path("half.png")) - mean).max() <= 1


def test_candidates_and_spread(run: Run, photo: Path, card: Path) -> None:
    assert run("infer", "-m", card, photo, "--candidates", "--spread", "map.png").exit_code == 0
    names = ["map.png", "photo-deblurred-1.png", "photo-deblurred-2.png", "photo-deblurred.png", "photo.png"]
    assert sorted(p.name for p in photo.parent.iterdir()) == names
    first, second = (pixels(Path(f"photo-deblurred-{n}.png")).astype(float) for n in (1, 2))
    assert not np.array_equal(first, second)
    assert np.abs((first + second) / 2 - pixels(Path("photo-deblurred.png"))).max() <= 1.5
    assert pixels(Path("map.png")).shape == (30, 40)


def test_options_reach_the_engine(run: Run, photo: Path, card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}
    call, make = Restorer.__call__, Restorer.from_card

    def noted_make(card: object, **options: object) -> Restorer:
        seen.update(options)
        return make(card, **options)  # type: ignore[arg-type]

    def noted_call(self: Restorer, image: object, **options: object) -> Restoration:
        seen.update(options)
        return call(self, image, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Restorer, "from_card", staticmethod(noted_make))
    monkeypatch.setattr(Restorer, "__call__", noted_call)
    arguments = [
        "--device",
        "cpu",
        "--precision",
        "fp32",
        "--tile",
        "64",
        "--overlap",
        "8",
        "--memory",
        "1.5GiB",
        "--batch",
        "2",
        "--strength",
        "0.25",
    ]
    assert run("infer", "-m", card, photo, *arguments).exit_code == 0
    expected = {"device": "cpu", "precision": "fp32", "tile": 64, "overlap": 8, "memory": 3 * 2**29, "batch": 2}
    expected["strength"] = 0.25
    assert {name: seen[name] for name in expected} == expected


def test_standard_input_to_standard_output(run: Run, photo: Path, card: Path) -> None:
    result = run("infer", "-m", card, "-", stdin=photo.read_bytes())
    assert result.exit_code == 0, result.stderr
    restored = PillowImage.open(io.BytesIO(result.stdout_bytes))
    assert (restored.format, restored.size) == ("PNG", (40, 30))
    as_jpeg = run("infer", "-m", card, "-", "--format", "jpg", stdin=photo.read_bytes())
    assert PillowImage.open(io.BytesIO(as_jpeg.stdout_bytes)).format == "JPEG"
    to_file = run("infer", "-m", card, "-", "-o", "out.webp", stdin=photo.read_bytes())
    assert to_file.exit_code == 0 and to_file.stdout == ""
    assert PillowImage.open("out.webp").format == "WEBP"
    from_file = run("infer", "-m", card, photo, "-o", "-")
    assert from_file.stdout_bytes == result.stdout_bytes


def test_a_pipe_in_a_real_shell(photo: Path, card: Path) -> None:
    command = [sys.executable, "-m", "restorekit", "infer", "-m", str(card), "-", "--quiet"]
    result = subprocess.run(command, input=photo.read_bytes(), capture_output=True, check=True)
    assert PillowImage.open(io.BytesIO(result.stdout)).size == (40, 30)
    assert result.stderr == b""


def test_the_json_report_has_every_file(run: Run, card: Path) -> None:
    for number in range(2):
        save_photo(Path(f"in/{number}.png"), number)
    Path("in/bad.png").write_bytes(b"nothing")
    result = run("infer", "-m", card, "in", "-o", "out", "--json", "--tile", "64")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["command"] == "infer" and report["model"] == "tiny"
    assert report["totals"].items() >= {"files": 3, "done": 2, "skipped": 0, "failed": 1}.items()
    first, bad = report["files"][0], report["files"][2]
    assert first.items() >= {"input": "in/0.png", "output": "out/0.png", "status": "done", "device": "cpu", "error": None}.items()
    assert first["seconds"] > 0 and first["precision"] in ("fp32", "bf16")
    declared = load_card(card)
    a_pixel = declared.restoration_method().tiling(declared.parsed_config()).bytes_per_pixel
    # --tile has the last word; what was not measured is reckoned in float32, whatever the CPU computes in
    assert first["memory"] == {"budget": None, "estimate": 40 * 30 * a_pixel}
    assert bad["status"] == "failed" and "in/bad.png" in bad["error"] and bad["device"] is None
    again = json.loads(run("infer", "-m", card, "in", "-o", "out", "--json").stdout)
    assert [file["status"] for file in again["files"]] == ["skipped", "skipped", "failed"]


@pytest.fixture
def rivals(zoo: Path) -> Path:
    """The default for deblurring, and one that contends with it and changes more."""
    rival = write_tiny_card(zoo.parent, "rival", 0.9)
    rival.write_text('contends_for = ["deblur"]\n' + rival.read_text())
    return rival


def test_of_several_models_each_photograph_gets_one(run: Run, rivals: Path, photo: Path) -> None:
    result = run("deblur", photo, "--json")
    assert result.exit_code == 0, result.stderr
    assert "deblur with tiny-deblur or rival" in result.stderr
    assert "photo.png: rival finds what it knows, and restores it" in result.stderr
    report = json.loads(result.stdout)
    assert report["model"] == "tiny-deblur or rival" and report["files"][0]["model"] == "rival"
    named = run("deblur", photo, "-m", rivals, "-o", "named.png")
    assert named.exit_code == 0 and "finds what" not in named.stderr
    assert (pixels(Path("named.png")) == pixels(Path("photo-deblurred.png"))).all()


def test_candidates_and_maps_are_those_of_the_default(run: Run, rivals: Path, photo: Path) -> None:
    assert rivals.is_file()
    result = run("deblur", photo, "--candidates", "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["model"] == "tiny-deblur"


def test_a_new_contender_makes_results_out_of_date(run: Run, zoo: Path) -> None:
    save_photo(Path("in/a.png"))
    statuses = []
    for _ in range(2):
        statuses.append(json.loads(run("deblur", "in", "-o", "out", "--json").stdout)["files"][0]["status"])
    rival = write_tiny_card(zoo.parent, "rival", 0.9)
    rival.write_text('contends_for = ["deblur"]\n' + rival.read_text())
    statuses.append(json.loads(run("deblur", "in", "-o", "out", "--json").stdout)["files"][0]["status"])
    assert statuses == ["done", "skipped", "done"]


def test_a_folder_with_a_broken_file_ends_with_one_and_names_it(run: Run, card: Path) -> None:
    for number in range(3):
        save_photo(Path(f"in/{number}.png"), number)
    Path("in/1.png").write_bytes(Path("in/1.png").read_bytes()[:60])
    result = run("infer", "-m", card, "in", "-o", "out", "--quiet")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("restorekit: in/1.png")
    assert sorted(p.name for p in Path("out").glob("[!.]*")) == ["0.png", "2.png"]


def test_recursion_keeps_the_tree(run: Run, card: Path) -> None:
    for name in ("a.png", "x/a.png", "x/y/b.png"):
        save_photo(Path("in") / name)
    result = run("infer", "-m", card, "in", "-r", "-o", "out")
    assert result.exit_code == 0
    assert "3 done in" in result.stderr
    assert sorted(p.relative_to("out").as_posix() for p in Path("out").rglob("*.png")) == ["a.png", "x/a.png", "x/y/b.png"]


def test_what_stands_where_a_single_result_should_go_is_neither_replaced_nor_taken_for_it(
    run: Run, photo: Path, card: Path
) -> None:
    assert run("infer", "-m", card, photo, "-o", "o.png").exit_code == 0
    save_photo(Path("other.png"), 1)
    Path("text.png").write_text("a text")
    before = Path("o.png").read_bytes()
    for arguments in ((photo, "-o", "o.png"), ("other.png", "-o", "o.png"), (photo, "-o", "text.png")):
        result = run("infer", "-m", card, *arguments)
        assert result.exit_code == 1 and result.stderr.count("\n") == 1
        assert f"{arguments[2]} exists already and is not known to be" in result.stderr
        assert "Add --overwrite to replace it." in result.stderr
    assert Path("o.png").read_bytes() == before and Path("text.png").read_text() == "a text"
    assert run("infer", "-m", card, "other.png", "-o", "o.png", "--overwrite").exit_code == 0
    assert Path("o.png").read_bytes() != before


def test_a_misnamed_photograph_keeps_its_depth_and_alpha(run: Run, tmp_path: Path, card: Path) -> None:
    deep = images.Image(np.full((30, 40, 3), 30000, np.uint16), np.full((30, 40), 50000, np.uint16))
    with Path("mis.jpg").open("wb") as file:
        images.write(deep, file, format="png")
    result = run("infer", "-m", card, "mis.jpg")
    assert result.exit_code == 0 and "mis.jpg -> mis-deblurred.png" in result.stderr
    restored = images.read("mis-deblurred.png")
    assert (restored.format, restored.pixels.dtype) == ("PNG", np.uint16)
    assert restored.alpha is not None and (restored.alpha == 50000).all()


def test_an_input_is_never_overwritten(run: Run, photo: Path, card: Path) -> None:
    before = photo.read_bytes()
    os.symlink(photo, "link.png")
    for target in ("photo.png", "link.png", f"../{photo.parent.name}/photo.png"):
        result = run("infer", "-m", card, "photo.png", "-o", target, "--overwrite")
        assert result.exit_code == 2 and "would overwrite the input photo.png" in result.stderr
    assert photo.read_bytes() == before


def test_a_pattern_that_the_shell_expands_can_be_run_again(run: Run, card: Path) -> None:
    for number, name in enumerate("ab"):
        save_photo(Path(f"{name}.png"), number)
    for done in ("2 done", "2 up to date"):
        result = run("infer", "-m", card, *sorted(Path().glob("*.png")), "--candidates", "--spread", "maps")
        assert result.exit_code == 0 and done in result.stderr, result.output
        names = [f"{name}{end}.png" for name in "ab" for end in ("", "-deblurred", "-deblurred-1", "-deblurred-2")]
        assert {path.name for path in Path().glob("*.png")} == set(names)


def test_what_stands_where_candidates_and_maps_should_go_is_not_replaced(run: Run, card: Path) -> None:
    for number, name in enumerate("ab"):
        save_photo(Path(f"in/{name}.png"), number)
    assert run("infer", "-m", card, "in", "-o", "out").exit_code == 0
    for path in (Path("out/a-1.png"), Path("maps/b.png")):
        save_photo(path, 7)
    before = Path("out/a-1.png").read_bytes()
    more = ("infer", "-m", card, "in", "-o", "out", "--candidates", "--spread", "maps")
    result = run(*more)
    assert result.exit_code == 1
    assert "out/a-1.png exists already" in result.stderr and "maps/b.png exists already" in result.stderr
    assert Path("out/a-1.png").read_bytes() == before == Path("maps/b.png").read_bytes()
    assert run(*more, "--overwrite").exit_code == 0
    assert Path("out/a-1.png").read_bytes() != before != Path("maps/b.png").read_bytes()
    again = run(*more, "--strength", "0.5")
    assert again.exit_code == 0 and "2 done" in again.stderr


def test_no_candidate_goes_through_a_link_to_an_input(run: Run, photo: Path, card: Path) -> None:
    before = photo.read_bytes()
    Path("sharp-1.png").symlink_to(photo)
    result = run("infer", "-m", card, photo, "--candidates", "--overwrite", "-o", "sharp.png")
    assert result.exit_code == 1 and f"sharp-1.png is the input {photo}" in result.stderr
    assert photo.read_bytes() == before and not Path("sharp.png").exists()


@pytest.mark.parametrize(
    "option", [("-m", ""), ("-m", "tiny", "-o", ""), ("-m", "tiny", "--spread", " "), ("-m", "tiny", "--device", "")]
)
def test_an_option_that_is_empty_is_not_what_was_meant(run: Run, photo: Path, option: tuple[str, ...]) -> None:
    result = run("infer", photo, *option)
    assert result.exit_code == 2 and "is empty. Check the variable that it came from" in result.stderr


def test_what_cannot_be_right_leaves_no_journal_and_no_folder(run: Run, photo: Path, card: Path) -> None:
    before = sorted(Path().iterdir())
    for output in ((), ("-o", "new/folder")):
        result = run("infer", "-m", card, ".", "--views", "3", *output)
        assert result.exit_code == 2 and "views must be 1, 2 or 4" in result.stderr
        assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_pipe_with_a_name(run: Run, photo: Path, card: Path, suffix: str) -> None:
    given = photo.with_suffix(suffix)
    PillowImage.open(photo).save(given)
    pipe = Path(f"pipe{suffix}")
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, given.read_bytes())
        result = run("infer", "-m", card, pipe, "--precision", "fp32")
    assert result.exit_code == 0, result.output
    assert run("infer", "-m", card, given, "-o", f"expected{suffix}", "--precision", "fp32").exit_code == 0
    assert np.array_equal(pixels(Path(f"pipe-deblurred{suffix}")), pixels(Path(f"expected{suffix}")))


HOSTILE = [
    (["--tile", "-5"], 2, "--tile"),
    (["--tile", "many"], 2, "--tile"),
    (["--strength", "3"], 2, "--strength"),
    (["--strength", "nan"], 2, "strength"),
    (["--file-quality", "0"], 2, "--file-quality"),
    (["--memory", "lots"], 2, "'lots' is not a size"),
    (["--memory", "0"], 2, "more than nothing"),
    (["--device", "cuda:9"], 2, "device"),
    (["--device", "gpu"], 2, "unknown device 'gpu'"),
    (["--precision", "fp8"], 2, "fp8"),
    (["--max-pixels", "-1"], 2, "--max-pixels"),
    (["--max-pixels", "100"], 1, "photo.png"),
    (["--format", "jpgg"], 2, "unknown format 'jpgg'. Did you mean 'jpg'"),
    (["-o", "-", "--json"], 2, "cannot both go to standard output"),
    (["-o", "-", "--candidates"], 2, "candidates cannot go to standard output"),
    (["-o", "photo.png/out.png"], 1, "photo.png"),
    (["-o", f"{'x' * 300}.png"], 1, "xxx.png cannot be written: the name is too long"),
    (["-o", "x" * 300], 1, "xxx/photo.png cannot be written: the name is too long"),
    ([f"{'x' * 300}.png"], 1, "xxx.png cannot be read: File name too long"),
    (["nowhere.png"], 1, "nowhere.png does not exist"),
    ([""], 2, "an input has no name"),
    (["empty"], 2, "no image lies in empty"),
    (["*.gif"], 2, "no image matches '*.gif'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), HOSTILE, ids=[" ".join(a) for a, _, _ in HOSTILE])
def test_hostile_options_get_one_line_and_the_right_exit_code(
    run: Run, photo: Path, card: Path, arguments: list[str], code: int, message: str
) -> None:
    Path("empty").mkdir()
    result = run("infer", "-m", card, "photo.png", *arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("zoo")
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["deblur", "photo.png", "--model", "tiny-debulr"], 2, "unknown model 'tiny-debulr'. Did you mean 'tiny-deblur'?"),
        (["deblur", "photo.png", "--model", "./none.toml"], 1, "none.toml does not exist"),
        (["infer", "photo.png"], 2, "Add --model NAME"),
        (["deblur"], 2, "INPUT"),
        (["debulr", "photo.png"], 2, "deblur"),
    ],
)
def test_hostile_commands(run: Run, photo: Path, arguments: list[str], code: int, message: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr


def test_a_model_for_another_task_is_refused_by_the_verb(run: Run, photo: Path, card: Path) -> None:
    card.write_text(card.read_text().replace('"deblur"', '"denoise"'))
    result = run("deblur", photo, "--model", card)
    assert result.exit_code == 2 and "model 'tiny' is for denoise, not deblur" in result.stderr
    assert run("infer", photo, "--model", card).exit_code == 0


def test_debug_shows_the_traceback_and_nothing_else_does(
    run: Run, photo: Path, card: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(card: object, **options: object) -> Restorer:
        raise RuntimeError("the roof is on fire")

    monkeypatch.setattr(Restorer, "from_card", staticmethod(broken))
    plain = run("infer", "-m", card, photo)
    assert plain.exit_code == 1
    assert plain.stderr.splitlines()[-1] == (
        "restorekit: internal error: RuntimeError: the roof is on fire. Run again with --debug to see where."
    )
    assert "Traceback" not in plain.output
    told = run("infer", "-m", card, photo, "--debug")
    assert told.exit_code == 1 and "Traceback" in told.stderr and "in broken" in told.stderr


def test_verbs_take_the_same_options() -> None:
    from typer.main import get_command

    from restorekit.cli.app import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    names = {verb: [option for p in commands[verb].params for option in p.opts] for verb in ("deblur", "infer")}
    assert names["deblur"] == names["infer"]
    assert {"--output", "--model", "--device", "--precision", "--tile", "--overlap", "--memory", "--strength"} <= set(
        names["infer"]
    )


def test_strips(run: Run, card: Path, tmp_path: Path) -> None:
    whole, photo = tmp_path / "whole.tif", tmp_path / "photo.tif"
    PillowImage.fromarray(pixels(save_photo(tmp_path / "photo.png", size=(96, 150)))).save(photo)
    options = ("infer", "-m", card, photo, "--precision", "fp32", "--tile", "64", "--overlap", "8")
    assert run(*options, "--no-strips", "-o", whole).exit_code == 0
    result = run(*options, "--strips")
    assert result.exit_code == 0, result.output
    assert " tiles of 64x64 with 8 of context on each side" in result.stderr
    assert np.array_equal(pixels(tmp_path / "photo-deblurred.tif"), pixels(whole))
    assert run(*options, "--strips", "--candidates").exit_code == 2
    result = run(*options, "--strips", "-o", "photo.jpg")
    assert result.exit_code == 1 and "cannot be restored in strips" in result.stderr
