"""Kept envelopes: the stored bytes become statements, in the same way for a drain, a dry run and a replay."""

from collections.abc import Iterator, Mapping

import orjson

from connectors import connector
from connectors.contract import Envelope, MalformedPayloadError
from worker.domain import api_writes
from worker.domain.normalise import ceiling_of, normalise, normalise_api_write
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE
from worker.store.connections import ConnectionRow
from worker.store.envelopes import EnvelopeRow


class _Headers(Mapping[str, str]):
    """The headers of an envelope, names in lower case; few connectors look at them, so they are read when asked."""

    __slots__ = ("_by_name", "_written")

    def __init__(self, written: str) -> None:
        self._written = written
        self._by_name: dict[str, str] | None = None

    def _sorted(self) -> dict[str, str]:
        if self._by_name is None:
            self._by_name = {name.lower(): value for name, value in orjson.loads(self._written)}
        return self._by_name

    def __getitem__(self, name: str) -> str:
        return self._sorted()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted())

    def __len__(self) -> int:
        return len(self._sorted())


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
    envelope = Envelope(
        topic=row.topic,
        delivery_id=row.delivery_id,
        sent_at=row.sent_at,
        headers=_Headers(row.headers),
        body=bytes(row.body),
    )
    return normalise(row.id, envelope, connector(connection.connector), connection.account(), ceiling=ceiling)
