"""Envelopes: every request or row as received, kept before it is acknowledged."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection, TextClause

from worker.domain.terms import API_SOURCE
from worker.store import connections
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, run, sql
from worker.store.lanes import lane_of, lane_sql


class Incoming(NamedTuple):
    """A verified envelope that is about to be kept."""

    organization_id: UUID
    id: UUID
    connection_id: UUID
    topic: str
    delivery_id: str
    sent_at: datetime | None
    headers: str  #: JSON list of [name, value]: of a request, those that are kept
    body: bytes
    body_sha256: bytes
    #: JSON list of [name, value] of a row or request that we wrote ourselves; None for what came from outside
    marks: str | None = None

    @property
    def lane(self) -> int:
        """The lane of its connection."""
        return lane_of(self.connection_id)


class ApiEnvelope(NamedTuple):
    """A request of the API that is about to be kept. Its fields are those of ``Incoming``."""

    id: UUID
    topic: str
    delivery_id: str
    sent_at: datetime
    body: bytes
    body_sha256: bytes
    marks: str


class Kept(NamedTuple):
    """The answer to ``keep``: the envelope that holds the delivery, and whether it was kept before."""

    envelope_id: UUID
    is_duplicate: bool
    is_mismatch: bool  #: the same delivery id came with another body before; the first body counts


class EnvelopeRow(NamedTuple):
    """An envelope as stored; ``body`` is None once it has expired.

    ``received_at`` is when it was kept, by the database's clock. Nothing changes it: a duplicate delivery keeps the
    first envelope, and a replay reads it.
    """

    organization_id: UUID
    id: UUID
    connection_id: UUID
    topic: str
    delivery_id: str
    sent_at: datetime | None
    received_at: datetime
    headers: str  #: as in ``Incoming``; few connectors look at them
    body: bytes | None
    marks: str | None = None  #: as in ``Incoming``; None, too, if an earlier release kept it


_FIELDS = EnvelopeRow._fields

# One statement, so that an envelope, its dedupe key and its queue row are kept together or not at all.
_KEEP = sql(f"""
    WITH kept AS (
        INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, sent_at, headers, body,
                               body_sha256, marks)
        SELECT organization_id, id, connection_id, topic, delivery_id, sent_at, headers::json, body, body_sha256,
               marks::json
          FROM {
    rows_of(
        organization_id="uuid",
        id="uuid",
        connection_id="uuid",
        topic="text",
        delivery_id="text",
        sent_at="timestamptz",
        headers="json",
        body="bytea",
        body_sha256="bytea",
        marks="json",
    )
}
            ON CONFLICT (organization_id, connection_id, delivery_id) DO NOTHING
        RETURNING organization_id, id, connection_id
    ), queued AS (
        INSERT INTO ready (organization_id, envelope_id, connection_id, lane, run_id)
        SELECT organization_id, id, connection_id, {lane_sql("connection_id")}, :run_id
          FROM kept
    )
    SELECT id FROM kept
""")

# API writes take effect in the transaction that keeps them, so there is nothing to drain. Their connection is looked up
# here, which saves a round trip.
_KEEP_SETTLED = sql(f"""
    WITH kept AS (
        INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, sent_at, headers, body,
                               body_sha256, marks)
        SELECT :organization_id, new.id, c.id, topic, delivery_id, sent_at, '[]'::json, body, body_sha256, marks::json
          FROM (SELECT id FROM connections WHERE organization_id = :organization_id AND connector = '{API_SOURCE}') AS c
         CROSS JOIN {
    rows_of(
        id="uuid",
        topic="text",
        delivery_id="text",
        sent_at="timestamptz",
        body="bytea",
        body_sha256="bytea",
        marks="json",
    )
}
        RETURNING organization_id, id, received_at, connection_id
    ), settled AS (
        INSERT INTO outcomes (organization_id, envelope_id, outcome) SELECT organization_id, id, 'settled' FROM kept
    )
    SELECT received_at, connection_id FROM kept LIMIT 1
""")

_BY_DELIVERY = sql(f"""
    SELECT e.connection_id, e.delivery_id, e.id, e.body_sha256
      FROM {rows_of(organization_id="uuid", connection_id="uuid", delivery_id="text")}
     CROSS JOIN LATERAL (
        SELECT * FROM envelopes WHERE organization_id = new.organization_id AND connection_id = new.connection_id
           AND delivery_id = new.delivery_id LIMIT 1) AS e
""")

_BY_RECORDS = sql(f"""
    SELECT DISTINCT {", ".join("e." + name for name in _FIELDS if name not in ("headers", "body", "marks"))},
           e.headers::text, e.body, e.marks::text
      FROM {keys_of(record_id="uuid")}
      JOIN envelope_records er ON er.organization_id = new.organization_id AND er.record_id = new.record_id
     CROSS JOIN LATERAL (
        SELECT * FROM envelopes WHERE organization_id = new.organization_id AND id = er.envelope_id LIMIT 1) AS e
     WHERE e.body IS NOT NULL
     ORDER BY e.id LIMIT :most
""")

_LINKED_RECORDS = sql(f"""
    SELECT DISTINCT er.record_id FROM {keys_of(envelope_id="uuid")}
      JOIN envelope_records er ON er.organization_id = new.organization_id AND er.envelope_id = new.envelope_id
""")

_DELETE_LINKS = sql(f"""
    DELETE FROM envelope_records er USING {keys_of(envelope_id="uuid")}
     WHERE er.organization_id = new.organization_id AND er.envelope_id = new.envelope_id
""")

_STILL_LINKED = sql(f"""
    SELECT new.record_id FROM {keys_of(record_id="uuid")}
     CROSS JOIN LATERAL (
        SELECT 1 FROM envelope_records
         WHERE organization_id = new.organization_id AND record_id = new.record_id LIMIT 1) AS er
""")

_LINK = f"""
    INSERT INTO envelope_records (organization_id, envelope_id, record_id)
    SELECT :organization_id, envelope_id, record_id FROM {rows_of(envelope_id="uuid", record_id="uuid")}
"""
_LINK_NEW = sql(_LINK)  # without a conflict clause, which would cost as much as the row
_LINK_ANY = sql(f"""{_LINK}
        ON CONFLICT DO NOTHING
""")


_RENAME = sql("""
    UPDATE envelopes SET topic = :to, delivery_id = delivery_id || ':' || id
     WHERE organization_id = :organization_id AND id >= :since AND connection_id = :connection_id AND topic = :topic
       AND coalesce(marks, headers)::text LIKE :pattern
    RETURNING id
""")


def keep(conn: Connection, incoming: Sequence[Incoming], run_id: UUID | None = None) -> list[Kept]:
    """Keep envelopes and queue them, each delivery once; return the answers in the order of ``incoming``.

    ``run_id`` is the run that read them, if drains are to count them for it.
    """
    # Every process takes the same order, so that two processes with the same deliveries cannot deadlock.
    ordered = sorted(incoming, key=lambda r: (r.organization_id, r.connection_id, r.delivery_id))
    parameters = columns_of(ordered, *Incoming._fields)
    new = set(run(conn, _KEEP, {**parameters, "run_id": run_id}).scalars().all())
    known: dict[tuple[UUID, str], tuple[UUID, bytes]] = {}
    repeated = [request for request in incoming if request.id not in new]
    if repeated:
        keys = [(r.organization_id, r.connection_id, r.delivery_id) for r in repeated]
        rows = run(conn, _BY_DELIVERY, columns_of(keys, "organization_id", "connection_id", "delivery_id"))
        known = {(row[0], row[1]): (row[2], row[3]) for row in rows}
    answers = []
    for request in incoming:
        if request.id in new:
            answers.append(Kept(request.id, is_duplicate=False, is_mismatch=False))
        else:
            envelope_id, digest = known[request.connection_id, request.delivery_id]
            is_mismatch = bytes(digest) != request.body_sha256
            # If the id is our own, an earlier try of this insert was committed and only its answer got lost.
            answers.append(Kept(envelope_id, is_duplicate=envelope_id != request.id, is_mismatch=is_mismatch))
    return answers


def keep_settled(tx: Tx, writes: Sequence[ApiEnvelope]) -> tuple[datetime, UUID]:
    """Keep API writes, which take effect in the same transaction.

    Returns their ``received_at`` and their connection; the first write of an organization adds it.
    """
    columns = columns_of(writes, *ApiEnvelope._fields)
    kept = tx.run(_KEEP_SETTLED, columns).first()
    if kept is None:
        connections.of_api(tx)
        kept = tx.run(_KEEP_SETTLED, columns).one()
    return kept[0], kept[1]


def by_records(tx: Tx, record_ids: Collection[UUID], most: int) -> list[EnvelopeRow]:
    """Load the envelopes that are linked to these records and whose bodies are still kept; at most ``most``."""
    rows = tx.run(_BY_RECORDS, {"record_id": list(record_ids), "most": most})
    return [EnvelopeRow._make(fields) for fields in rows]


def rename(tx: Tx, connection_id: UUID, since: UUID, *, mark: tuple[str, str], topic: str, to: str) -> list[UUID]:
    """Give envelopes of our own that have a mark another topic; return their ids.

    Earlier releases kept marks among the headers.

    Their delivery ids change, too, so that the same deliveries can be kept again. ``since`` is a bound for their ids,
    so that no more than the newer envelopes are looked at.
    """
    given = {"connection_id": connection_id, "since": since, "topic": topic, "to": to}
    pattern = f"%{orjson.dumps(list(mark)).decode()}%"
    return [row[0] for row in tx.run(_RENAME, {**given, "pattern": pattern})]


def linked_records(tx: Tx, envelope_ids: Collection[UUID]) -> list[UUID]:
    """Load the ids of the records that these envelopes are linked to."""
    return [row[0] for row in tx.run(_LINKED_RECORDS, {"envelope_id": list(envelope_ids)})]


def delete_links(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Delete the links of these envelopes to records, before a replay adds them anew."""
    tx.run(_DELETE_LINKS, {"envelope_id": list(envelope_ids)})


def still_linked(tx: Tx, record_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the records that at least one envelope is linked to."""
    return {row[0] for row in tx.run(_STILL_LINKED, {"record_id": list(record_ids)})}


def insert_new_links(tx: Tx, pairs: Collection[tuple[UUID, UUID]]) -> None:
    """Link envelopes to the records that they are about: (envelope, record). A link that exists already raises."""
    _link(tx, pairs, _LINK_NEW)


def ensure_links(tx: Tx, pairs: Collection[tuple[UUID, UUID]]) -> None:
    """Link envelopes to records; a link that exists already changes nothing."""
    _link(tx, pairs, _LINK_ANY)


def _link(tx: Tx, pairs: Collection[tuple[UUID, UUID]], statement: TextClause) -> None:
    if pairs:
        ordered = sorted(pairs, key=lambda pair: (pair[0].int, pair[1].int))  # UUIDs compare ten times as slowly
        tx.run(statement, columns_of(ordered, "envelope_id", "record_id"))
