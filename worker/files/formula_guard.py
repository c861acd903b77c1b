"""Formula guard: an apostrophe before what a spreadsheet would run as a formula.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@`` when it opens a CSV file ("CSV injection",
https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe before the cell keeps it text. Phone numbers in
international form get the apostrophe too: without it a spreadsheet takes ``+6281234567890`` for a number, and saves it
rounded or without its plus.

Where a cell begins depends on who reads: a spreadsheet set to another country takes ``;`` for the separator, and then
quotes around our cells count for nothing. So the apostrophe also stands behind separators inside a cell. Spaces and
characters that nobody sees do not make a formula harmless: programs drop them.
"""

import re

_SEPARATORS = r"[;,|\t\r\n]"
#: spaces, controls, format characters and others without a shape of their own, and quotes; tab and line ends are risky
#: themselves
_UNSEEN = (
    r"[\"\x00-\x08\x0b\x0c\x0e-\x20\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680"
    r"\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164\ufe00-\ufe0f\ufeff\uffa0"
    r"\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff']"
)
#: spreadsheets set to East Asian languages run the full-width and small forms too
_SIGNS = r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b]"

# What has apostrophes already gets one more, so that taking one off always gives back the original.
_FORMULA = rf"{_UNSEEN}*{_SIGNS}"
_BEGINNING = rf"(?:\A|(?<={_SEPARATORS}))"
_ANY_SIGN = re.compile(_SIGNS)
_RISKY = re.compile(rf"{_BEGINNING}(?={_FORMULA})")
_SAFE = re.compile(rf"{_BEGINNING}'(?={_FORMULA})")

_GUARDED = re.compile(r'="([^"]*)"')


def guard(text: str) -> str:
    """Return the text as a cell that no spreadsheet runs."""
    return _RISKY.sub("'", text) if _ANY_SIGN.search(text) else text


def unguard(text: str) -> str:
    """Undo ``guard``, and the guard of other programs: ``="000123"`` keeps a spreadsheet from dropping the zeros.

    Other texts are returned as they are.
    """
    if (guarded := _GUARDED.fullmatch(text)) is not None:
        return guarded[1]
    return _SAFE.sub("", text) if "'" in text else text
