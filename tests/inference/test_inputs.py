"""Which inputs are meant, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from restorekit.errors import UnknownNameError, UsageError
from restorekit.images import folders
from restorekit.inference.inputs import Plan, expand, plan

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Makes files, whose content does not matter here, and goes to their folder."""
    monkeypatch.chdir(tmp_path)

    def make(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(name)
        return tmp_path

    return make


def pairs(made: Plan) -> dict[str, str]:
    return {job.source.as_posix() if job.source else "-": job.target.as_posix() if job.target else "-" for job in made.jobs}


def planned(*inputs: str, **options: object) -> dict[str, str]:
    return pairs(plan(inputs, suffix="deblurred", **options))  # type: ignore[arg-type]


def test_a_single_result_lies_beside_its_input(tree: Tree) -> None:
    tree("in/photo.JPG")
    made = plan(["in/photo.JPG"], suffix="deblurred")
    assert pairs(made) == {"in/photo.JPG": "in/photo-deblurred.JPG"}
    assert made.single


@pytest.mark.parametrize(
    ("options", "target"),
    [
        ({"output": "out.png"}, "out.png"),
        ({"output": "deep/out.png"}, "deep/out.png"),
        ({"output": "out"}, "out/photo.jpg"),
        ({"output": "out/"}, "out/photo.jpg"),
        ({"output": "out.png/"}, "out.png/photo.jpg"),
        ({"output": "2024.05.12"}, "2024.05.12/photo.jpg"),
        ({"output": "-"}, "-"),
        ({"output": "out", "format": "PNG"}, "out/photo.png"),
        ({"format": "tif"}, "photo-deblurred.tif"),
        ({"output": "."}, "photo-deblurred.jpg"),
    ],
)
def test_where_a_single_result_goes(tree: Tree, options: dict[str, str], target: str) -> None:
    tree("photo.jpg")
    assert planned("photo.jpg", **options) == {"photo.jpg": target}


def test_an_existing_folder_is_a_folder_whatever_its_name(tree: Tree) -> None:
    tree("photo.jpg", "out.jpg/keep.txt")
    assert planned("photo.jpg", output="out.jpg") == {"photo.jpg": "out.jpg/photo.jpg"}


def test_a_file_without_an_image_extension_becomes_a_png(tree: Tree) -> None:
    tree("scan", "upload.tmp")
    assert planned("scan", "upload.tmp") == {"scan": "scan-deblurred.png", "upload.tmp": "upload-deblurred.png"}


HEADS = {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0", "tif": b"II*\x00"}


def test_the_format_follows_the_content_and_not_the_name(tree: Tree) -> None:
    for name, kind in {"mis.jpg": "png", "scan": "jpg", "fine.JPEG": "jpg", "fine.tiff": "tif"}.items():
        (tree() / name).write_bytes(HEADS[kind])
    assert planned("mis.jpg") == {"mis.jpg": "mis-deblurred.png"}
    assert planned("mis.jpg", output="out/") == {"mis.jpg": "out/mis.png"}
    assert planned("mis.jpg", output="o.jpg") == {"mis.jpg": "o.jpg"}
    assert planned("mis.jpg", format="jpg") == {"mis.jpg": "mis-deblurred.jpg"}
    assert planned("scan", "fine.JPEG", "fine.tiff") == {
        "scan": "scan-deblurred.jpg",
        "fine.JPEG": "fine-deblurred.JPEG",
        "fine.tiff": "fine-deblurred.tiff",
    }


def test_a_pipe_is_not_read_beforehand(tree: Tree) -> None:
    os.mkfifo(tree() / "pipe.jpg")  # opening it would wait for ever
    assert planned("pipe.jpg") == {"pipe.jpg": "pipe-deblurred.jpg"}


def test_names_too_long_are_left_to_be_reported(tree: Tree) -> None:
    tree("a.jpg")
    long = "x" * 300
    assert planned("a.jpg", output=f"{long}.png") == {"a.jpg": f"{long}.png"}
    assert planned(f"{long}.jpg", output="o.png", maps={"spread": f"{long}.png"}) == {f"{long}.jpg": "o.png"}


def test_a_folder_gives_its_images_in_order(tree: Tree) -> None:
    tree("in/b.jpg", "in/a.PNG", "in/notes.txt", "in/.hidden.jpg", "in/deeper/c.jpg", "in/.thumbs/d.jpg")
    assert planned("in") == {"in/a.PNG": "in/a-deblurred.PNG", "in/b.jpg": "in/b-deblurred.jpg"}
    assert planned("in", output="out") == {"in/a.PNG": "out/a.PNG", "in/b.jpg": "out/b.jpg"}


def test_recursion_keeps_the_tree(tree: Tree) -> None:
    tree("in/a.jpg", "in/x/a.jpg", "in/x/y/a.jpg", "in/.thumbs/a.jpg")
    assert planned("in", output="out", recursive=True) == {
        "in/a.jpg": "out/a.jpg",
        "in/x/a.jpg": "out/x/a.jpg",
        "in/x/y/a.jpg": "out/x/y/a.jpg",
    }
    assert planned("in", recursive=True)["in/x/a.jpg"] == "in/x/a-deblurred.jpg"


def test_an_output_folder_inside_the_input_is_not_an_input(tree: Tree) -> None:
    tree("in/a.jpg", "in/x/b.jpg", "in/out/a.jpg", "in/out/x/b.jpg")
    expected = {"in/a.jpg": "in/out/a.jpg", "in/x/b.jpg": "in/out/x/b.jpg"}
    assert planned("in", output="in/out", recursive=True) == expected
    assert planned("in", output=str(Path("in/out").resolve()), recursive=True).keys() == expected.keys()


def test_a_folder_that_cannot_be_read_fails_alone(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("in/a.jpg", "shut/b.jpg")

    def walk(folder: Path, onerror: Callable[[OSError], object]) -> Iterator[object]:
        if folder.name == "shut":
            onerror(PermissionError(13, "Permission denied", str(folder)))
            return
        yield from folders.walk(folder, onerror)

    monkeypatch.setattr("restorekit.inference.inputs.walk", walk)
    assert planned("in", "shut") == {"in/a.jpg": "in/a-deblurred.jpg", "shut": "shut-deblurred.png"}


def test_brackets_are_no_pattern_where_a_folder_has_that_name(tree: Tree) -> None:
    tree("trip [1]/deep/a.jpg", "trip [1]/b.jpg", "trip 1/c.jpg")
    assert planned("trip [1]/*.jpg", output="out") == {"trip [1]/b.jpg": "out/b.jpg"}
    assert planned("trip [1]/**/*.jpg", output="out").keys() == {"trip [1]/b.jpg", "trip [1]/deep/a.jpg"}
    assert planned("trip [1-3]/*.jpg", output="out") == {"trip 1/c.jpg": "out/trip 1/c.jpg"}


def test_links_to_folders_count_as_folders(tree: Tree) -> None:
    tree("in/a.jpg", "elsewhere/b.jpg")
    Path("in/linked").symlink_to(Path("elsewhere").resolve())
    Path("in/circle").symlink_to(Path("in").resolve())
    assert planned("in", output="out", recursive=True) == {"in/a.jpg": "out/a.jpg", "in/linked/b.jpg": "out/linked/b.jpg"}
    assert planned("in", output="out") == {"in/a.jpg": "out/a.jpg"}


def test_earlier_results_beside_inputs_are_not_inputs(tree: Tree) -> None:
    tree(
        "in/a.jpg",
        "in/a-deblurred.jpg",
        "in/a-deblurred-2.jpg",
        "in/lone-deblurred.jpg",
        "in/a-b.jpg",
        "in/b-deblurred.png",
        "in/b.jpg",
    )
    kept = ["in/a-b.jpg", "in/a.jpg", "in/b.jpg", "in/lone-deblurred.jpg"]
    assert sorted(planned("in")) == kept
    assert sorted(planned("in/*.*")) == kept
    assert list(planned("in/a-deblurred.jpg")) == ["in/a-deblurred.jpg"]


def test_the_input_folder_as_output_keeps_inputs_safe(tree: Tree) -> None:
    tree("in/a.jpg", "in/a-deblurred.jpg")
    assert planned("in", output="in") == {"in/a.jpg": "in/a-deblurred.jpg"}


def test_patterns_are_expanded_and_keep_the_tree_below_them(tree: Tree) -> None:
    tree("in/x/a.jpg", "in/y/a.jpg", "in/y/a.txt", "in/[1].jpg")
    assert planned("in/*/a.*", output="out") == {"in/x/a.jpg": "out/x/a.jpg", "in/y/a.jpg": "out/y/a.jpg"}
    assert planned("in/**/*.jpg", output="out")["in/x/a.jpg"] == "out/x/a.jpg"
    assert planned("in/[1].jpg") == {"in/[1].jpg": "in/[1]-deblurred.jpg"}


def test_an_input_named_twice_is_done_once(tree: Tree) -> None:
    folder = tree("in/a.jpg", "in/b.jpg")
    made = planned("in/a.jpg", "in", str(folder / "in" / "a.jpg"), "in/../in/b.jpg")
    assert len(made) == 2


def test_a_pipe_in_a_folder_is_left_alone(tree: Tree) -> None:
    folder = tree("in/a.jpg", "in/b.jpg")
    os.mkfifo(folder / "in" / "pipe.jpg")
    (folder / "in" / "gone.jpg").symlink_to("nowhere")
    assert list(planned("in")) == ["in/a.jpg", "in/b.jpg", "in/gone.jpg"]


def test_a_folder_of_videos_says_how_they_are_named(tree: Tree) -> None:
    tree("films/a.mp4")
    with pytest.raises(UsageError, match=r"no image lies in films. Only depth takes videos, each by its name or a pattern"):
        planned("films")


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (["empty"], {}, "no image lies in empty"),
        (["tree"], {}, "no image lies in tree. Add --recursive"),
        (["*.gif"], {}, r"no image matches '\*.gif'"),
        (["in"], {"output": "one.png"}, "several results cannot be one file, one.png"),
        (["in"], {"output": "-"}, "several results cannot go to standard output"),
        (["-", "in"], {}, "cannot be mixed"),
        (["-"], {"output": "out/"}, "has no name"),
        (["-"], {"candidates": True}, "candidates cannot go to standard output"),
        (["in/a.jpg"], {"output": "a.jpgg"}, r"unknown format 'jpgg' in a.jpgg .*Did you mean 'jpg'"),
        (["in/a.jpg"], {"output": "a.png", "format": "jpg"}, "a.png does not end as a jpg file does"),
        (["in/a.jpg"], {"format": "jgp"}, "unknown format 'jgp'. Did you mean 'jpg'"),
        (["in/a.jpg"], {"output": "in/a.jpg"}, "the result of in/a.jpg would overwrite the input in/a.jpg"),
        (["in/a.jpg"], {"output": "link.jpg"}, "would overwrite the input in/a.jpg"),
        (["in/a.jpg"], {"maps": {"spread": "in/a.jpg"}}, "the spread map of in/a.jpg would overwrite the input in/a.jpg"),
        (["in/a.jpg"], {"output": "x.png", "maps": {"spread": "x.png"}}, "would both be written to x.png"),
        (
            ["in"],
            {"output": "out", "format": "png"},
            "the result of in/a.jpg and the result of in/a.png would both be written to out/a.png",
        ),
        (
            ["in/a.jpg", "tree/x/a.jpg"],
            {"output": "out"},
            "a.jpg and the result of tree/x/a.jpg would both be written to out/a.jpg",
        ),
        (["-"], {"output": "x.png", "maps": {"spread": "x.png"}}, "the result of standard input and the spread map of"),
        (["in"], {"maps": {"spread": "map.png"}}, "spread maps of several images cannot all be map.png"),
        (
            ["num/a.jpg", "num/a-1.jpg"],
            {"output": "out", "candidates": True},
            "a candidate of num/a.jpg might be written to out/a-1.jpg",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_work(
    tree: Tree, inputs: list[str], options: dict[str, object], message: str
) -> None:
    folder = tree("in/a.jpg", "in/a.png", "tree/x/a.jpg", "num/a.jpg", "num/a-1.jpg")
    (folder / "empty").mkdir()
    os.symlink("in/a.jpg", folder / "link.jpg")
    with pytest.raises(UsageError, match=message):
        planned(*inputs, **options)


def test_a_spread_map_that_cannot_be_written_is_refused_before_any_work(tree: Tree) -> None:
    tree("a.jpg")
    with pytest.raises(UsageError, match=r"map\.tx .*or end it with '/' if it is a folder"):
        planned("a.jpg", maps={"spread": "map.tx"})


def test_a_format_that_cannot_be_written_here_is_refused_before_any_work(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("a.jpg")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for wanted in ({"format": "heic"}, {"output": "b.heic"}):
        with pytest.raises(UsageError, match="HEIC files need pillow-heif"):
            planned("a.jpg", **wanted)


def test_an_unknown_format_is_an_unknown_name(tree: Tree) -> None:
    tree("a.jpg")
    with pytest.raises(UnknownNameError):
        planned("a.jpg", format="gif89")


def test_a_missing_file_is_left_to_be_reported(tree: Tree) -> None:
    tree("a.jpg")
    assert list(planned("a.jpg", "missing.jpg", output="out")) == ["a.jpg", "missing.jpg"]
    assert plan(["missing.jpg"], suffix="deblurred").single


def test_spread_maps_get_a_tree_of_their_own(tree: Tree) -> None:
    tree("in/a.jpg", "in/x/b.tif")
    made = plan(["in"], suffix="deblurred", output="out", recursive=True, maps={"spread": "maps"})
    assert [dict(job.maps)["spread"].as_posix() for job in made.jobs] == ["maps/a.png", "maps/x/b.png"]


def test_candidates_are_numbered_beside_the_result(tree: Tree) -> None:
    tree("photo.jpg")
    (job,) = plan(["photo.jpg"], suffix="deblurred", candidates=True).jobs
    assert [str(job.candidate(n)) for n in (1, 2)] == ["photo-deblurred-1.jpg", "photo-deblurred-2.jpg"]


def test_standard_streams(tree: Tree) -> None:
    tree("photo.jpg")
    assert planned("-") == {"-": "-"}
    assert planned("-", output="-") == {"-": "-"}
    assert planned("-", output="a.png") == {"-": "a.png"}
    assert plan(["-"], suffix="deblurred", format="jpg").format == "JPEG"


def test_videos_are_inputs_where_they_are_wanted(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("a/clip.mp4", "b/clip.mov", "in/photo.jpg")
    monkeypatch.setattr("restorekit.inference.inputs.count_frames", lambda path: 2)
    options = {"suffix": "depth", "format": "png", "videos": True}
    one = plan(["a/clip.mp4"], **options)  # type: ignore[arg-type]
    assert [(job.target and job.target.as_posix(), job.frame) for job in one.jobs] == [
        ("a/clip-depth/000001.png", 0),
        ("a/clip-depth/000002.png", 1),
    ]
    assert not one.single
    both = plan(["in", "a/clip.mp4"], output="out", **options)  # type: ignore[arg-type]
    assert [job.target and job.target.as_posix() for job in both.jobs] == [
        "out/photo.png",
        "out/clip/000001.png",
        "out/clip/000002.png",
    ]
    with pytest.raises(UsageError, match=r"frame 1 of a/clip\.mp4 and the result of frame 1 of b/clip\.mov would both"):
        plan(["a/clip.mp4", "b/clip.mov"], output="out", **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="several results cannot go to standard output"):
        plan(["a/clip.mp4"], output="-", **options)  # type: ignore[arg-type]
    assert planned("a/clip.mp4") == {"a/clip.mp4": "a/clip-deblurred.png"}


def test_an_input_without_a_name_is_refused(tree: Tree) -> None:
    tree("a.jpg")
    for inputs in ([""], ["a.jpg", ""], ["", "-"]):
        for videos in (False, True):
            with pytest.raises(UsageError, match="an input has no name"):
                planned(*inputs, videos=videos)


def test_results_that_the_shell_names_are_left_out(tree: Tree) -> None:
    made = {"a.jpg": "a-deblurred.jpg", "b.jpg": "b-deblurred.jpg", "c.jpg": "c-deblurred.jpg"}
    tree(*made, "a-deblurred.jpg", "b-deblurred.jpg", "lone-deblurred.jpg", "in/a.jpg", "in/a-deblurred.jpg")
    results = ["a-deblurred.jpg", "b-deblurred.jpg"]
    assert planned(*results, *made) == planned(*made, *results) == made
    assert planned("./b-deblurred.jpg", *made) == made
    assert planned(*made, *results, output=".") == made
    assert planned("a.jpg", "lone-deblurred.jpg").keys() == {"a.jpg", "lone-deblurred.jpg"}
    assert planned("a.jpg", "in/a-deblurred.jpg").keys() == {"a.jpg", "in/a-deblurred.jpg"}
    assert planned("a-deblurred.jpg", "b-deblurred.jpg").keys() == set(results)


def test_candidates_that_the_shell_names_are_left_out(tree: Tree) -> None:
    names = ["a.jpg", "b.jpg", "a-deblurred.jpg", "a-deblurred-1.jpg", "a-deblurred-12.jpg", "b-deblurred-1.jpg"]
    tree(*names)
    made = {"a.jpg": "a-deblurred.jpg", "b.jpg": "b-deblurred.jpg"}
    assert planned(*names, candidates=True) == made
    assert planned(*names).keys() == {*made, "a-deblurred-1.jpg", "a-deblurred-12.jpg", "b-deblurred-1.jpg"}


def test_names_of_results_are_inputs_where_results_go_elsewhere(tree: Tree) -> None:
    names = ["a.jpg", "a-deblurred.jpg", "a-deblurred-1.jpg"]
    tree(*names, "in/a.jpg", "out/a.jpg")
    assert planned(*names, output="out2", candidates=False) == {name: f"out2/{name}" for name in names}
    assert planned("a.jpg", "a-deblurred.jpg", format="png") == {
        "a.jpg": "a-deblurred.png",
        "a-deblurred.jpg": "a-deblurred-deblurred.png",
    }
    for inputs in (["in/a.jpg", "out/a.jpg"], ["out/a.jpg", "in/a.jpg"], ["in", "out"]):
        with pytest.raises(UsageError, match=r"the result of in/a\.jpg would overwrite the input out/a\.jpg"):
            planned(*inputs, output="out")


@pytest.mark.parametrize("pattern", ["in/**/*.jpg", "./in/**/*.jpg", "in/x/../**/*.jpg", "**/*.jpg"])
def test_patterns_do_not_look_into_the_output_folder(tree: Tree, pattern: str) -> None:
    folder = tree("in/a.jpg", "in/x/b.jpg", "in/out/a.jpg", "in/out/x/b.jpg", "in/output/c.jpg")
    (folder / "link").symlink_to("in/out")
    for output in ("in/out", "in/out/", "./in/x/../out", str(folder / "in" / "out"), "link"):
        made = plan([pattern], suffix="deblurred", output=output).jobs
        found = {job.source.resolve().relative_to(folder).as_posix() for job in made if job.source}
        assert found == {"in/a.jpg", "in/x/b.jpg", "in/output/c.jpg"}, output


def test_patterns_in_the_output_folder_itself_are_looked_into(tree: Tree) -> None:
    folder = tree("out/a.jpg", "out/x/b.jpg")
    for output in ("out", "out/", str(folder / "out")):
        place = Path(output).as_posix()
        assert planned("out/*.jpg", output=output) == {"out/a.jpg": f"{place}/a-deblurred.jpg"}
        assert planned("out/x/*.jpg", output=output) == {"out/x/b.jpg": f"{place}/b.jpg"}
    for output in (".", str(folder), "out/.."):
        assert planned("out/x/*.jpg", output=output).keys() == {"out/x/b.jpg"}
        assert planned("out/*/*.jpg", output=output).keys() == {"out/x/b.jpg"}


def test_folders_of_maps_inside_the_input_are_not_inputs(tree: Tree) -> None:
    tree("in/a.jpg", "in/x/b.jpg", "in/maps/a.png", "in/maps/x/b.png", "in/r/a.png", "in/mapsx/c.jpg")
    places = {"spread": "in/maps", "reflection": "in/r/"}
    kept = {"in/a.jpg", "in/x/b.jpg", "in/mapsx/c.jpg"}
    for options in ({}, {"output": "out"}):
        assert planned("in", recursive=True, maps=places, **options).keys() == kept
        assert planned("in/**/*.*", maps=places, **options).keys() == kept
    assert "in/maps/a.png" in planned("in", recursive=True)


def test_a_pattern_stands_for_the_videos_too(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("a.mp4", "b.MP4", "c.mov", "photo.jpg", "in/d.mp4", "[1].mp4")
    monkeypatch.setattr("restorekit.inference.inputs.count_frames", lambda path: 1)
    frame = "000001.png"

    def found(*inputs: str) -> dict[str, str]:
        return planned(*inputs, output="out", format="png", videos=True)

    assert found("?.mp4") == {"a.mp4": f"out/{frame}"}
    assert found("?.[mM]*4") == {"a.mp4": f"out/a/{frame}", "b.MP4": f"out/b/{frame}"}
    assert found("a.mp4", "*.mp4").keys() == {"a.mp4", "[1].mp4"}
    assert found("[1].mp4") == {"[1].mp4": f"out/{frame}"}
    assert found("**/*.mp4").keys() == {"a.mp4", "[1].mp4", "in/d.mp4"}
    assert found("*.jpg") == {"photo.jpg": "out/photo.png"}
    assert found("[a-p]*.*").keys() == {"a.mp4", "b.MP4", "c.mov", "photo.jpg"}
    assert found("photo.jpg", "c.*") == {"photo.jpg": "out/photo.png", "c.mov": f"out/c/{frame}"}
    with pytest.raises(UsageError, match=r"no image matches '\*\.gif'"):
        found("*.gif")
    with pytest.raises(UsageError, match=r"no image matches '\*\.mp4'"):
        planned("*.mp4", output="out")


def test_frames_cannot_go_to_a_video(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree("clip.mp4", "folder.mp4/keep.txt")
    monkeypatch.setattr("restorekit.inference.inputs.count_frames", lambda path: 1)
    for output in ("out.mp4", "deep/out.MOV", "clip.mp4"):
        with pytest.raises(UsageError, match=r"cannot be a video: the frames become images\. Name a folder with -o"):
            planned("clip.mp4", output=output, videos=True)
    assert planned("clip.mp4", output="folder.mp4", videos=True) == {"clip.mp4": "folder.mp4/000001.png"}


def test_patterns_are_replaced_by_what_matches(tree: Tree) -> None:
    tree("b1.jpg", "a1.jpg", "x[1].jpg", "x1.jpg", "in[1]/c.jpg", "in1/c.jpg", "deep/er/d.jpg", ".hidden.jpg")
    named = ["a?.jpg", "*1.jpg", "x[1].jpg", "in[1]/*.jpg", "**/d.jpg", "none*.jpg", "none[1].jpg", "nowhere.jpg", "in[12]"]
    assert [str(path) for path in expand(map(Path, named))] == [
        "a1.jpg",
        *("a1.jpg", "b1.jpg", "x1.jpg"),
        "x[1].jpg",
        "in[1]/c.jpg",
        "deep/er/d.jpg",
        *("none*.jpg", "none[1].jpg", "nowhere.jpg"),
        "in1",
    ]
