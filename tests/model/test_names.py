"""Which names are alike, and which records disagree."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import JaroWinkler

from tests.model.names import are_alike, disagree, jaro_winkler


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("Ayu Lestari", "Lestari, Ayu"),
        ("Ayu Lestari", "AYU  LESTARY"),
        ("Ayu Lestari", "A. Lestari"),
        ("Léon Müller", "Le\u0301on Muller"),
        ("Ayu", "Ayu Putri Lestari"),
    ],
)
def test_alike(a, b):
    assert are_alike(a, b)
    assert are_alike(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [("Ayu Lestari", "Budi Lestari"), ("B. Lestari", "Ayu Lestari"), ("Ayu Ayu", "Ayu Budi"), ("Ayu", "Citra")],
)
def test_not_alike(a, b):
    assert not are_alike(a, b)
    assert not are_alike(b, a)


def test_records_disagree_only_if_both_said_a_name_with_letters_and_none_is_alike():
    assert disagree({"Ayu"}, {"Budi"})
    assert not disagree({"Ayu"}, set())
    assert not disagree({"Ayu"}, {"-", "123"})
    assert not disagree({"Ayu", "Budi S."}, {"Budi Santoso"})


@given(st.text("abcdé", min_size=1, max_size=8), st.text("abcdé", min_size=1, max_size=8))
def test_similarity_is_that_of_rapidfuzz(a, b):
    assert jaro_winkler(a, b) == pytest.approx(JaroWinkler.similarity(a, b))
