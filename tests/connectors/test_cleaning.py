"""Cleaning: what stands around an address comes off, and cleaning twice changes nothing more."""

from hypothesis import given
from hypothesis import strategies as st

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
