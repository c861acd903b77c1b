"""Countries: codes and names of a country lead to its code."""

import pytest

from connectors.countries import code_of


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("id", "ID"),
        ("ID ", "ID"),
        ("IDN", "ID"),
        ("Indonesia", "ID"),
        ("INDONESIA", "ID"),
        ("UK", "GB"),
        ("U.K.", "GB"),
        ("United Kingdom", "GB"),
        ("Great Britain", "GB"),
        ("USA", "US"),
        ("U.S.A.", "US"),
        ("United States of America", "US"),
        ("The Netherlands", "NL"),
        ("South Korea", "KR"),
        ("C\u00f4te d'Ivoire", "CI"),
        ("\uff29\uff24", "ID"),  # full width
        ("840", None),
        ("62", None),
        ("Jakarta", None),
        ("", None),
        (None, None),
    ],
)
def test_a_country_is_read_from_codes_and_names(written, code):
    assert code_of(written) == code
