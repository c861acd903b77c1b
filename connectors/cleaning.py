"""Cleaning: what people and programs put around an address or a number comes off, in one place for all sources.

Only addresses and numbers are brought to NFKC here, which makes full-width letters and digits plain ones. Names
keep NFC, because NFKC would change how they look.

Unicode's normal forms take quadratic time for many combining marks in a row, in C code that no signal interrupts: a
second for 20,000 marks. So nothing else in this project calls ``unicodedata.normalize``.
"""

import re
import unicodedata
from typing import Literal

#: combining marks in a row; no language has as many, and Unicode's stream-safe format allows no more (UAX 15, 13)
MAX_MARKS = 30

_SPACES = re.compile(r"\s+")
_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("\u2018", "\u2019"), ("«", "»"), ("<", ">")}
_NAMED = re.compile(r"[^<>@]*<([^<>]*)>")
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
_QUERY = re.compile(r"\?(?:subject|cc|bcc|body)=.*", re.IGNORECASE)
#: what ends a sentence or a list; no address ends so
_ENDS = ".,;:"
_MOST_WRAPPINGS = 8  #: around one address; each is taken off in a pass over the whole text
_SPACED = re.compile(r"\s*@\s*")
_SPACED_DOT = re.compile(r"\s*\.\s*")
#: where marks can be: they are neither letters nor digits nor blanks
_PERHAPS_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{MAX_MARKS + 1}}}")

#: what programs write where there is no id
_NOBODYS = {"0", "null", "(null)", "undefined", "none", "nil", "nan", "n/a", "#n/a", "\\n", "[object object]"}
#: 81234567890.0, 1.23457E+15: a spreadsheet took the id or the number for an amount
_DAMAGED = re.compile(r"\+?\d{5,}[.,]0+|\d(?:[.,]\d+)?E\+?\d+", re.IGNORECASE)


def is_nobodys_id(written: str) -> bool:
    """Return whether an id is a placeholder and names no customer: 0, null, undefined, a dash."""
    text = plain_text(written).casefold()
    return text in _NOBODYS or not text.strip("-\u2013\u2014?. ")


def is_damaged(written: str) -> bool:
    """Whether a spreadsheet has changed an id or a number into an amount, so that its digits are lost."""
    return _DAMAGED.fullmatch(plain_text(written)) is not None


def is_normalisable(text: str) -> bool:
    """Whether the text can be brought to a normal form in linear time: no more than ``MAX_MARKS`` marks in a row."""
    if text.isascii() or _PERHAPS_MARKS.search(text) is None:
        return True
    marks = 0
    for one in text:
        marks = marks + 1 if unicodedata.combining(one) else 0
        if marks > MAX_MARKS:
            return False
    return True


def normalised(form: Literal["NFC", "NFD", "NFKC", "NFKD"], text: str) -> str:
    """Return the text in a normal form of Unicode; raises ValueError for more than ``MAX_MARKS`` in a row."""
    if text.isascii():
        return text
    if not is_normalisable(text):
        raise ValueError(f"more than {MAX_MARKS} combining marks in a row")
    return unicodedata.normalize(form, text)


def plain_text(given: str) -> str:
    """Return the text in NFKC, without invisible format characters (Unicode Cf). White space becomes one blank.

    A text that cannot be normalised keeps its form. It is neither an address nor a word that anybody knows.
    """
    if not given.isascii():
        if is_normalisable(given):
            given = unicodedata.normalize("NFKC", given)
        given = "".join(one for one in given if unicodedata.category(one) != "Cf")
    return _SPACES.sub(" ", given).strip()


def plain_email(given: str) -> str:
    """Return an e-mail address without what people put around it: ``mailto:``, ``Name <a@b>``, quotes, an end dot.

    White space is dropped at the ends, around the ``@`` and around the dots of the domain. A blank
    elsewhere stays, because two words are not one address.
    """
    text = plain_text(given)
    for _ in range(_MOST_WRAPPINGS):
        inner = _without_wrapping(text)
        if inner == text:
            break
        text = inner
    local, at, domain = _SPACED.sub("@", text).rpartition("@")
    return f"{local}{at}{_SPACED_DOT.sub('.', domain)}" if at else text


def _without_wrapping(text: str) -> str:
    if (named := _NAMED.fullmatch(text)) is not None:
        text = named[1].strip()
    if (scheme := _MAILTO.match(text)) is not None:
        text = _QUERY.sub("", text[scheme.end() :])
    text = text.strip().rstrip(_ENDS + " ")
    return text[1:-1].strip() if len(text) > 1 and (text[0], text[-1]) in _QUOTES else text
