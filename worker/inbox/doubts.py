"""Doubts: a deletion or a revocation that may be an old request, sent again, has to be confirmed by reading.

Neither the topic of a request nor its sending time is signed. So where we can read the source, it is asked before such
a request takes effect: about a deletion that was not sent within a day of its arrival, or whose sending time nobody
knows, and about every revocation, because the body of one has no time and is that of other topics, too. Where we cannot
read, the request takes effect at once (ADR 24).
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from connectors import connector
from connectors.contract import Envelope
from worker.domain.statements import EnvelopeStatements, RemovalStatement
from worker.inbox import kept_envelopes
from worker.store.connections import ConnectionRow
from worker.store.envelopes import EnvelopeRow

#: Shopify documents that deliveries come up to a day late.
_LATE = timedelta(days=1)
#: the detail of the outcome until the source has answered
WAITING = "waits for a reading that confirms it"


class Doubt(NamedTuple):
    """What the source is asked about."""

    envelope_id: UUID
    connection_id: UUID
    external_id: str  #: of the customer who is said to be gone; empty: whether our access was taken back
    deleted_at: datetime  #: when it takes effect if the source never answers


def take_out(row: EnvelopeRow, connection: ConnectionRow, stated: EnvelopeStatements) -> list[Doubt]:
    """Take out of the statements what has to be confirmed, and return it. Nearly always there is nothing."""
    if not (stated.removed or stated.revoked is not None) or not connection.can_be_read:
        return []
    if kept_envelopes.is_ours(row):
        return []  # read from the source itself
    return list(_taken_out(row, connection, stated))


def _taken_out(row: EnvelopeRow, connection: ConnectionRow, stated: EnvelopeStatements) -> Iterator[Doubt]:
    at = row.sent_at or row.received_at
    if stated.revoked is not None:
        stated.revoked = None
        yield Doubt(row.id, row.connection_id, "", at)
    if _is_sent_now(row, connection):
        return
    for ref in stated.removed:
        left = [one for one in stated.records.get(ref, ()) if type(one) is not RemovalStatement]
        if left:
            stated.records[ref] = left
        else:
            stated.records.pop(ref, None)
        yield Doubt(row.id, row.connection_id, ref[1], at)
    stated.removed = ()


def _is_sent_now(row: EnvelopeRow, connection: ConnectionRow) -> bool:
    """Return whether the sender says that it sent the request within a day of its arrival.

    The kept time may be that of the arrival, so the headers are read once more.
    """
    envelope: Envelope = kept_envelopes.envelope_of(row)
    sent_at = connector(connection.connector).receive(envelope.headers, envelope.body).sent_at
    return sent_at is not None and abs(row.received_at - sent_at) <= _LATE
