"""Formulas: cells that a spreadsheet would run instead of show.

A value that begins with one of a few characters is run when a CSV file is opened ("CSV injection", OWASP). An
apostrophe before it keeps it text. One is put before numbers in international form too: without it a spreadsheet
reads ``+6281234567890`` as a number, and saves it without its plus or rounded.
"""

import re

# The full-width forms count too where spreadsheets are set to East Asian languages. Apostrophes before them are ours
# or were there: both get one more, so that taking one off always gives back what was there.
_RISKY = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - the full-width forms are meant


def guard(text: str) -> str:
    """Make a cell that no spreadsheet runs."""
    return f"'{text}" if _RISKY.match(text) else text


def unguard(text: str) -> str:
    """Return what ``guard`` was given; other text is as it was."""
    return text[1:] if text.startswith("'") and _RISKY.match(text, 1) else text
