"""Export as CSV: every contact as one line, for spreadsheets and other systems.

A line holds single values only; the lists of a contact are in ``export_json.jsonl``. The columns have the names
that an import understands, so that an exported file can be imported unchanged.

Each custom field has a column of its own, so that a spreadsheet can filter by it. A first pass over the store finds
the names. The column ``field.tier`` holds text. If any contact holds something else than text under that name, the
column is ``json.tier`` and all its cells are JSON, so that a number comes back as a number.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from connectors.files import FIELD, JSON
from worker.api_schemas import Contact
from worker.domain.times import moment
from worker.errors import ConfigError
from worker.files.export_json import pages
from worker.files.formula_guard import guard
from worker.pipeline.contact_view import ContactView
from worker.store import contacts
from worker.store.db import Tx

CHANNELS = ("email", "sms", "whatsapp")
#: custom fields in one file; a spreadsheet takes 16,384 columns, but nobody reads that many
MAX_FIELDS = 1_000
_FIELD_PAGE = 20_000
_SEPARATOR = re.compile(r"[,;|\n\r]")
_MARK = "\ufeff"  #: byte order mark: tells spreadsheets that the file is UTF-8
_CONTACT = ("contact_id", "name", "email", "phone_number", "external_source", "external_id", "tags")
_TIMES = ("created_at", "updated_at")


def lines(tx: Tx, *, is_raw: bool = False) -> Iterator[bytes]:
    """Yield a CSV file in UTF-8: the header, then a page of contacts at a time.

    ``tx`` should see one snapshot, as for ``export_json.canonical``. A cell that a spreadsheet would run as a formula
    gets an apostrophe. ``is_raw`` is for programs: no apostrophes, and no byte order mark. Raises ConfigError if the
    store has more than MAX_FIELDS custom fields.
    """
    fields = contacts.field_names(tx, _FIELD_PAGE)
    if len(fields) > MAX_FIELDS:
        raise ConfigError(f"{len(fields):,} custom fields are too many columns; export as jsonl")
    names = [*_CONTACT, *(name for one in CHANNELS for name in _channel_names(one)), *_TIMES]
    columns = [*names, *((FIELD if is_text else JSON) + name for name, is_text in sorted(fields.items()))]
    now = datetime.now(UTC)
    yield ("" if is_raw else _MARK).encode() + csv_bytes([columns], is_raw=is_raw)
    for page in pages(tx):
        rows = ([*map(flat(one, now).get, names), *_fields(one, fields)] for one in page)
        yield csv_bytes([["" if cell is None else cell for cell in row] for row in rows], is_raw=is_raw)


def csv_bytes(rows: Sequence[Sequence[str]], *, is_raw: bool) -> bytes:
    """Return rows as CSV in UTF-8 (RFC 4180); cells are guarded unless ``is_raw``."""
    stream = io.StringIO()
    csv.writer(stream).writerows(rows if is_raw else [[guard(cell) for cell in row] for row in rows])
    return stream.getvalue().encode()


def flat(one: ContactView, now: datetime) -> dict[str, str | None]:
    """Return the single values of a contact by column, without custom fields."""
    shown = Contact.of(one.contact)
    return {
        "contact_id": shown.id,
        "name": shown.name,
        "email": shown.email,
        "phone_number": shown.phone_number,
        "external_source": shown.external_source,
        "external_id": shown.external_id,
        "tags": joined(shown.tags),
        **{name: value for channel in CHANNELS for name, value in _channel(one, channel, now).items()},
        "created_at": _time(shown.created_at),
        "updated_at": _time(shown.updated_at),
    }


def joined(tags: Sequence[str]) -> str:
    """Return tags as one cell: ``a, b``, or a JSON list if a tag holds a separator or looks like JSON."""
    is_clear = not any(_SEPARATOR.search(tag) or tag.startswith(("[", '"')) or tag.endswith('"') for tag in tags)
    return ", ".join(tags) if is_clear else json.dumps(tags, ensure_ascii=False)


def field_cell(value: Any, *, is_text: bool) -> str:
    """Return a custom field as a cell of a text column or of a JSON column."""
    return value if is_text else orjson.dumps(value).decode()


def _fields(one: ContactView, fields: Mapping[str, bool]) -> Iterator[str | None]:
    held = one.contact.custom_fields
    for name, is_text in sorted(fields.items()):
        yield field_cell(held[name], is_text=is_text) if name in held else None


def _channel_names(channel: str) -> tuple[str, ...]:
    return (f"{channel}_consent", f"{channel}_consent_at", f"{channel}_suppressed")


def _channel(view: ContactView, channel: str, now: datetime) -> dict[str, str | None]:
    """Return a channel's three cells: its marketing consent, since when, and why an address is suppressed."""
    statements = (consent.statement for consent in view.consents())
    counting = next((entry for entry in statements if (entry.channel, entry.purpose) == (channel, "marketing")), None)
    suppressed = (one for one in view.suppressions if one.channel in (channel, "all") and one.is_active(now))
    values = (
        None if counting is None else counting.status,
        None if counting is None else _time(moment(counting.occurred)),
        ", ".join(sorted({one.reason for one in suppressed})),
    )
    return dict(zip(_channel_names(channel), values, strict=True))


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
