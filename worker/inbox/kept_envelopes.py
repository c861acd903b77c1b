"""Kept envelopes: the stored bytes become statements, in the same way for a drain, a dry run and a replay.

What we wrote ourselves (rows that were read or imported) has ``marks``, a column of its own, and a connector finds them
in place of headers. What came from outside has no marks, whatever its headers say, and no topic of ours (ADR 24).
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import orjson

from connectors import connector, kept_headers
from connectors.contract import Envelope, MalformedPayloadError
from connectors.reader import OWN_TOPICS
from worker.domain import api_writes
from worker.domain.normalise import ceiling_of, normalise, normalise_api_write
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE
from worker.store.connections import ConnectionRow
from worker.store.envelopes import EnvelopeRow


class _Headers(Mapping[str, str]):
    """The headers of an envelope, names in lower case; few connectors look at them, so they are read when asked."""

    __slots__ = ("_by_name", "_row")

    def __init__(self, row: EnvelopeRow) -> None:
        self._row = row
        self._by_name: dict[str, str] | None = None

    def _sorted(self) -> dict[str, str]:
        if self._by_name is None:
            row = self._row
            found = {name.lower(): value for name, value in orjson.loads(row.marks or row.headers)}
            if row.marks is None and kept_headers.may_have_ours(row.headers) and not _are_marks(found):
                found = {name: value for name, value in found.items() if not kept_headers.is_ours(name)}
            self._by_name = found
        return self._by_name

    def __getitem__(self, name: str) -> str:
        return self._sorted()[name]

    def get(self, name: str, default: Any = None) -> Any:
        return self._sorted().get(name, default)  # the one of Mapping takes three times as long

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted())

    def __len__(self) -> int:
        return len(self._sorted())


def is_ours(row: EnvelopeRow) -> bool:
    """Return whether we wrote the envelope: it is a row that was read or imported, or a request of the API."""
    return row.marks is not None or _are_marks({name.lower() for name, _ in orjson.loads(row.headers)})


def _are_marks(names: Collection[str]) -> bool:
    """Return whether these are the headers of a row that an earlier release kept: marks, and nothing beside them.

    A request of that time has at least its signature. A request of today has no header with such a name.
    """
    return len(names) > 0 and all(kept_headers.is_ours(name) for name in names)


def envelope_of(row: EnvelopeRow) -> Envelope:
    """Return an envelope as its connector sees it; the body must be there."""
    return Envelope(
        topic=row.topic,
        delivery_id=row.delivery_id,
        sent_at=row.sent_at,
        headers=_Headers(row),
        body=bytes(row.body or b""),
    )


def statements_of(row: EnvelopeRow, connection: ConnectionRow) -> EnvelopeStatements:
    """Normalise an envelope; the same envelope always gives the same statements.

    An envelope from outside states nothing under a topic of our own rows.

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
    if row.topic.startswith(OWN_TOPICS) and not is_ours(row):
        return EnvelopeStatements(row.id, connection.source)
    envelope = envelope_of(row)
    return normalise(row.id, envelope, connector(connection.connector), connection.account(), ceiling=ceiling)
