"""Ingest: a webhook request becomes an envelope, committed to the inbox before the request is acknowledged.

The webhook route and the public task ``worker.tasks.ingest`` take the same steps: find the connection, verify the
signature over the raw bytes, read the headers, keep the envelope. The body is not parsed here, so that a body that
breaks a parser harms only its own envelope, in the drain. Nothing from outside gets marks: an envelope with marks is
one that we wrote ourselves (ADR 24).
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson

from connectors import connector, kept_headers
from connectors.contract import Receipt
from worker import ids
from worker.domain.terms import API_SOURCE
from worker.store.connections import ConnectionRow
from worker.store.envelopes import Incoming

#: characters of a delivery id; longer ids are hashed. Shopify's are far shorter.
_MAX_ID = 255
#: characters of a topic; longer topics are cut
_MAX_TOPIC = 200
#: prefixes of the delivery ids of our own rows and requests; an id from outside that has one is hashed
_OWN_IDS = ("read:", "api:", "file:")


class Source(NamedTuple):
    """A connection as ingest needs it, with its secrets in the clear."""

    organization_id: UUID
    id: UUID
    connector: str
    secrets: tuple[str, ...]


def source_of(row: ConnectionRow) -> Source | None:
    """Return a connection as ingest needs it; None if it was removed, or is the API's, which has no webhooks."""
    if row.state == "removed" or row.connector == API_SOURCE:
        return None
    return Source(row.organization_id, row.id, row.connector, tuple(row.secrets()))


def is_ping(source: Source, headers: Sequence[tuple[str, str]], body: bytes) -> bool:
    """Return whether a provider only tries a new webhook. A ping states nothing, so it needs no signature."""
    ping = getattr(connector(source.connector), "is_ping", None)
    return ping is not None and ping({name.lower(): value for name, value in headers}, body)


def accept(source: Source, headers: Sequence[tuple[str, str]], body: bytes) -> Incoming:
    """Verify a request and make its envelope.

    Header names may come in any case. Raises BadSignatureError if the sender cannot prove who it is; then nothing
    may be kept.
    """
    by_name = {name.lower(): value for name, value in headers}
    provider = connector(source.connector)
    provider.verify(by_name, body, source.secrets)
    receipt = provider.receive(by_name, body)
    return Incoming(
        organization_id=source.organization_id,
        id=ids.new(),
        connection_id=source.id,
        topic=_plain(receipt.topic)[:_MAX_TOPIC],
        delivery_id=_delivery_id(receipt),
        # The time is kept with the envelope, so that every replay gives the same statements.
        sent_at=receipt.sent_at or (datetime.now(UTC) if receipt.arrival_counts else None),
        headers=_written(kept_headers.kept(provider, by_name)),
        body=body,
        body_sha256=sha256(body).digest(),
    )


def _written(headers: Sequence[tuple[str, str]]) -> str:
    try:
        return orjson.dumps(headers).decode()
    except orjson.JSONEncodeError:  # a lone surrogate: HTTP cannot carry it, but a Celery message can
        return orjson.dumps([(_plain(name), _plain(value)) for name, value in headers]).decode()


def _delivery_id(receipt: Receipt) -> str:
    id_ = _plain(receipt.delivery_id)
    is_usable = len(id_) <= _MAX_ID and not id_.startswith(_OWN_IDS)
    return id_ if is_usable else "sha256:" + sha256(id_.encode()).hexdigest()


def _plain(text: str) -> str:
    """Return text that any column holds: NUL and lone surrogates are replaced.

    Header bytes beyond ASCII arrive as Latin-1 and stay so.
    """
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
