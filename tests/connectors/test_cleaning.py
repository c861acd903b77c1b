"""Cleaning: what stands around an address comes off, and cleaning twice changes nothing more."""

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import cleaning
from connectors.cleaning import plain_email, plain_text

AROUND = st.text(st.sampled_from(" \t\u00a0\u3000\u200b\ufeff\u202a\u202c<>'\".,;@:a"), max_size=12)


@given(AROUND, AROUND)
def test_what_is_clean_stays_as_it_is(before, after):
    for clean in (plain_text, plain_email):
        once = clean(f"{before}ayu@example.com{after}")
        assert clean(once) == once


def test_text_has_no_invisible_characters_and_plain_blanks():
    assert plain_text("\u200b Ayu\u00a0\u3000 Lestari\u2060\r\n") == "Ayu Lestari"
    assert plain_text("\uff11\uff12") == "12"


@pytest.mark.parametrize("marks", [0, 1, cleaning.MAX_MARKS])
def test_text_with_no_more_marks_than_a_language_has_is_normalised(marks):
    text = "e" + "\u0301" * marks + " x" * 40

    assert cleaning.normalised("NFC", text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("mark", ["\u0301", "\u0345", "\U0001d165", "\u0327\u0301"])
def test_more_marks_in_a_row_are_refused_before_they_are_normalised(mark):
    text = "e" + mark * (cleaning.MAX_MARKS + 1)

    with pytest.raises(ValueError, match="30 combining marks") as caught:
        cleaning.normalised("NFKC", text)
    assert mark not in str(caught.value)
    assert cleaning.plain_text(text) == text


def test_marks_with_a_letter_between_them_are_no_run():
    assert cleaning.is_normalisable(("e" + "\u0301" * cleaning.MAX_MARKS) * 100)
    assert cleaning.is_normalisable("\U0001f469\u200d" * 100)


def test_nothing_else_normalises_text():
    """Unicode's normal forms take quadratic time for what ``normalised`` refuses."""
    root = Path(__file__).parents[2]
    calls = re.compile(r"unicodedata\.normalize|from unicodedata import .*normalize")
    found = [path for room in ("worker", "connectors") for path in (root / room).rglob("*.py")]

    assert [path.name for path in found if calls.search(path.read_text())] == ["cleaning.py"]
