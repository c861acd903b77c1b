"""Kept envelopes, read: by a drain, by a dry run, and again by a replay."""

from collections.abc import Mapping
from uuid import UUID

import structlog

from connectors.contract import Envelope, MalformedPayloadError
from worker.domain import api_writes
from worker.domain.normalise import normalise, normalise_api_write
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE
from worker.errors import PermanentError
from worker.store import connections, envelopes
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow

log = structlog.get_logger(__name__)

#: kept envelopes that a replay reads again, at most
_MOST_SIBLINGS = 10_000


def read(row: EnvelopeRow, connection: ConnectionRow) -> EnvelopeStatements:
    """Read an envelope; the same one always gives the same reading.

    Raises MalformedPayloadError if it is not what the provider documents, or its body has expired.
    """
    if row.body is None:
        raise MalformedPayloadError("the body has expired and cannot be read again")
    if connection.connector == API_SOURCE:
        assert row.sent_at is not None  # noqa: S101 - a request of the API always has one
        write = api_writes.decode(bytes(row.body))
        return normalise_api_write(row.id, write.events, write.links, sent_at=row.sent_at, delivery_id=row.delivery_id)
    headers = {name.lower(): value for name, value in row.headers}
    envelope = Envelope(
        topic=row.topic, delivery_id=row.delivery_id, sent_at=row.sent_at, headers=headers, body=bytes(row.body)
    )
    return normalise(row.id, envelope, connection.connector, connection.account())


def siblings(
    tx: Tx, replayed: EnvelopeRow, accounts: Mapping[UUID, ConnectionRow]
) -> list[tuple[EnvelopeStatements, UUID]]:
    """Read again what else was kept about the records of a replayed envelope, each with its connection's id.

    Withdrawing a statement can bring back an older one that it had replaced. Raises PermanentError if
    there are more than one transaction can take.
    """
    touched = envelopes.records_of(tx, [replayed.id])
    rows = envelopes.touching(tx, touched, _MOST_SIBLINGS + 1)
    if len(rows) > _MOST_SIBLINGS:
        raise PermanentError(f"more than {_MOST_SIBLINGS:,} kept envelopes speak of the same customers")
    known = {**accounts, **connections.by_ids(tx.conn, {row.connection_id for row in rows} - accounts.keys())}
    readings = []
    for row in rows:
        if row.id == replayed.id or row.connection_id not in known:
            continue
        try:
            readings.append((read(row, known[row.connection_id]), row.connection_id))
        except MalformedPayloadError:
            log.warning("sibling_unreadable", envelope_id=str(row.id))  # it keeps what it stated before
    return readings
