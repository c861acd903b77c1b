"""Kept envelopes: the stored bytes become statements, in the same way for a drain, a dry run and a replay."""

from connectors import connector
from connectors.contract import Envelope, MalformedPayloadError
from worker.domain import api_writes
from worker.domain.normalise import ceiling_of, normalise, normalise_api_write
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE
from worker.store.connections import ConnectionRow
from worker.store.envelopes import EnvelopeRow


def statements_of(row: EnvelopeRow, connection: ConnectionRow) -> EnvelopeStatements:
    """Normalise an envelope; the same envelope always gives the same statements.

    Its ceiling follows from the time at which it was received, so a replay years later has the same one (ADR 13).

    Raises MalformedPayloadError if the body is not what the provider documents, or has expired.
    """
    if row.body is None:
        raise MalformedPayloadError("the body has expired and cannot be read again")
    ceiling = ceiling_of(row.received_at)
    if connection.connector == API_SOURCE:
        assert row.sent_at is not None  # noqa: S101 - a request of the API always has one
        write = api_writes.decode(bytes(row.body))
        return normalise_api_write(
            row.id,
            write.events,
            write.links,
            dict(write.about),
            write.deletion,
            sent_at=row.sent_at,
            delivery_id=row.delivery_id,
            ceiling=ceiling,
        )
    headers = {name.lower(): value for name, value in row.headers}
    envelope = Envelope(
        topic=row.topic, delivery_id=row.delivery_id, sent_at=row.sent_at, headers=headers, body=bytes(row.body)
    )
    return normalise(row.id, envelope, connector(connection.connector), connection.account(), ceiling=ceiling)
