"""Cells: one row of a file, read by the names that its columns were mapped to.

A column that is not mapped, or that the row does not have, says nothing. An empty cell says nothing either, because
most files leave out what they do not know; only a file that was imported so clears the value. Anything else is a
value.

Errors name the column, never its content.
"""

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from connectors import json_values
from connectors.cleaning import is_damaged
from connectors.contract import FieldValue, MalformedPayloadError, UnusableTextError
from connectors.json_values import Payload

MAX_FIELD = 20_000  #: characters of a note or of a custom field, as for Shopify's notes
MAX_LEVELS = 8  #: of lists and objects in a custom field, as in the API
MAX_TAGS = 250  #: of one customer, as for Shopify
MAX_TAG = 255  #: characters, as for Shopify

_MAX_LABEL = 60
_MISSING = object()
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?) ?(UTC|GMT|Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_UNSET = re.compile(r"0000-00-00(?:[T ]00:00(?::00(?:\.0+)?)?)?")
#: what databases and spreadsheets write for an empty cell
NULL_WORDS = frozenset({"NULL", "null", "\\N", "#N/A"})
_SEPARATORS = re.compile(r"[,;|\n]")


class Cells:
    """One row, read by our names."""

    def __init__(
        self, row: Payload, mapping: Mapping[str, str], *, empty_is_none: bool, keeps_null_words: bool = False
    ) -> None:
        self._row = row
        self._mapping = mapping
        self._empty_is_none = empty_is_none
        self._keeps_null_words = keeps_null_words

    def says(self, name: str) -> bool:
        """Whether the row says something under this name: a value, or that there is none."""
        if name not in self._mapping:
            return False
        value = self._value(name)
        return value is not _MISSING and (value is not None or self._empty_is_none)

    def column(self, name: str) -> str:
        """Return the column's own name for errors, cut to ``_MAX_LABEL`` characters."""
        return " ".join(self._mapping[name].split())[:_MAX_LABEL]

    def text(self, name: str, *, limit: int = json_values.MAX_TEXT) -> str | None:
        """Read text; a number of a JSON line is read as its digits."""
        value = self._given(name)
        if value is None:
            return None
        written = repr(value) if type(value) is float else str(value) if type(value) is int else value
        if type(written) is not str:
            raise json_values.unexpected("text", value, self.column(name))
        column = self.column(name)
        return json_values.text({column: written}, column, limit=limit)

    def number(self, name: str, *, limit: int) -> str | None:
        """Read a customer's number or a telephone number; raises MalformedPayloadError if it was rounded."""
        # Shopify's exports begin such cells with an apostrophe, so that spreadsheets take them for text.
        written = (self.text(name, limit=limit) or "").removeprefix("'").strip()
        if is_damaged(written) or type(self._given(name)) is float:
            raise self._malformed(
                name, "expected all digits, got a rounded number; make the column text and save again"
            )
        return written or None

    def moment(self, name: str) -> datetime | None:
        """Read a date or time in ISO 8601; no zone means UTC, no time of day means midnight."""
        written = self.text(name)
        if written is None or _UNSET.fullmatch(written):
            return None
        parts = _TIME.fullmatch(written)
        if parts is None:
            raise self._malformed(name, "expected a date such as 2026-09-14 or 2026-09-14T18:42:07+07:00")
        zone = (parts[3] or "Z").upper()
        try:
            return json_values.as_utc(f"{parts[1]}T{parts[2] or '00:00'}{'Z' if zone in ('UTC', 'GMT') else zone}")
        except ValueError as error:
            raise self._malformed(name, f"expected {error}") from None

    def tags(self, name: str) -> tuple[str, ...]:
        """Read tags that a comma, semicolon, bar or line end separates, or a JSON list of tags."""
        value = self._given(name)
        if type(value) is list:
            column = self.column(name)
            entries = json_values.texts({column: value}, column) or []
        else:
            written = self.text(name, limit=MAX_FIELD) or ""
            # Mailchimp writes "VIP","Wholesale" inside the cell.
            entries = _listed(written) or [part.strip().strip('"') for part in _SEPARATORS.split(written)]
        spellings: dict[str, str] = {}
        for tag in (self._clean(name, entry) for entry in entries):
            if len(tag) > MAX_TAG:
                raise UnusableTextError(f"{self.column(name)}: a tag is longer than {MAX_TAG} characters")
            if tag:
                spellings.setdefault(tag.casefold(), tag)
        if len(spellings) > MAX_TAGS:
            raise UnusableTextError(f"{self.column(name)}: more than {MAX_TAGS} tags")
        return tuple(spellings.values())

    def field(self, name: str) -> FieldValue:
        """Read a custom field: text in a CSV file, any value in a JSON line."""
        value = self._given(name)
        return self.text(name, limit=MAX_FIELD) if type(value) is str else self._storable(name, value)

    def word(self, name: str) -> str | None:
        """Read a word; true and false in a JSON line are words too."""
        value = self._given(name)
        return str(value).lower() if type(value) is bool else self.text(name)

    def json(self, name: str) -> FieldValue:
        """Read a cell that holds JSON."""
        value = self._given(name)
        if type(value) is str:
            try:
                value = json.loads(value, parse_constant=_refuse)
            except (ValueError, RecursionError):
                raise self._malformed(name, "expected JSON, got other text") from None
        return self._storable(name, value)

    def _given(self, name: str) -> Any:
        value = self._value(name) if name in self._mapping else None
        return None if value is _MISSING else value

    def _value(self, name: str) -> Any:
        """Find the cell; ``address.city`` also finds ``city`` in the object ``address`` of a JSON line."""
        found: Any = self._row
        column = self._mapping[name]
        while type(found) is dict:
            if column in found:
                value = found[column]
                is_empty = self._is_empty(value) if type(value) is str else value in ([], {})
                return None if is_empty else value
            head, _, column = column.partition(".")
            found = found.get(head)
        return _MISSING

    def _is_empty(self, value: str) -> bool:
        try:
            text = json_values.clean(value)
        except UnusableTextError:
            return False
        return not text or (not self._keeps_null_words and text in NULL_WORDS)

    def _storable(self, name: str, value: Any, level: int = 0) -> FieldValue:
        """Return JSON that can be stored: with clean text, and integers beyond 64 bits as text."""
        if type(value) is str:
            return self._clean(name, value)
        if type(value) is int and not -(2**63) <= value < 2**64:
            return str(value)
        if type(value) is float and not math.isfinite(value):
            raise self._malformed(name, "expected a number, got one beyond all bounds")
        if value is None or type(value) in (bool, int, float):
            plain: FieldValue = value
            return plain
        if level == MAX_LEVELS:
            raise self._malformed(name, f"nested more than {MAX_LEVELS} levels deep")
        if type(value) is list:
            return [self._storable(name, entry, level + 1) for entry in value]
        return {self._clean(name, key): self._storable(name, entry, level + 1) for key, entry in value.items()}

    def _clean(self, name: str, value: str) -> str:
        return json_values.cleaned(value, self.column(name))

    def _malformed(self, name: str, reason: str) -> MalformedPayloadError:
        return MalformedPayloadError(f"{self.column(name)}: {reason}")


def _listed(written: str) -> list[str] | None:
    """Read the JSON list that our own export writes if a tag contains a separator; None for other text."""
    if not written.startswith("["):
        return None
    try:
        entries = json.loads(written)
    except (ValueError, RecursionError):
        return None
    is_list = type(entries) is list and all(type(entry) is str for entry in entries)
    return entries if is_list else None


def _refuse(_name: str) -> NoReturn:
    raise ValueError
