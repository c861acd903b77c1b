"""Rows of a file: each is one customer in a spreadsheet or in another system's export.

There are no webhooks: an import puts each row into an envelope of its own. The body is the row as read, an object
{column: value}. The headers have the mapping from our names to columns, the time of the file, and the meaning of an
empty cell. So a row can be parsed again after the file is gone, like any other envelope.

Quirk: exports without customer numbers know people by their e-mail. Map ``external_id`` to that column too, so that
tags belong to a customer; the address is then compared in lower case.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from connectors import json_values, left_out
from connectors.cleaning import is_nobodys_id, plain_email
from connectors.contract import (
    Account,
    BadSignatureError,
    Envelope,
    Event,
    FieldValue,
    Identifier,
    MalformedPayloadError,
    ProfileSeen,
    Receipt,
    TagsSnapshot,
)
from connectors.countries import code_of
from connectors.files import permission
from connectors.files.cells import MAX_FIELD, Cells

name = "file"
WEBHOOKS = False
TOPIC = "file/row"
UNDONE = "file/undone"  #: topic of a row whose import was taken back: it says nothing
RUN = "file-run"  #: header with the import that kept a row
#: headers of an envelope: JSON {our name: column}; the time of the file; "clear" if an empty cell clears the value;
#: "keep" if NULL is a word like others; JSON {our name: what all rows say}
MAPPING, AS_OF, EMPTY, NULLS, FIXED = "file-mapping", "file-as-of", "file-empty", "file-nulls", "file-fixed"
CLEAR, KEEP = "clear", "keep"

PROTECTED_FIELDS: frozenset[str] = frozenset()
SKIPPED_TOPICS: Mapping[str, str] = {}

MAX_ID = 512  #: characters, as in the API
FIELD, JSON = "field.", "json."  #: prefixes of custom fields; cells of the second kind hold JSON
_SEPARATOR = " ::: "  #: between several e-mails or numbers in one cell
_GUEST = "guest:"  #: prefix of the ids that the store gives to guests
_OF_ONE = frozenset({"external_id", "email", "phone"})
_TEXTS = ("first_name", "last_name", "name", "company", "locale", "birthday", "note")
_ADDRESS = ("address1", "city", "zip", "country")
_TIMES = ("created_at", "updated_at")


#: the names that a column can be mapped to, in addition to ``field.…`` and ``json.…``
NAMES = (
    *("external_id", "email", "phone"),
    *_TEXTS,
    *_ADDRESS,
    "tags",
    *_TIMES,
    *permission.NAMES,
)


def receive(headers: Mapping[str, str], body: bytes) -> Receipt:
    """Return the receipt of a row: the same row with the same mapping and time has the same delivery id."""
    settings = [headers.get(header, "") for header in (MAPPING, AS_OF, EMPTY)]
    settings += [headers[header] for header in (FIXED, NULLS) if header in headers]
    digest = hashlib.sha256("\0".join(settings).encode("utf-8", "backslashreplace") + b"\0" + body)
    try:
        as_of = _as_of(headers)
    except MalformedPayloadError:
        as_of = None
    return Receipt(topic=TOPIC if settings[0] else "", delivery_id="sha256:" + digest.hexdigest(), sent_at=as_of)


def verify(_headers: Mapping[str, str], _body: bytes, _secrets: Sequence[str]) -> None:
    """Raise BadSignatureError: rows come through an import, never as a webhook."""
    raise BadSignatureError("files are imported; nobody sends them")


def parse(envelope: Envelope, _account: Account) -> Iterable[Event]:
    """Return what the row says.

    Raises MalformedPayloadError, which names the column, if the row cannot be read or identifies nobody.
    """
    if envelope.topic != TOPIC:
        return []
    with json_values.malformed(name):
        headers = envelope.headers
        fixed = _texts(headers.get(FIXED, "{}"), FIXED)
        columns = {ours: _column_of(ours) for ours in fixed}
        mapping = _mapping(headers.get(MAPPING, ""), tuple(sorted(columns.items())))
        row = json_values.load_json(envelope.body)
        row |= {columns[ours]: value for ours, value in fixed.items()}
        is_clearing, keeps = headers.get(EMPTY) == CLEAR, headers.get(NULLS) == KEEP
        cells = Cells(row, mapping, empty_is_none=is_clearing, keeps_null_words=keeps)
        return list(_row(cells, mapping, _as_of(headers)))


def headers_of(
    mapping: Mapping[str, str],
    as_of: datetime,
    *,
    empty_is_none: bool = False,
    fixed: Mapping[str, str] = MappingProxyType({}),
    keeps_null_words: bool = False,
) -> dict[str, str]:
    """Return the headers of a file's rows.

    ``as_of`` is the time of the file, aware. ``fixed`` is what all rows say, by our names.
    """
    headers = {MAPPING: json.dumps(mapping, sort_keys=True), AS_OF: as_of.astimezone(UTC).isoformat()}
    if empty_is_none:
        headers[EMPTY] = CLEAR
    if fixed:
        headers[FIXED] = json.dumps(fixed, sort_keys=True)
    if keeps_null_words:
        headers[NULLS] = KEEP
    return headers


def body_of(values: Mapping[str, Any]) -> bytes:
    """Return the body of a row: an object {column: value}."""
    # UTF-8 has no half of a surrogate pair; "backslashreplace" writes it as JSON's escape.
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def problems(
    mapping: Mapping[str, str], columns: Collection[str] | None = None, fixed: Collection[str] = ()
) -> list[str]:
    """Return a text for each mistake in a mapping.

    ``columns`` are the file's columns, None if they are unknown.
    ``fixed`` are our names for which all rows say the same.
    """
    found = [f"{ours}: mapped to a column and set for all rows" for ours in fixed if ours in mapping]
    found += [f"{ours}: cannot be the same in all rows" for ours in fixed if ours in _OF_ONE]
    if columns is not None:
        columns = {*columns, *map(_column_of, fixed)}
    mapping = {**mapping, **{ours: _column_of(ours) for ours in fixed}}
    found += [
        f"{ours}: not a name that a column can have; known: {', '.join(NAMES)}, field.…, json.…"
        for ours in mapping
        if not _is_known(ours)
    ]
    if columns is not None:
        found += [
            f"{ours}: the file has no column {column!r}" for ours, column in mapping.items() if column not in columns
        ]
    if not mapping.keys() & _OF_ONE:
        found.append("map external_id, email or phone: without one a row is about nobody")
    if "tags" in mapping and "external_id" not in mapping:
        found.append("tags: map external_id too (the column of the e-mail will do): tags belong to a customer")
    found += [
        f"{timed}: map {timed.removesuffix('_at')} too"
        for timed in permission.NAMES
        if timed.endswith("_at") and timed in mapping and timed.removesuffix("_at") not in mapping
    ]
    registers = [register for ours in mapping if (register := _register(ours)) is not None]
    registers += ["address"] if mapping.keys() & {*_ADDRESS} else []
    found += [f"{register}: mapped twice" for register in sorted(set(registers)) if registers.count(register) > 1]
    return found


def _row(cells: Cells, mapping: Mapping[str, str], as_of: datetime | None) -> Iterator[Event]:
    external_id = _external_id(cells, mapping)
    lists = {
        "email": _listed(cells.text("email")),
        "phone": _listed(cells.number("phone", limit=json_values.MAX_TEXT)),
    }
    contacts = {slot: values[0] if values else None for slot, values in lists.items()}
    if external_id is None and not any(contacts.values()):
        raise MalformedPayloadError("the row has no external_id, e-mail or phone: it is about nobody")
    fields, region = _fields(cells, mapping)
    created_at, updated_at = cells.moment("created_at"), cells.moment("updated_at")
    # A row without an id may be an order: what a buyer typed is as old as the order, not as its last edit.
    typed_at = created_at if external_id is None else None
    yield ProfileSeen(
        external_id=external_id,
        occurred_at=typed_at or updated_at or as_of,
        created_at=created_at,
        fields=fields,
        identifiers=dict(_identifiers(lists, cells)),
        region=region,
    )
    if cells.says("tags"):
        tags: tuple[str, ...] | None = None
        with left_out.if_unusable:
            tags = cells.tags("tags")
        if tags is None:
            pass
        elif external_id is not None:
            # The file's time, not the row's, because in many systems a change of tags does not move the row's time.
            yield TagsSnapshot(external_id=external_id, tags=tags, occurred_at=as_of)
        elif tags:
            raise MalformedPayloadError(f"{cells.column('tags')}: the row has tags, but no external_id")
    yield from permission.stated(cells, external_id, contacts, as_of, region)


def _external_id(cells: Cells, mapping: Mapping[str, str]) -> str | None:
    external_id = cells.number("external_id", limit=MAX_ID)
    if external_id is None or is_nobodys_id(external_id):
        return None
    if external_id.startswith(_GUEST):
        raise MalformedPayloadError(f"{cells.column('external_id')}: must not begin with {_GUEST}")
    # Otherwise two spellings of one address are two customers, and two customers of one source stay two contacts.
    return plain_email(external_id).lower() if mapping["external_id"] == mapping.get("email") else external_id


def _listed(written: str | None) -> list[str]:
    """Return the values of a cell; Google Contacts puts several into one."""
    return [value for part in (written or "").split(_SEPARATOR) if (value := part.strip())]


def _identifiers(lists: Mapping[str, list[str]], cells: Cells) -> Iterator[tuple[str, Identifier | None]]:
    """Yield slots and identifiers: the first of a cell is the one to show."""
    for slot, values in lists.items():
        if not values and cells.says(slot):
            yield slot, None
        for place, value in enumerate(values, 1):
            name_ = slot if place == 1 else f"{slot}_{place}"
            yield name_, Identifier(type="email" if slot == "email" else "phone", value=value)


def _fields(cells: Cells, mapping: Mapping[str, str]) -> tuple[dict[str, FieldValue], str | None]:
    """Read the fields, and the country for numbers in national form."""
    fields: dict[str, FieldValue] = {}
    for ours in _TEXTS:
        if cells.says(ours):
            limit = MAX_FIELD if ours == "note" else json_values.MAX_TEXT
            with left_out.if_unusable:
                fields[ours] = cells.text(ours, limit=limit)
    region = None
    if any(cells.says(part) for part in _ADDRESS):
        address: dict[str, FieldValue] = {}
        for part in _ADDRESS:
            value = None
            with left_out.if_unusable:
                value = cells.number(part, limit=json_values.MAX_TEXT) if part == "zip" else cells.text(part)
            if value is not None and part == "country" and (region := code_of(value)) is not None:
                address["country_code"] = region
                if len(value) > 2:
                    address["country"] = value
            elif value is not None:
                address[part] = value
        fields["address"] = address or None
    for ours in mapping:
        register = _register(ours)
        if ours.startswith((FIELD, JSON)) and register is not None and cells.says(ours):
            with left_out.if_unusable:
                fields[register] = cells.field(ours) if ours.startswith(FIELD) else cells.json(ours)
    return fields, region


@lru_cache(maxsize=64)
def _mapping(written: str, fixed: tuple[tuple[str, str], ...] = ()) -> Mapping[str, str]:
    """Read the mapping in a header, and add what is fixed for all rows; raises MalformedPayloadError."""
    mapping = _texts(written, MAPPING) | dict(fixed)
    if found := problems(mapping):
        raise MalformedPayloadError(f"{MAPPING}: {found[0]}"[:250])
    return mapping


def _texts(written: str, header: str) -> dict[str, str]:
    try:
        found = json.loads(written)
    except ValueError:
        raise MalformedPayloadError(f"{header}: expected JSON") from None
    if type(found) is not dict or not all(type(value) is str for value in found.values()):
        raise MalformedPayloadError(f"{header}: expected an object of our names and texts")
    return found


def _column_of(ours: str) -> str:
    """Return the key under which each row holds the value of ``--set``."""
    return f"--set {ours}"


def _as_of(headers: Mapping[str, str]) -> datetime | None:
    return json_values.moment({AS_OF: headers.get(AS_OF)}, AS_OF)


def _is_known(ours: str) -> bool:
    if ours.startswith((FIELD, JSON)):
        return _custom(ours) == json_values.clean(_custom(ours)) != "" and len(_custom(ours)) <= json_values.MAX_TEXT
    return ours in NAMES


def _custom(ours: str) -> str:
    return ours.partition(".")[2]


def _register(ours: str) -> str | None:
    """Return the name under which the store keeps a column's values; None if the column is not a field.

    A custom field whose name means something else there (``email``, ``#created``, ``a.b``) gets a colon in front, as
    in the API.
    """
    if ours.startswith((FIELD, JSON)):
        custom = _custom(ours)
        is_special = custom in _SHOWN or custom.startswith(_LEADING) or custom.endswith("_as_given") or "." in custom
        return f":{custom}" if is_special else custom
    return ours if ours in _TEXTS else None


_SHOWN = frozenset(
    {"name", "first_name", "last_name", "email", "phone_number", "external_source", "external_id", "tags"}
)
_LEADING = ("@", "#", ":", "tag:", "consent:", "suppression:")
