"""Configuration from files that editors and shells write."""

from __future__ import annotations

from pathlib import Path

import pytest

from restorekit.errors import SettingError
from restorekit.settings import read_toml


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_mark_at_the_beginning_is_no_part_of_a_file(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes(mark + 'name = "é"\r\n[train]\r\nsteps = 3\r\n'.encode())
    assert read_toml(path) == {"name": "é", "train": {"steps": 3}}


def test_another_encoding_is_named(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_bytes("steps = 3".encode("utf-16"))
    with pytest.raises(
        SettingError, match=r"recipe\.toml is not valid TOML: 'utf-8' .* Name a recipe or a card, saved as UTF-8\."
    ):
        read_toml(path)
