"""Encodings: how to read a file that is not UTF-8. The operator must say it if several encodings are likely."""

import codecs
import re
from collections.abc import Iterable

from worker.errors import ConfigError

WESTERN = "cp1252"  #: in which spreadsheets save in Europe and America
#: bytes that are the same letter or sign in Western (cp1252) and Central European (cp1250) files
_COMMON = frozenset(
    byte
    for byte in range(0x80, 0x100)
    if (western := bytes([byte]).decode("cp1252", "replace")) == bytes([byte]).decode("cp1250", "replace")
    and (western.isalpha() or western in "’‘“”–—…€§°«»\u00a0´·®©™")  # noqa: RUF001 - the signs are meant
)
_RUN = re.compile(rb"[\x80-\xff]+")
_FEW = 0.1  #: lines that may look otherwise in a Western file
_LONGEST_RUN = 2  #: letters with accents that follow each other in a Western word, as in "créée"
ASK = (
    "it is not UTF-8, and can be read in more than one way: name it with --encoding, such as cp1252 (Western Europe), "
    "cp1250 (Central Europe), cp1251 (Cyrillic), cp932 (Japanese) or gbk (Chinese)"
)


def checked(name: str) -> str:
    """Return Python's name of an encoding; raises ConfigError if there is none of that name."""
    try:
        found = codecs.lookup(name)
        "".encode(name)
    except LookupError:
        raise ConfigError(
            f"--encoding: {name!r} is not known; try utf-8, cp1252, cp1250, cp1251, cp932 or gbk"
        ) from None
    return found.name


def is_ambiguous(lines: Iterable[bytes]) -> bool:
    """Return whether the first lines are not UTF-8 and several encodings can read them.

    A file of which some lines are UTF-8 is a UTF-8 file; others of its lines are broken.
    """
    wide = [line for line in lines if not line.isascii()]
    if any(_is_utf8(line) for line in wide):
        return False
    return sum(not is_surely_western(line) for line in wide) > _FEW * len(wide)


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_surely_western(text: bytes) -> bool:
    """Return whether text that is not UTF-8 is certainly Western European.

    Other alphabets write whole words in bytes above 127. Central Europe shares some letters with the West.
    """
    runs = _RUN.findall(text)
    return all(len(run) <= _LONGEST_RUN and _COMMON.issuperset(run) for run in runs)
