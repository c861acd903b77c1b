"""Past: which name a statement says, and when an identifier was claimed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.past import name_in, name_of, reach
from worker.domain.terms import Stamp

EMAIL = ("email", "ayu@example.com")


def at(occurred):
    return Stamp(occurred, occurred, f"d{occurred}", 0, "00")


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ({"name": "Ayu Sari", "first_name": "A."}, "Ayu Sari"),
        ({"name": "", "first_name": "Ayu", "last_name": "Sari"}, "Ayu Sari"),
        ({"first_name": None, "last_name": "Sari"}, "Sari"),
        ({"first_name": "Ayu"}, "Ayu"),
        ({"first_name": None, "last_name": ""}, ""),
        ({"note": "Ayu"}, ""),
    ],
)
def test_a_statement_says_a_whole_name_or_its_parts(said, name):
    assert name_in(said) == name


def test_the_parts_of_two_statements_are_no_name():
    registers = {"first_name": (at(2), "Budi"), "last_name": (at(1), "Sari"), "note": (at(9), "x")}

    assert name_of(registers) == (at(2), "Budi")
    assert name_of({"note": (at(9), "x")}) == (None, "")


@given(st.lists(st.integers(1, 9), min_size=1))
def test_a_history_tells_the_first_and_the_last_claim_in_any_order(times):
    history = {}

    for time in times:
        reach(history, EMAIL, at(time))

    assert history == {EMAIL: (at(min(times)), at(max(times)))}
