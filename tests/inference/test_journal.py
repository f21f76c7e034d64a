"""What is known of a result after runs that ended well, were killed, or were meddled with."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from restorekit.errors import ImageError
from restorekit.inference.journal import FILE_NAME, Journal, Making

SETTINGS = {"strength": 1.0}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"photo")
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def making(source: Path, strength: float = 1.0, out: Path | None = None) -> Making:
    made = Making.of(source, {"strength": strength}, out or source.parent / "out")
    assert made is not None
    return made


def write(journal: Journal, target: Path, made: Making, content: bytes = b"result", finish: bool = True) -> None:
    """What the pipeline does, the last line being optional."""
    journal.start(target, made)
    temporary = target.with_name(".temporary")
    temporary.write_bytes(content)
    os.replace(temporary, target)
    if finish:
        journal.finish(target)


def state(out: Path, target: Path, made: Making) -> str:
    """As a fresh run sees it."""
    return Journal(out, create=True).state(target, made)


def test_nothing_is_absent_and_what_was_not_ours_is_foreign(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    assert state(out, target, making(source)) == "absent"
    target.write_bytes(b"somebody's")
    assert state(out, target, making(source)) == "foreign"


@pytest.mark.parametrize("finish", [True, False])
def test_a_result_is_current_also_if_killed_before_the_last_line(source: Path, out: Path, finish: bool) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source), finish=finish)
    assert state(out, target, making(source)) == "current"


def test_killed_before_the_result_stood_leaves_it_absent(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    Journal(out, create=True).start(target, making(source))
    assert state(out, target, making(source)) == "absent"
    assert Journal(out, create=True).knows(target, making(source))
    assert not Journal(out, create=True).knows(target, making(another(source), out=out))


def test_killed_before_a_new_result_replaced_the_old_leaves_the_old(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    journal = Journal(out, create=True)
    write(journal, target, making(source))
    journal.start(target, making(source, 0.5))
    assert state(out, target, making(source)) == "current"
    assert state(out, target, making(source, 0.5)) == "stale"


def test_a_foreign_file_stays_foreign_if_replacing_it_was_cut_short(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    target.write_bytes(b"somebody's")
    Journal(out, create=True).start(target, making(source))
    assert state(out, target, making(source)) == "foreign"


def test_other_settings_or_another_input_make_a_result_stale(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    assert state(out, target, making(source, 0.5)) == "stale"
    source.write_bytes(b"photo, edited")
    assert state(out, target, making(source)) == "stale"


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_result_that_was_changed_or_damaged_is_foreign(source: Path, out: Path, strength: float) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    target.write_bytes(b"garbage")
    assert state(out, target, making(source, strength)) == "foreign"


def another(source: Path) -> Path:
    """A file of the same name, size and time in another folder."""
    copy = source.parent / "another" / source.name
    copy.parent.mkdir()
    shutil.copy2(source, copy)
    return copy


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_result_of_a_namesake_is_foreign(source: Path, out: Path, strength: float) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    assert state(out, target, making(another(source), strength, out)) == "foreign"


def test_one_input_by_two_paths_is_one(source: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    (source.parent / "link").symlink_to(source.parent)
    monkeypatch.chdir(source.parent)
    assert making(source).input == "../photo.jpg"
    for path in (Path(source.name), out / ".." / source.name, source.parent / "link" / source.name):
        assert state(out, target, making(path, out=out)) == "current"


def test_an_input_that_was_moved_is_known_unless_it_changed(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    moved = another(source)
    source.unlink()
    assert state(out, target, making(moved, out=out)) == "current"
    assert state(out, target, making(moved, 0.5, out)) == "stale"
    moved.write_bytes(b"another photo")
    assert state(out, target, making(moved, out=out)) == "foreign"


def test_a_journal_that_noted_names_alone_is_still_read(source: Path, out: Path) -> None:
    target = out / source.name  # also where a file of that name lies in the journal's folder
    write(Journal(out, create=True), target, replace(making(source), input=source.name))
    assert state(out, target, making(source)) == "current"
    assert state(out, target, making(source, 0.5)) == "stale"
    source.write_bytes(b"photo, edited or another")
    assert state(out, target, making(source)) == "foreign"


def test_a_deleted_result_is_absent(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    write(Journal(out, create=True), target, making(source))
    target.unlink()
    assert state(out, target, making(source)) == "absent"


def test_a_line_cut_short_spoils_neither_its_neighbours_nor_the_next(source: Path, out: Path) -> None:
    journal = Journal(out, create=True)
    for name in ("a.jpg", "b.jpg"):
        write(journal, out / name, making(source))
    path = out / FILE_NAME
    path.write_bytes(path.read_bytes()[:-9])
    write(Journal(out, create=True), out / "sub.jpg", making(source))
    assert [state(out, out / name, making(source)) for name in ("a.jpg", "b.jpg", "sub.jpg")] == ["current"] * 3


@pytest.mark.parametrize("junk", [b"\x00\xff\xfe", b"[]\n3\nnull\n", b'{"start": "a.jpg"}\n', b'{"done": "a.jpg", "after": 3}\n'])
def test_junk_is_passed_over(source: Path, out: Path, junk: bytes) -> None:
    (out / FILE_NAME).write_bytes(junk)
    write(Journal(out, create=True), out / "a.jpg", making(source))
    assert state(out, out / "a.jpg", making(source)) == "current"


def test_a_moved_folder_keeps_its_memory(source: Path, out: Path, tmp_path: Path) -> None:
    (out / "sub").mkdir()
    write(Journal(out, create=True), out / "sub" / "a.jpg", making(source))
    tree = tmp_path / "elsewhere" / "deep"
    tree.mkdir(parents=True)
    moved, photo = out.rename(tree / "out"), source.rename(tree / source.name)
    assert state(moved, moved / "sub" / "a.jpg", making(photo)) == "current"
    assert Making.of(photo, SETTINGS, moved) == making(photo)
    photo.write_bytes(b"photo, edited")
    assert state(moved, moved / "sub" / "a.jpg", making(photo)) == "stale"


def test_no_journal_is_started_unless_asked_but_one_is_kept_up(source: Path, out: Path) -> None:
    write(Journal(out, create=False), out / "a.jpg", making(source))
    assert not (out / FILE_NAME).exists()
    write(Journal(out, create=True), out / "b.jpg", making(source))
    write(Journal(out, create=False), out / "c.jpg", making(source))
    assert state(out, out / "c.jpg", making(source)) == "current"


def test_a_journal_that_cannot_be_read_is_named(out: Path) -> None:
    (out / FILE_NAME).mkdir()
    with pytest.raises(ImageError, match=r"the journal .* cannot be read"):
        Journal(out, create=True)


def test_a_source_that_is_not_there_has_no_making(tmp_path: Path) -> None:
    assert Making.of(tmp_path / "missing.jpg", SETTINGS, tmp_path) is None


def beside(journal: Journal, target: Path, made: Making, *names: str, finish: bool = True) -> list[Path]:
    """Writes a result and, before it, files beside it."""
    paths = [target.with_name(name) for name in names]
    journal.start(target, made, paths)
    for path in (*paths, target):
        temporary = path.with_name(".temporary")
        temporary.write_bytes(b"made by us, for " + path.name.encode())
        os.replace(temporary, path)
    if finish:
        journal.finish(target, paths)
    return paths


@pytest.mark.parametrize("finish", [True, False])
def test_what_was_written_beside_a_result_is_known_until_it_changes(source: Path, out: Path, finish: bool) -> None:
    target = out / "a.jpg"
    one, other = beside(Journal(out, create=True), target, making(source), "a-1.jpg", "a-2.jpg", finish=finish)
    journal = Journal(out, create=True)
    assert journal.wrote(target, one) and journal.wrote(target, other)
    assert not journal.wrote(out / "b.jpg", one) and not journal.wrote(target, out / "a-3.jpg")
    assert not journal.wrote(target, target)
    if finish:
        one.write_bytes(b"retouched")
        assert not journal.wrote(target, one) and journal.wrote(target, other)


def test_what_stood_where_a_file_was_about_to_be_written_is_not_ours(source: Path, out: Path) -> None:
    target, foreign = out / "a.jpg", out / "a-1.jpg"
    foreign.write_bytes(b"somebody's")
    Journal(out, create=True).start(target, making(source), [foreign])
    assert not Journal(out, create=True).wrote(target, foreign)
    journal = Journal(out, create=True)
    journal.start(target, making(source), [foreign])
    foreign.write_bytes(b"ours by now")
    assert Journal(out, create=True).wrote(target, foreign)


def test_what_was_written_beside_a_result_before_is_known_after_others(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    one, other = beside(Journal(out, create=True), target, making(source), "a-1.jpg", "a-2.jpg")
    beside(Journal(out, create=True), target, making(source, 0.5))
    assert Journal(out, create=True).wrote(target, other)
    beside(Journal(out, create=True), target, making(source, 0.25), "a-1.jpg", finish=False)
    Journal(out, create=True).start(target, making(source), [one, other])
    assert Journal(out, create=True).wrote(target, one) and Journal(out, create=True).wrote(target, other)


def test_a_result_is_current_only_with_all_that_was_written_beside_it_last(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    one, other = beside(Journal(out, create=True), target, making(source), "a-1.jpg", "a-2.jpg")
    assert state(out, target, making(source)) == "current"
    other.unlink()
    assert state(out, target, making(source)) == "stale"
    beside(Journal(out, create=True), target, making(source), "a-1.jpg")
    assert state(out, target, making(source)) == "current"
    one.unlink()
    assert state(out, target, making(source)) == "stale"


def test_a_journal_that_did_not_note_what_lies_beside_is_still_read(source: Path, out: Path) -> None:
    target = out / "a.jpg"
    (one,) = beside(Journal(out, create=True), target, making(source), "a-1.jpg")
    path = out / FILE_NAME
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "beside"}) + "\n" for line in lines))
    assert state(out, target, making(source)) == "current"
    assert not Journal(out, create=True).wrote(target, one)
