"""Sheet: every contact as a line of CSV, for spreadsheets and for other systems.

Flat, so it leaves out what a contact has many of: the JSON lines of ``export.jsonl`` have it. Its columns are named so
that an import takes the file back as it is.

A custom field has a column of its own, because a field that cannot be filtered by is of no use in a sheet; their names
are looked up in a first pass. A column ``field.tier`` holds text. Where any contact holds something else under that
name, the column is ``json.tier`` and each of its cells JSON, so that a number comes back as a number.
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
from worker.domain.times import moment
from worker.errors import ConfigError
from worker.files.export_json import pages
from worker.files.formula_guard import guard
from worker.pipeline.contact_json import Contact
from worker.pipeline.contact_view import ContactView
from worker.store import contacts
from worker.store.db import Tx

CHANNELS = ("email", "sms", "whatsapp")
#: more columns than that are not a sheet; a spreadsheet takes 16,384
MAX_FIELDS = 1_000
_FIELD_PAGE = 20_000
_SEPARATOR = re.compile(r"[,;|\n\r]")
_MARK = "\ufeff"  #: tells spreadsheets that a file is UTF-8
_CONTACT = ("contact_id", "name", "email", "phone_number", "external_source", "external_id", "tags")
_TIMES = ("created_at", "updated_at")


def lines(tx: Tx, *, is_raw: bool = False) -> Iterator[bytes]:
    """Yield a file of CSV, a page of contacts at a time; ``tx`` should see one snapshot, as of ``export.canonical``.

    Cells that a spreadsheet would run as formulas are led by an apostrophe. ``is_raw`` is for programs: no
    apostrophes, and no mark of the encoding at the beginning. Raises ConfigError for more custom fields than
    MAX_FIELDS.
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
    """Write rows as CSV (RFC 4180)."""
    stream = io.StringIO()
    csv.writer(stream).writerows(rows if is_raw else [[guard(cell) for cell in row] for row in rows])
    return stream.getvalue().encode()


def flat(one: ContactView, now: datetime) -> dict[str, str | None]:
    """Show what a contact has one of."""
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
    """Write tags in one cell; as a JSON list where one of them could not be told from two."""
    is_clear = not any(_SEPARATOR.search(tag) or tag.startswith(("[", '"')) or tag.endswith('"') for tag in tags)
    return ", ".join(tags) if is_clear else json.dumps(tags, ensure_ascii=False)


def field_cell(value: Any, *, is_text: bool) -> str:
    """Write a custom field, in a column of text or of JSON."""
    return value if is_text else orjson.dumps(value).decode()


def _fields(one: ContactView, fields: Mapping[str, bool]) -> Iterator[str | None]:
    held = one.contact.custom_fields
    for name, is_text in sorted(fields.items()):
        yield field_cell(held[name], is_text=is_text) if name in held else None


def _channel_names(channel: str) -> tuple[str, ...]:
    return (f"{channel}_consent", f"{channel}_consent_at", f"{channel}_suppressed")


def _channel(view: ContactView, channel: str, now: datetime) -> dict[str, str | None]:
    """Show what counts for marketing, and why an address of the contact must not be used, if one must not."""
    statements = (consent.statement for consent in view.consents)
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
