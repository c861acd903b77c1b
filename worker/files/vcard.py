"""vCard: the people in a file of contacts (``.vcf``), each as a row.

Versions 2.1, 3 and 4 are read as far as the library reads them. https://www.rfc-editor.org/rfc/rfc6350
"""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

import vobject
from vobject.base import ParseError, VObjectError

from worker.files.csv_rows import MAX_ROW, TabularRow

BEGIN = "BEGIN:VCARD"
#: our name -> the column that a person's row has it in; the names of columns are ours
COLUMNS = ("uid", "name", "first_name", "last_name", "email", "phone", "company", "birthday", "note")
MAPPING = {ours: ours for ours in COLUMNS if ours != "uid"} | {"external_id": "uid"}
_END = "END:VCARD"


def rows(stream: BinaryIO) -> Iterator[TabularRow]:
    """Yield a row for each person; one that cannot be read costs no other."""
    text = io.TextIOWrapper(stream, "utf-8-sig", "replace", newline=None)
    lines: list[str] = []
    first = size = 0
    for number, line in enumerate(text, 1):
        if line.strip().upper() == BEGIN:
            if lines:
                yield TabularRow(first, None, "a person without an end", "".join(lines))
            lines, first, size = [], number, 0
        elif not lines:
            continue
        size += len(line)
        if size <= MAX_ROW:
            lines.append(line)
        if line.strip().upper() == _END:
            yield (
                _row(first, "".join(lines))
                if size <= MAX_ROW
                else TabularRow(first, None, f"longer than {MAX_ROW:,} characters", "")
            )
            lines = []
    if lines:
        yield TabularRow(first, None, "a person without an end", "".join(lines))


def _row(number: int, written: str) -> TabularRow:
    try:
        card = vobject.readOne(written)
        values = {name: value for name, value in _values(card).items() if value}
    except (ParseError, VObjectError, ValueError, AttributeError, KeyError, IndexError):
        return TabularRow(number, None, "not a vCard that can be read", written)
    return TabularRow(number, values, None, written)


def _values(card: Any) -> dict[str, str]:
    name = card.n.value if hasattr(card, "n") else None
    return {
        "uid": _text(card, "uid"),
        "name": _text(card, "fn"),
        "first_name": _joined(name.given) if name is not None else "",
        "last_name": _joined(name.family) if name is not None else "",
        "email": _all(card, "email"),
        "phone": _all(card, "tel"),
        "company": _joined(card.org.value[:1]) if hasattr(card, "org") else "",
        "birthday": _text(card, "bday"),
        "note": _text(card, "note"),
    }


def _text(card: Any, name: str) -> str:
    return str(getattr(card, name).value).strip() if hasattr(card, name) else ""


def _all(card: Any, name: str) -> str:
    """Return all values of a property, those that are preferred first, in the form of a list cell."""
    found = card.contents.get(name, ())
    ranked = sorted(found, key=lambda one: not _is_preferred(one))
    return " ::: ".join(str(one.value).strip() for one in ranked)


def _is_preferred(one: Any) -> bool:
    types = [str(kind).lower() for kind in one.params.get("TYPE", ())]
    return "pref" in types or bool(one.params.get("PREF"))


def _joined(value: str | list[str]) -> str:
    return value.strip() if isinstance(value, str) else " ".join(part.strip() for part in value)
