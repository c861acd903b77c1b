"""Formula guard: an apostrophe before cells that a spreadsheet would run as a formula.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` when it opens a CSV file ("CSV injection",
OWASP). An apostrophe before the cell keeps it text. Phone numbers in international form get the apostrophe too:
without it a spreadsheet takes ``+6281234567890`` for a number, and saves it rounded or without its plus.
"""

import re

# Spreadsheets set to East Asian languages run the full-width forms too. A cell that already has an apostrophe gets
# one more, so that taking one off always gives back the original.
_RISKY = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001 - the full-width forms are meant

_GUARDED = re.compile(r'="([^"]*)"')


def guard(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    return f"'{text}" if _RISKY.match(text) else text


def unguard(text: str) -> str:
    """Undo ``guard``, and the guard of other programs: ``="000123"`` keeps a spreadsheet from dropping the zeros.

    Other texts are returned as they are.
    """
    if (guarded := _GUARDED.fullmatch(text)) is not None:
        return guarded[1]
    return text[1:] if text.startswith("'") and _RISKY.match(text, 1) else text
