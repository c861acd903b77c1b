"""Cleaning: what people and programs put around an address or a number comes off, in one place for all sources.

Only addresses and numbers are brought to NFKC here, which makes full-width letters and digits plain ones. Names
keep NFC, because NFKC would change how they look.
"""

import re
import unicodedata

_SPACES = re.compile(r"\s+")
_QUOTES = {('"', '"'), ("'", "'"), ("“", "”"), ("\u2018", "\u2019"), ("«", "»"), ("<", ">")}
_NAMED = re.compile(r"[^<>@]*<([^<>]*)>")
_MAILTO = re.compile(r"mailto:", re.IGNORECASE)
_QUERY = re.compile(r"\?(?:subject|cc|bcc|body)=.*", re.IGNORECASE)
#: what ends a sentence or a list; no address ends so
_ENDS = ".,;:"
_SPACED = re.compile(r"\s*@\s*")
_SPACED_DOT = re.compile(r"\s*\.\s*")


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


def plain_text(given: str) -> str:
    """Return the text in NFKC, without invisible format characters (Unicode Cf). White space becomes one blank."""
    if not given.isascii():
        given = unicodedata.normalize("NFKC", given)
        given = "".join(one for one in given if unicodedata.category(one) != "Cf")
    return _SPACES.sub(" ", given).strip()


def plain_email(given: str) -> str:
    """Return an e-mail address without what people put around it: ``mailto:``, ``Name <a@b>``, quotes, an end dot.

    White space is dropped at the ends, around the ``@`` and around the dots of the domain. A blank
    elsewhere stays, because two words are not one address.
    """
    text, before = plain_text(given), ""
    while text != before:
        before = text
        text = _without_wrapping(text)
    local, at, domain = _SPACED.sub("@", text).rpartition("@")
    return f"{local}{at}{_SPACED_DOT.sub('.', domain)}" if at else text


def _without_wrapping(text: str) -> str:
    if (named := _NAMED.fullmatch(text)) is not None:
        text = named[1].strip()
    if (scheme := _MAILTO.match(text)) is not None:
        text = _QUERY.sub("", text[scheme.end() :])
    text = text.strip().rstrip(_ENDS + " ")
    return text[1:-1].strip() if len(text) > 1 and (text[0], text[-1]) in _QUOTES else text
