"""Upgrades: how far what earlier releases stored follows today's rules, and the statements that only an upgrade needs.

``loose_ties`` has the identifiers of records that have no claims on them: records that were removed, or only
mentioned. Earlier releases did not keep these claims, and a record can be found by a claim only.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.domain.terms import Decision, Ident, Ref
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, json_bytes, keys_of, rows_of
from worker.store.db import Tx, json, run, sql


class UpgradeRow(NamedTuple):
    """How far an organization is."""

    began_at: datetime | None
    last_record_id: UUID  #: records up to this one are done
    report: dict[str, Any]
    done_at: datetime | None


class StoredDecision(NamedTuple):
    """A decision with its key and its envelope."""

    id: UUID
    decision: Decision
    envelope_id: UUID | None


_DUE = sql("""
    SELECT o.name FROM upgrades u JOIN organizations o ON o.id = u.organization_id
     WHERE u.done_at IS NULL ORDER BY o.name
""")
_OF_ORGANIZATION = sql("""
    SELECT began_at, coalesce(last_record_id, '00000000-0000-0000-0000-000000000000'), report, done_at
      FROM upgrades WHERE organization_id = :organization_id
""")
_BEGIN = sql("""
    UPDATE upgrades SET began_at = coalesce(began_at, :at) WHERE organization_id = :organization_id
""")
_ADVANCE = sql("""
    UPDATE upgrades SET last_record_id = :last_record_id, report = CAST(:report AS json)
     WHERE organization_id = :organization_id
""")
_FINISH = sql("UPDATE upgrades SET done_at = now() WHERE organization_id = :organization_id")

_LAST_OF_PAGE = sql("""
    SELECT max(id::text)::uuid
      FROM (SELECT id FROM records
             WHERE organization_id = :organization_id AND id > :after ORDER BY id LIMIT :limit) AS page
""")
_PAGE = sql("""
    SELECT id FROM records WHERE organization_id = :organization_id AND id > :after ORDER BY id LIMIT :limit
""")
_TIE = sql("""
    INSERT INTO loose_ties (organization_id, type, key, record_id)
    SELECT r.organization_id, held.value #>> '{1,0}', held.value #>> '{1,1}', r.id
      FROM records r CROSS JOIN LATERAL json_each(r.state -> 'r') AS held
     WHERE r.organization_id = :organization_id AND r.id > :after AND r.id <= :last
       AND (r.state -> 'x' IS NOT NULL OR r.state -> 'v' IS NULL)
       AND held.key LIKE '@%' AND json_typeof(held.value -> 1) = 'array'
        ON CONFLICT DO NOTHING
""")
_UNTIE = sql("DELETE FROM loose_ties WHERE organization_id = :organization_id")

_TIED = sql(f"""
    SELECT new.type, new.key, t.record_id FROM {rows_of(type="text", key="text")}
     CROSS JOIN LATERAL (
        (SELECT record_id FROM claims
          WHERE organization_id = :organization_id AND type = new.type AND key = new.key LIMIT :most)
          UNION
        (SELECT record_id FROM loose_ties
          WHERE organization_id = :organization_id AND type = new.type AND key = new.key LIMIT :most)) AS t
""")
_OF_CONTACTS = sql(f"""
    SELECT r.id FROM {keys_of(contact_id="uuid")}
      JOIN records r ON r.organization_id = new.organization_id AND r.contact_id = new.contact_id
""")
_SHAPES = sql("""
    SELECT r.id, r.kind, r.is_live FROM unnest(CAST(:ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM records r WHERE r.organization_id = :organization_id AND r.id = given_id LIMIT 1) AS r
""")
_RECEIVED = sql("""
    SELECT e.id, e.received_at, CASE WHEN c.connector = 'api' THEN e.sent_at END
      FROM unnest(CAST(:ids AS uuid[])) AS given_id
     CROSS JOIN LATERAL (
        SELECT * FROM envelopes e WHERE e.organization_id = :organization_id AND e.id = given_id LIMIT 1) AS e
      LEFT JOIN connections c ON c.organization_id = :organization_id AND c.id = e.connection_id
""")
_GUESTS = sql("""
    SELECT er.envelope_id, r.source, r.external_id FROM unnest(CAST(:ids AS uuid[])) AS given_id
      JOIN envelope_records er ON er.organization_id = :organization_id AND er.envelope_id = given_id
      JOIN records r ON r.organization_id = :organization_id AND r.id = er.record_id
     WHERE starts_with(r.external_id, 'guest:')
""")

_DECIDED = sql(f"""
    WITH new AS MATERIALIZED (SELECT * FROM {keys_of(source="text", external_id="text")})
    SELECT d.id, d.kind, d.source_a, d.external_id_a, d.source_b, d.external_id_b, d.occurred_at, d.tie, d.envelope_id
      FROM new CROSS JOIN LATERAL (
        SELECT * FROM decisions WHERE organization_id = new.organization_id
           AND source_b = new.source AND external_id_b = new.external_id OFFSET 0) AS d
     UNION
    SELECT d.id, d.kind, d.source_a, d.external_id_a, d.source_b, d.external_id_b, d.occurred_at, d.tie, d.envelope_id
      FROM new CROSS JOIN LATERAL (
        SELECT * FROM decisions WHERE organization_id = new.organization_id
           AND source_a = new.source AND external_id_a = new.external_id OFFSET 0) AS d
""")
_DELETE_DECISIONS = sql(f"""
    DELETE FROM decisions d USING {keys_of(id="uuid")} WHERE d.organization_id = new.organization_id AND d.id = new.id
""")
_DATE_DECISIONS = sql(f"""
    UPDATE decisions d SET occurred_at = new.occurred_at, tie = new.tie
      FROM {keys_of(id="uuid", occurred_at="timestamptz", tie="text")}
     WHERE d.organization_id = new.organization_id AND d.id = new.id
""")

_BOUND_REQUESTS = sql("""
    UPDATE privacy_requests p SET requested_at = late.latest, due_at = p.due_at - (p.requested_at - late.latest)
      FROM (SELECT p.id, coalesce(e.received_at, CAST(:at AS timestamptz)) + interval '5 minutes' AS latest
              FROM privacy_requests p
              LEFT JOIN envelopes e ON e.organization_id = p.organization_id AND e.id = p.envelope_id
             WHERE p.organization_id = :organization_id AND p.state = 'open') AS late
     WHERE p.organization_id = :organization_id AND p.id = late.id AND p.requested_at > late.latest
""")
_COMPOSE_NOTES = sql("""
    UPDATE notes SET body = normalize(body) WHERE organization_id = :organization_id AND body IS NOT NFC NORMALIZED
""")

# In the order of the feed nothing has happened: what the rules of before showed is only written down.
_NOTE_SHOWN = sql(f"""
    UPDATE contacts c SET shown = new.shown::json FROM {keys_of(id="uuid", shown="json")}
     WHERE c.organization_id = new.organization_id AND c.id = new.id
""")


def due(conn: Connection) -> list[str]:
    """Return the names of the organizations whose contacts follow the rules of an earlier release."""
    return [row[0] for row in run(conn, _DUE)]


def of_organization(tx: Tx) -> UpgradeRow | None:
    """Load how far the organization is; None if nothing of it was stored by an earlier release."""
    row = tx.run(_OF_ORGANIZATION).one_or_none()
    return None if row is None else UpgradeRow(*row)


def begin(tx: Tx, at: datetime) -> None:
    """Note when the upgrade began; the first call counts."""
    tx.run(_BEGIN, {"at": at})


def advance(tx: Tx, last_record_id: UUID, report: Mapping[str, Any]) -> None:
    """Note that the records up to this one are done, and what that came to."""
    tx.run(_ADVANCE, {"last_record_id": last_record_id, "report": json(report)})


def finish(tx: Tx) -> None:
    """Note that everything is done."""
    tx.run(_FINISH)


def page(tx: Tx, after: UUID, limit: int) -> list[UUID]:
    """Return the ids of the next records, in their order."""
    return [row[0] for row in tx.run(_PAGE, {"after": after, "limit": limit})]


def tie(tx: Tx, after: UUID, limit: int) -> UUID | None:
    """Fill ``loose_ties`` for the next records; return the last of them, or None if there are no more.

    May be repeated: a tie that is there changes nothing.
    """
    last: UUID | None = tx.run(_LAST_OF_PAGE, {"after": after, "limit": limit}).scalar_one()
    if last is not None:
        tx.run(_TIE, {"after": after, "last": last})
    return last


def untie(tx: Tx) -> None:
    """Empty ``loose_ties``."""
    tx.run(_UNTIE)


def tied(tx: Tx, idents: Collection[Ident], most: int) -> list[tuple[Ident, UUID]]:
    """Return the records that hold each identifier, or once held it; of one identifier at most ``2 * most``."""
    if not idents:
        return []
    rows = tx.run(_TIED, {"most": most, **columns_of(list(idents), "type", "key")})
    return [((row[0], row[1]), row[2]) for row in rows]


def of_contacts(tx: Tx, contact_ids: Collection[UUID]) -> set[UUID]:
    """Return the ids of the records of these contacts."""
    return {row[0] for row in tx.run(_OF_CONTACTS, {"contact_id": list(contact_ids)})} if contact_ids else set()


def shapes(tx: Tx, record_ids: Collection[UUID]) -> dict[UUID, tuple[str, bool]]:
    """Return the kind of these records, and whether they are live, as they are stored."""
    return {row[0]: (row[1], row[2]) for row in tx.run(_SHAPES, {"ids": list(record_ids)})}


def received(tx: Tx, envelope_ids: Collection[UUID]) -> dict[UUID, tuple[datetime, datetime | None]]:
    """Return when these envelopes were received, and when a request of the API was sent; unknown ones are left out."""
    if not envelope_ids:
        return {}
    return {row[0]: (row[1], row[2]) for row in tx.run(_RECEIVED, {"ids": list(envelope_ids)})}


def guests(tx: Tx, envelope_ids: Collection[UUID]) -> dict[tuple[UUID, str], list[Ref]]:
    """Return the guests that these envelopes are about, by envelope and source."""
    found: dict[tuple[UUID, str], list[Ref]] = {}
    if envelope_ids:
        for envelope_id, source, external_id in tx.run(_GUESTS, {"ids": list(envelope_ids)}):
            found.setdefault((envelope_id, source), []).append((source, external_id))
    return found


def decided(tx: Tx, refs: Collection[Ref]) -> list[StoredDecision]:
    """Load the decisions about these records."""
    return [
        StoredDecision(id_, Decision(kind, (source_a, id_a), (source_b, id_b), microseconds(at), tie), envelope_id)
        for id_, kind, source_a, id_a, source_b, id_b, at, tie, envelope_id in tx.run(
            _DECIDED, columns_of(list(refs), "source", "external_id")
        )
    ]


def delete_decisions(tx: Tx, ids: Collection[UUID]) -> None:
    """Delete decisions that are said otherwise now."""
    if ids:
        tx.run(_DELETE_DECISIONS, {"id": list(ids)})


def date_decisions(tx: Tx, rows: Iterable[tuple[UUID, int, str]]) -> None:
    """Give decisions another time (microseconds) and tie, by their ids."""
    values = [(id_, moment(occurred), tie) for id_, occurred, tie in rows]
    if values:
        tx.run(_DATE_DECISIONS, columns_of(values, "id", "occurred_at", "tie"))


def note_shown(tx: Tx, shown: Mapping[UUID, Mapping[str, str]]) -> None:
    """Write down what contacts show beside their fields by the rules of before; the feed does not hear of it."""
    values = [(id_, json_bytes(states)) for id_, states in sorted(shown.items())]
    if values:
        tx.run(_NOTE_SHOWN, columns_of(values, "id", "shown"))


def bound_requests(tx: Tx, at: datetime) -> None:
    """Let no request to see or erase data be due later than if it had come when its envelope was received.

    Of an unknown envelope that is ``at``.
    """
    tx.run(_BOUND_REQUESTS, {"at": at})


def compose_notes(tx: Tx) -> None:
    """Bring the texts of notes to NFC."""
    tx.run(_COMPOSE_NOTES)
