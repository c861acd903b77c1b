"""Rows of a file: each is one customer in a spreadsheet or in another system's export.

There are no webhooks: an import puts each row into an envelope of its own. The body is the row as read, an object
{column: value}. The headers have the mapping from our names to columns, the time of the file, and the meaning of an
empty cell. So a row can be parsed again after the file is gone, like any other envelope.

Quirk: exports without customer numbers know people by their e-mail. Map ``external_id`` to that column too, so that
tags belong to a customer; the address is then compared in lower case.
Quirk: "no" in a column of consent may mean "never asked" (Shopify's "Accepts Email Marketing"). It is read as "no",
because whoever maps the column vouches for its "no".
Quirk: "yes" in a column named "Unsubscribed" means "no" (HubSpot). In such a column plain yes and no are refused, and
only words that cannot mean the opposite are read.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from connectors import json_values
from connectors.contract import (
    Account,
    BadSignatureError,
    Channel,
    ConsentStated,
    ConsentStatus,
    Envelope,
    Event,
    FieldValue,
    Identifier,
    MalformedPayloadError,
    ProfileSeen,
    Receipt,
    SuppressionStated,
    TagsSnapshot,
)
from connectors.files.cells import MAX_FIELD, Cells

name = "file"
WEBHOOKS = False
TOPIC = "file/row"
#: headers of an envelope: JSON {our name: column}; the time of the file; "clear" if an empty cell clears the value
MAPPING, AS_OF, EMPTY = "file-mapping", "file-as-of", "file-empty"
CLEAR = "clear"

PROTECTED_FIELDS: frozenset[str] = frozenset()
SKIPPED_TOPICS: Mapping[str, str] = {}

MAX_ID = 512  #: characters, as in the API
FIELD, JSON = "field.", "json."  #: prefixes of custom fields; cells of the second kind hold JSON
_GUEST = "guest:"  #: prefix of the ids that the store gives to guests
_TEXTS = ("first_name", "last_name", "name", "company", "locale", "birthday", "note")
_ADDRESS = ("address1", "city", "zip", "country")
_TIMES = ("created_at", "updated_at")


class _Consent(NamedTuple):
    name: str
    channel: Channel
    slot: str

    @property
    def at(self) -> str:
        return f"{self.name}_at"


_CONSENTS = (
    _Consent("email_consent", "email", "email"),
    _Consent("sms_consent", "sms", "phone"),
    _Consent("whatsapp_consent", "whatsapp", "phone"),
)
#: the names that a column can be mapped to, in addition to ``field.…`` and ``json.…``
NAMES = (
    *("external_id", "email", "phone"),
    *_TEXTS,
    *_ADDRESS,
    "tags",
    *_TIMES,
    *(known for consent in _CONSENTS for known in (consent.name, consent.at)),
)

_PLAIN_YES = frozenset({"yes", "y", "true", "t", "1", "on", "ja", "ya", "si", "sí", "oui", "sim"})
_PLAIN_NO = frozenset({"no", "n", "false", "f", "0", "off", "nein", "nee", "tidak", "non", "não", "nao"})
#: None: the word says nothing about consent
_WORDS: Mapping[str, ConsentStatus | None] = {
    **dict.fromkeys(_PLAIN_YES, "opted_in"),
    **dict.fromkeys(_PLAIN_NO, "opted_out"),
    **dict.fromkeys(("subscribed", "opted_in", "opt_in", "optin", "confirmed", "granted"), "opted_in"),
    **dict.fromkeys(("unsubscribed", "opted_out", "opt_out", "optout", "revoked", "withdrawn"), "opted_out"),
    **dict.fromkeys(("pending", "unconfirmed"), "pending"),
    # A customer who was never asked has not answered.
    **dict.fromkeys(("unknown", "not_subscribed", "never_subscribed", "none", "null", "n/a"), None),
}
_NEGATIVE = re.compile(r"unsubscri|opt(?:ed)?[-_ ]*out|do[-_ ]*not|abgemeldet|désabonn|desabonn", re.IGNORECASE)


def receive(headers: Mapping[str, str], body: bytes) -> Receipt:
    """Return the receipt of a row: the same row with the same mapping and time has the same delivery id."""
    settings = [headers.get(header, "") for header in (MAPPING, AS_OF, EMPTY)]
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
        mapping = _mapping(envelope.headers.get(MAPPING, ""))
        row = json_values.load_json(envelope.body)
        cells = Cells(row, mapping, empty_is_none=envelope.headers.get(EMPTY) == CLEAR)
        return list(_row(cells, mapping, _as_of(envelope.headers)))


def headers_of(mapping: Mapping[str, str], as_of: datetime, *, empty_is_none: bool = False) -> dict[str, str]:
    """Return the headers of a file's rows; ``as_of`` is the time of the file, aware."""
    headers = {MAPPING: json.dumps(mapping, sort_keys=True), AS_OF: as_of.astimezone(UTC).isoformat()}
    return {**headers, EMPTY: CLEAR} if empty_is_none else headers


def body_of(values: Mapping[str, Any]) -> bytes:
    """Return the body of a row: an object {column: value}."""
    # UTF-8 has no half of a surrogate pair; "backslashreplace" writes it as JSON's escape.
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


def problems(mapping: Mapping[str, str], columns: Collection[str] | None = None) -> list[str]:
    """Return a text for each mistake in a mapping; ``columns`` are the file's columns, None if they are unknown."""
    found = [
        f"{ours}: not a name that a column can have; known: {', '.join(NAMES)}, field.…, json.…"
        for ours in mapping
        if not _is_known(ours)
    ]
    if columns is not None:
        found += [
            f"{ours}: the file has no column {column!r}" for ours, column in mapping.items() if column not in columns
        ]
    if not mapping.keys() & {"external_id", "email", "phone"}:
        found.append("map external_id, email or phone: without one a row is about nobody")
    if "tags" in mapping and "external_id" not in mapping:
        found.append("tags: map external_id too (the column of the e-mail will do): tags belong to a customer")
    found += [
        f"{consent.at}: map {consent.name} too"
        for consent in _CONSENTS
        if consent.at in mapping and consent.name not in mapping
    ]
    registers = [register for ours in mapping if (register := _register(ours)) is not None]
    registers += ["address"] if mapping.keys() & {*_ADDRESS} else []
    found += [f"{register}: mapped twice" for register in sorted(set(registers)) if registers.count(register) > 1]
    return found


def words_of_consent(written: str, column: str = "") -> bool:
    """Whether a cell of a column with that name can be read as consent; an empty cell can."""
    return not written.strip() or _word(written) in _words_of(column)


def _row(cells: Cells, mapping: Mapping[str, str], as_of: datetime | None) -> Iterator[Event]:
    external_id = _external_id(cells, mapping)
    contacts = {
        "email": "".join((cells.text("email") or "").split()) or None,
        "phone": cells.number("phone", limit=json_values.MAX_TEXT),
    }
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
        identifiers={slot: _identifier(slot, value) for slot, value in contacts.items() if cells.says(slot)},
        region=region,
    )
    if cells.says("tags"):
        tags = cells.tags("tags")
        if external_id is not None:
            # The file's time, not the row's, because in many systems a change of tags does not move the row's time.
            yield TagsSnapshot(external_id=external_id, tags=tags, occurred_at=as_of)
        elif tags:
            raise MalformedPayloadError(f"{cells.column('tags')}: the row has tags, but no external_id")
    for consent in _CONSENTS:
        yield from _consented(cells, consent, external_id, contacts[consent.slot], as_of, region)


def _external_id(cells: Cells, mapping: Mapping[str, str]) -> str | None:
    external_id = cells.number("external_id", limit=MAX_ID)
    if external_id is None:
        return None
    if external_id.startswith(_GUEST):
        raise MalformedPayloadError(f"{cells.column('external_id')}: must not begin with {_GUEST}")
    # Otherwise two spellings of one address are two customers, and two customers of one source stay two contacts.
    return "".join(external_id.lower().split()) if mapping["external_id"] == mapping.get("email") else external_id


def _identifier(slot: str, value: str | None) -> Identifier | None:
    if value is None:
        return None
    return Identifier(type="email" if slot == "email" else "phone", value=value)


def _fields(cells: Cells, mapping: Mapping[str, str]) -> tuple[dict[str, FieldValue], str | None]:
    """Read the fields, and the country for numbers in national form."""
    fields: dict[str, FieldValue] = {}
    for ours in _TEXTS:
        if cells.says(ours):
            fields[ours] = cells.text(ours, limit=MAX_FIELD if ours == "note" else json_values.MAX_TEXT)
    region = None
    if any(cells.says(part) for part in _ADDRESS):
        address: dict[str, FieldValue] = {}
        for part in _ADDRESS:
            value = cells.number(part, limit=json_values.MAX_TEXT) if part == "zip" else cells.text(part)
            if value is not None and part == "country" and len(value) == 2 and value.isascii() and value.isalpha():
                region = address["country_code"] = value.upper()
            elif value is not None:
                address[part] = value
        fields["address"] = address or None
    for ours in mapping:
        register = _register(ours)
        if ours.startswith((FIELD, JSON)) and register is not None and cells.says(ours):
            fields[register] = cells.field(ours) if ours.startswith(FIELD) else cells.json(ours)
    return fields, region


def _consented(
    cells: Cells,
    consent: _Consent,
    external_id: str | None,
    address: str | None,
    as_of: datetime | None,
    region: str | None,
) -> Iterator[Event]:
    """Yield what a column of consent says; a "no" also suppresses the address, if there is one."""
    # The time is read first, because a bad time is an error whatever the word.
    at = cells.moment(consent.at)
    written = cells.word(consent.name)
    if written is None:
        return
    word = _word(written)
    words = _words_of(cells.column(consent.name))
    if word not in words:
        raise MalformedPayloadError(f"{cells.column(consent.name)}: expected {_expected(words)}, got another word")
    status = words[word]
    if status is None or (external_id is None and address is None):
        return  # there is neither an address nor a customer that the consent could belong to
    # A "no" without a time is as old as the file; a "yes" without one must not overrule an older "no".
    occurred_at = at or (as_of if status == "opted_out" else None)
    yield ConsentStated(
        external_id=external_id,
        channel=consent.channel,
        status=status,
        address=address,
        occurred_at=occurred_at,
        evidence={"word": word},
        region=region,
    )
    if status == "opted_out" and address is not None:
        yield SuppressionStated(
            external_id=external_id,
            channel=consent.channel,
            address=address,
            reason="unsubscribed",
            occurred_at=occurred_at,
            scope="marketing",
            region=region,
        )


def _word(written: str) -> str:
    return re.sub(r"[-\s_]+", "_", json_values.clean(written).casefold())


def _words_of(column: str) -> Mapping[str, ConsentStatus | None]:
    return _PLAINER_WORDS if _NEGATIVE.search(column) else _WORDS


_PLAINER_WORDS = {word: status for word, status in _WORDS.items() if word not in _PLAIN_YES | _PLAIN_NO}


def _expected(words: Mapping[str, ConsentStatus | None]) -> str:
    if words is _WORDS:
        return "yes, no, subscribed, unsubscribed or pending"
    return "subscribed, unsubscribed or pending (yes and no could mean either in a column with this name)"


@lru_cache(maxsize=64)
def _mapping(written: str) -> Mapping[str, str]:
    """Read the mapping in a header; raises MalformedPayloadError."""
    try:
        mapping = json.loads(written)
    except ValueError:
        raise MalformedPayloadError(f"{MAPPING}: expected JSON") from None
    if type(mapping) is not dict or not all(type(column) is str for column in mapping.values()):
        raise MalformedPayloadError(f"{MAPPING}: expected an object of our names and columns")
    if found := problems(mapping):
        raise MalformedPayloadError(f"{MAPPING}: {found[0]}"[:250])
    return mapping


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
