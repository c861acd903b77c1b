"""Formula guard: no guarded cell is a formula, wherever a spreadsheet splits it; unguarding gives the original text."""

import csv
import io
import re
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.files.export_csv import csv_bytes
from worker.files.formula_guard import _UNSEEN, guard, unguard

SIGNS = "=+-@\uff1d\uff0b\uff0d\uff20"  #: the last four are the full-width forms
RISKY = f"{SIGNS}\t\r\n"
UNSEEN = "\u200b\ufeff\u00ad\u202e\u00a0\u3000\u2060\x00\x0b\U000e0041"
SEPARATORS = ";,|\t\r\n"


def begins_a_formula(cell: str) -> bool:
    return cell.lstrip(UNSEEN + ' "').startswith(tuple(RISKY))


@given(st.text() | st.text(alphabet=f"'x \"{RISKY}{UNSEEN}{SEPARATORS}"))
def test_a_guarded_cell_is_not_a_formula_and_unguards_to_the_original(text):
    guarded = guard(text)

    assert not any(begins_a_formula(cell) for cell in re.split(f"[{SEPARATORS}]", guarded) if cell)
    assert unguard(guarded) == text
    if not any(sign in text for sign in RISKY):
        assert guarded == text


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        " =1+1",
        "\u200b=1+1",
        "\ufeff=1+1",
        "a;=1+1",
        "a,=1+1",
        "a\t=1+1",
        "a\n=1+1",
        "a\r@SUM(1)",
        "a|+1",
        'a;"=1+1',
        "a; \u200b=1+1",
        "\uff1d1+1",
        "'=1",
        "a;'=1",
        "+62812",
        "\t1",
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_no_locale_of_a_spreadsheet_finds_a_formula_in_our_file(text, delimiter):
    written = csv_bytes([["id", "name", "note"], ["7", text, "x"]], is_raw=False).decode()

    for row in csv.reader(io.StringIO(written, newline=""), delimiter=delimiter):
        assert not any(begins_a_formula(cell) for cell in row)


@pytest.mark.parametrize(
    "text", ["Ana Lestari", "a;b", "x=1", "1-2", "ana@example.com", "O'Hara; Ana", "it's, 'so'", ""]
)
def test_ordinary_text_stays_as_it_is(text):
    assert guard(text) == unguard(text) == text


def test_every_character_without_a_shape_is_known():
    unseen = re.compile(_UNSEEN)
    missed = [
        hex(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in {"Cf", "Cc", "Zs", "Zl", "Zp"}
        and chr(code) not in "\t\r\n"
        and not unseen.fullmatch(chr(code))
    ]

    assert missed == []


@pytest.mark.parametrize("unit", ["\t", "\n", "'", ", ", ";'", "\u200b", "=", ',"', " ", ";\u200b'"])
def test_twice_the_text_takes_about_twice_the_time(unit):
    def seconds(text):
        began = time.perf_counter()
        unguard(guard(text))
        return time.perf_counter() - began

    once, twice = unit * 50_000 + "x=", unit * 100_000 + "x="

    assert min(seconds(twice) for _ in range(3)) < 4 * min(seconds(once) for _ in range(3)) + 0.01
