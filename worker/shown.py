"""Shown: text that others wrote, on an operator's terminal.

A topic, a name or an error's text may hold anything: markup of the library that prints tables, codes that colour the
terminal, move its cursor or write to its clipboard, marks that turn the order of the letters round.
"""

import sys
import unicodedata

from rich.console import Console
from rich.table import Column
from rich.text import Text

_MOST = 1_000  #: characters of one cell
_NO_LIMIT = 100_000  #: characters of a line, where no terminal says how many it has
#: control and format characters, halves of surrogate pairs, separators of lines and paragraphs
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_JOINERS = "\u200c\u200d"  #: belong to words of many languages, and to emoji


def plain(text: str, *, most: int = _MOST) -> str:
    """Return a text on one line; a character that is not seen as itself is shown by its escape in Python."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(one if one in _JOINERS or unicodedata.category(one) not in _UNSEEN else _escape(one) for one in cut)


def cell(value: object) -> Text:
    """Return a value as a cell of a table, without markup; empty for None."""
    return Text("" if value is None else plain(str(value)))


def columns(*names: str) -> list[Column]:
    """Return the columns of a table; a value that is too wide for the terminal goes on in the next line, uncut."""
    return [Column(cell(name), overflow="fold") for name in names]


def console() -> Console:
    """Return stdout for tables. In a pipe or a file they are as wide as what they hold: half an id is no id."""
    return Console() if sys.stdout.isatty() else Console(width=_NO_LIMIT)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode()
