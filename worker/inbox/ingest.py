"""Ingest: a request becomes an inbox row, committed before it is acknowledged.

The webhook route and the public task ``worker.tasks.ingest`` do the same: find the connection, verify the
signature over the raw bytes, read the headers, keep. The body is not parsed here; whatever a body does
to a parser, it does to its own envelope alone.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID

import orjson

from connectors import connector
from connectors.contract import Receipt
from worker import ids
from worker.domain.terms import API_SOURCE
from worker.store.connections import ConnectionRow
from worker.store.envelopes import Incoming

#: what fits a dedupe key and a topic column; Shopify's are far shorter
_MAX_ID = 255
_MAX_TOPIC = 200


class Source(NamedTuple):
    """A connection as ingest needs it, with its secrets in the clear."""

    organization_id: UUID
    id: UUID
    connector: str
    secrets: tuple[str, ...]


def source_of(row: ConnectionRow) -> Source | None:
    """Return a connection ready to receive; None if it was removed, or is the API's, which has no webhooks."""
    if row.state == "removed" or row.connector == API_SOURCE:
        return None
    return Source(row.organization_id, row.id, row.connector, tuple(row.secrets()))


def is_ping(source: Source, headers: Sequence[tuple[str, str]], body: bytes) -> bool:
    """Whether a provider only tries a new webhook: nothing is said, so nobody has to prove who says it."""
    ping = getattr(connector(source.connector), "is_ping", None)
    return ping is not None and ping({name.lower(): value for name, value in headers}, body)


def accept(source: Source, headers: Sequence[tuple[str, str]], body: bytes) -> Incoming:
    """Verify a request and make its inbox row.

    Header names may come in any case. Raises BadSignatureError if the sender cannot prove who it is;
    then nothing may be kept.
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
        # Kept with the envelope, so that every replay reads the same.
        sent_at=receipt.sent_at or (datetime.now(UTC) if receipt.arrival_counts else None),
        headers=_written(headers),
        body=body,
        body_sha256=sha256(body).digest(),
    )


def _written(headers: Sequence[tuple[str, str]]) -> str:
    try:
        return orjson.dumps(headers).decode()
    except orjson.JSONEncodeError:  # a surrogate: not from HTTP, but a task's message can hold one
        return orjson.dumps([(_plain(name), _plain(value)) for name, value in headers]).decode()


def _delivery_id(receipt: Receipt) -> str:
    id_ = _plain(receipt.delivery_id)
    return id_ if len(id_) <= _MAX_ID else "sha256:" + sha256(id_.encode()).hexdigest()


def _plain(text: str) -> str:
    """Text that any column holds: header bytes beyond ASCII arrive as Latin-1, NUL and surrogates never."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
