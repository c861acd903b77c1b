"""Formula guard: no guarded cell is a formula, and unguarding gives the original text."""

from hypothesis import given
from hypothesis import strategies as st

from worker.files.formula_guard import guard, unguard

RISKY = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"  # the last four are the full-width forms


@given(st.text() | st.text(alphabet=f"'x{RISKY}"))
def test_a_guarded_cell_is_not_a_formula_and_unguards_to_the_original(text):
    guarded = guard(text)

    assert not guarded.startswith(tuple(RISKY))
    assert unguard(guarded) == text
    if not text.lstrip("'").startswith(tuple(RISKY)):
        assert guarded == text
