from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from restorekit.images import raw_profiles


@given(st.binary(max_size=300))
def test_text_gives_back_what_it_was_made_of(data: bytes) -> None:
    text = raw_profiles.as_text("iptc", data)
    assert raw_profiles.bytes_in(text) == data
    assert text.startswith(f"\niptc\n{len(data):8d}\n") and max(map(len, text.split("\n"))) <= 72


@pytest.mark.parametrize("text", [None, 3, b"\niptc\n2\n00", "\niptc\n2\nzz", "\niptc\n2\n0"])
def test_what_is_no_text_of_digits(text: object) -> None:
    assert raw_profiles.bytes_in(text) is None
