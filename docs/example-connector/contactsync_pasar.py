"""Pasar, an invented shop platform: signed webhooks, and a list of customers that is read page by page.

Quirk: a customer without an e-mail has ``"email": null``; a webhook leaves out fields that did not change.
Quirk: a consent has a time of its own; all other values share ``updated_at``.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, urlsplit

from connectors import json_values, reader, signing
from connectors.conformance import Example
from connectors.contract import (
    Account,
    BadSignatureError,
    ConsentStated,
    Envelope,
    Event,
    Identifier,
    ProfileRemoved,
    ProfileSeen,
    Receipt,
    TagsSnapshot,
)
from connectors.reader import Answer, Credentials, Cursor, Fetch, Job, Page, Request, Row

name = "pasar"
PROTECTED_FIELDS: frozenset[str] = frozenset()
SKIPPED_TOPICS = {"order.paid": "is about goods and money; the customer in it has a webhook of their own"}

_MAX_HEADER, _OK = 128, 200


def receive(headers: Mapping[str, str], body: bytes) -> Receipt:
    """Read topic, id and time; a digest of the body replaces a missing or odd id."""
    topic, delivery_id, seconds = (_short(headers, part) for part in ("topic", "id", "timestamp"))
    try:
        sent_at = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        sent_at = None
    digest = hashlib.sha256(topic.encode() + b"\0" + body).hexdigest()
    return Receipt(topic=topic, delivery_id=delivery_id or f"sha256:{digest}", sent_at=sent_at)


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
    """Check the HMAC of ``id.timestamp.body``; raises BadSignatureError if no secret fits."""
    id_, seconds = _short(headers, "id"), _short(headers, "timestamp")
    version, _, signature = headers.get("webhook-signature", "").partition(",")
    if version != "v1" or not seconds.isdigit() or not id_ or "." in id_:
        raise BadSignatureError("the request has no signature of version 1")
    signing.check_hmac_sha256_base64(f"{id_}.{seconds}.".encode() + body, signature, secrets)


def parse(envelope: Envelope, account: Account) -> Iterable[Event]:  # noqa: ARG001 - no field of Pasar's is protected
    """Return all events in the envelope; raises MalformedPayloadError before the first if the body is malformed."""
    topics = {"customer.created": _changed, "customer.updated": _changed, "customer.deleted": _removed}
    translate = topics.get(envelope.topic)
    with json_values.malformed(name):
        return [] if translate is None else list(translate(json_values.load_json(envelope.body)))


def _changed(body: json_values.Payload) -> Iterator[Event]:
    external_id, at = _id(body), json_values.moment(body, "updated_at")
    slots: dict[str, Identifier | None] = {}
    for slot in ("email", "phone"):  # absent is not empty: only what the body has is stated
        if slot in body:
            value = json_values.text(body, slot)
            slots[slot] = None if value is None else Identifier(type=slot, value=value)
    fields = {"name": json_values.text(body, "name")} if "name" in body else {}
    yield ProfileSeen(external_id=external_id, occurred_at=at, fields=fields, identifiers=slots)
    tags = json_values.texts(body, "tags")
    if tags is not None:
        yield TagsSnapshot(external_id=external_id, tags=tuple(filter(None, tags)), occurred_at=at)
    newsletter = json_values.nested(body, "newsletter")
    if newsletter is not None:
        accepts = json_values.required(
            json_values.boolean(newsletter, "accepts", "newsletter"), "true or false", "newsletter"
        )
        yield ConsentStated(
            external_id=external_id,
            channel="email",
            status="opted_in" if accepts else "opted_out",
            address=None,
            occurred_at=json_values.moment(newsletter, "at", "newsletter"),
            method="form",
        )


def _removed(body: json_values.Payload) -> Iterator[Event]:
    at = json_values.moment(body, "deleted_at")  # required: the topic is not signed, and no other body has this time
    yield ProfileRemoved(external_id=_id(body), occurred_at=json_values.required(at, "a date and time", "deleted_at"))


def _id(body: json_values.Payload) -> str:
    return json_values.required(json_values.number_id(body, "id"), "the id of a customer", "id")


def _short(headers: Mapping[str, str], part: str) -> str:
    """Return a header if it is printable ASCII of at most ``_MAX_HEADER`` characters; else empty text."""
    value = headers.get(f"webhook-{part}", "").strip()
    return value if len(value) <= _MAX_HEADER and value.isascii() and value.isprintable() else ""


# Reading. The worker sends the requests and waits; these functions make requests and read answers.

DOWNLOAD_HOSTS: frozenset[str] = frozenset()
CREDENTIALS = ("access_token",)


def api_url(options: Mapping[str, str]) -> str:
    """Return where the shop's API is."""
    return f"https://{options.get('shop', 'shop')}.pasar.example"


def authorize(credentials: Credentials) -> Mapping[str, str]:
    """Return the header with the token."""
    return {"authorization": f"Bearer {credentials['access_token']}"}


def renewal(credentials: Credentials) -> Request | None:  # noqa: ARG001 - tokens do not expire
    """Return None: tokens do not expire."""
    return None


def renewed(credentials: Credentials, answer: Answer) -> Credentials:  # noqa: ARG001 - as above
    """Raise AccessRefusedError; the worker never calls this, because there is no ``renewal``."""
    raise reader.AccessRefusedError("Pasar's tokens cannot be renewed")


def read(job: Job, cursor: Cursor | None, fetch: Fetch) -> Iterator[Page]:
    """Yield the customers by id. The cursor is the last id, which stays valid when customers come and go."""
    last = cursor["after"] if cursor else "0"
    following: str | None = last
    since = f"&updated_since={quote(job.since.isoformat())}" if job.since else ""
    while following is not None:
        rows, following = _list(fetch, f"/v1/customers?after={following}{since}")
        last = following or (rows[-1].external_id if rows else last)
        yield Page(rows=rows, cursor={"after": last})  # every page has a cursor, also the last


def read_some(job: Job, external_ids: Sequence[str], fetch: Fetch) -> Iterator[Row]:  # noqa: ARG001 - nothing differs
    """Yield these customers; Pasar leaves out those that it does not have."""
    if external_ids:
        yield from _list(fetch, f"/v1/customers?after=0&ids={','.join(external_ids)}")[0]


def gone(external_id: str, at: datetime) -> Row:
    """Return a row with the body of Pasar's webhook about a deletion."""
    body = json.dumps({"id": external_id, "deleted_at": at.isoformat()}).encode()
    return Row(external_id=external_id, updated_at=at, topic="customer.deleted", body=body, not_before=at, not_after=at)


def wanted(topic: str, body: bytes) -> str | None:  # noqa: ARG001 - see below
    """Return None: no webhook of Pasar is incomplete, so no customer is read back."""
    return None


def _list(fetch: Fetch, url: str) -> tuple[list[Row], str | None]:
    answer = fetch(Request(url=url), _check)
    with json_values.malformed(name):
        body = json_values.load_json(answer.body)
        if not isinstance(body.get("customers"), list) or "next" not in body:
            raise reader.UnreadableError("Pasar's list of customers has no customers or no next")
        return [_row(customer, answer) for customer in body["customers"]], json_values.number_id(body, "next")


def _row(customer: json_values.Payload, answer: Answer) -> Row:
    return Row(
        external_id=_id(customer),
        updated_at=json_values.moment(customer, "updated_at"),
        topic="customer.updated",
        body=json.dumps(customer).encode(),
        not_before=answer.not_before,
        not_after=answer.not_after,
    )


def _check(answer: Answer) -> None:
    """Raise a ReadingError if the answer is not a list; it never quotes the answer, which may hold personal data."""
    if answer.status in (401, 403):
        raise reader.AccessRefusedError("Pasar does not accept the access token")
    if answer.status != _OK:
        raise reader.UnreadableError(f"Pasar answers {answer.status} to a list of customers")


# For `contactsync connectors check pasar`: requests as a shop sends them, and a shop that answers.

_SECRET = "an invented secret"
_NOW = datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)
_SEEN = {"id": 70001, "name": "Budi Santoso", "email": "budi@example.com", "phone": "+6281234567801", "tags": ["vip"]}
_SEEN |= {"updated_at": "2026-09-14T18:42:01Z", "newsletter": {"accepts": True, "at": "2026-09-01T08:00:00Z"}}


def _example(topic: str, body: Mapping[str, object], *events: Event | type[Event]) -> Example:
    raw = json.dumps(body).encode()
    id_, seconds = f"msg_{topic.replace('.', '_')}", "1789411327"
    signature = base64.b64encode(hmac.digest(_SECRET.encode(), f"{id_}.{seconds}.".encode() + raw, "sha256")).decode()
    headers = {"webhook-topic": topic, "webhook-id": id_, "webhook-timestamp": seconds}
    headers["webhook-signature"] = f"v1,{signature}"
    return Example(name=topic, topic=topic, headers=headers, body=raw, secrets=[_SECRET], events=events)


_AT = datetime(2026, 9, 14, 18, 42, 1, tzinfo=UTC)
_SLOTS = {
    "email": Identifier(type="email", value="budi@example.com"),
    "phone": Identifier(type="phone", value="+6281234567801"),
}
_PROFILE = ProfileSeen(external_id="70001", occurred_at=_AT, fields={"name": "Budi Santoso"}, identifiers=_SLOTS)
_TAGS = TagsSnapshot(external_id="70001", tags=("vip",), occurred_at=_AT)
_NO_EMAIL = ProfileSeen(external_id="70001", occurred_at=None, identifiers={"email": None})

EXAMPLES = (
    _example("customer.created", _SEEN, _PROFILE, _TAGS, ConsentStated),
    _example("customer.updated", {"id": 70001, "email": None}, _NO_EMAIL),
    _example("customer.deleted", {"id": 70001, "deleted_at": "2026-09-14T18:42:07Z"}, ProfileRemoved),
    _example("order.paid", {"order": 1}),
)


class ScriptedShop:
    """A shop with seven customers, two a page."""

    def __init__(self) -> None:
        self.account = Account(source=name, options={"shop": "lantern-row"})
        self.credentials = {"access_token": "pasar_token_4711"}
        self.external_ids = tuple(str(70001 + number) for number in range(7))

    def answer(self, request: Request) -> Answer:
        """Answer a list of customers, as Pasar documents it."""
        url = urlsplit(request.url)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        ids = query["ids"].split(",") if "ids" in query else self.external_ids
        found = [id_ for id_ in self.external_ids if id_ in ids and int(id_) > int(query["after"])]
        size = len(found) if "ids" in query else 2
        shown = [{**_SEEN, "id": int(id_), "email": f"c{id_}@example.com"} for id_ in found[:size]]
        body = {"customers": shown, "next": found[size - 1] if len(found) > size else None}
        ok = (
            request.headers.get("authorization") == f"Bearer {self.credentials['access_token']}"
            and url.path == "/v1/customers"
        )
        raw = json.dumps(body).encode()
        return Answer(status=200 if ok else 401, headers={}, body=raw, not_before=_NOW, not_after=_NOW)


SIMULATOR = ScriptedShop
