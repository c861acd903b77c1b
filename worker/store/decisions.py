"""Decisions: pairs of records that a person or a source declared to be one person, or two."""

from collections.abc import Collection, Iterable
from uuid import UUID

from worker import ids
from worker.domain.snapshot import NewDecision
from worker.domain.terms import Decision, Ref
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, sql

_BY_REFS = sql(f"""
    WITH new AS MATERIALIZED (SELECT * FROM {keys_of(source="text", external_id="text")})
    SELECT d.kind, d.source_a, d.external_id_a, d.source_b, d.external_id_b, d.occurred_at, d.tie
      FROM new CROSS JOIN LATERAL (
        SELECT * FROM decisions WHERE organization_id = new.organization_id
           AND source_b = new.source AND external_id_b = new.external_id OFFSET 0) AS d
     UNION
    SELECT d.kind, d.source_a, d.external_id_a, d.source_b, d.external_id_b, d.occurred_at, d.tie
      FROM new CROSS JOIN LATERAL (
        SELECT * FROM decisions WHERE organization_id = new.organization_id
           AND source_a = new.source AND external_id_a = new.external_id OFFSET 0) AS d
""")

_INSERT = sql(f"""
    INSERT INTO decisions (organization_id, id, kind, source_a, external_id_a, source_b, external_id_b, occurred_at,
                           tie, actor, envelope_id)
    SELECT :organization_id, id, kind, source_a, external_id_a, source_b, external_id_b, occurred_at, tie, actor,
           envelope_id
      FROM {
    rows_of(
        id="uuid",
        kind="text",
        source_a="text",
        external_id_a="text",
        source_b="text",
        external_id_b="text",
        occurred_at="timestamptz",
        tie="text",
        actor="text",
        envelope_id="uuid",
    )
}
        ON CONFLICT DO NOTHING
""")

_WITHDRAW = sql(f"""
    DELETE FROM decisions d USING {keys_of(envelope_id="uuid")}
     WHERE d.organization_id = new.organization_id AND d.envelope_id = new.envelope_id
    RETURNING source_a, external_id_a, source_b, external_id_b
""")


def by_refs(tx: Tx, refs: Collection[Ref]) -> set[Decision]:
    """Load all decisions about these records, also those that a newer decision replaces."""
    rows = tx.run(_BY_REFS, columns_of(list(refs), "source", "external_id"))
    return {
        Decision(kind, (source_a, id_a), (source_b, id_b), microseconds(occurred_at), tie)
        for kind, source_a, id_a, source_b, id_b, occurred_at, tie in rows
    }


def ensure(tx: Tx, rows: Iterable[NewDecision]) -> None:
    """Add decisions; a decision that is stored already changes nothing."""
    values = [
        (ids.new(), d.kind, *d.a, *d.b, moment(d.occurred), d.tie, actor, envelope_id) for d, actor, envelope_id in rows
    ]
    names = ("id", "kind", "source_a", "external_id_a", "source_b", "external_id_b", "occurred_at", "tie", "actor")
    if values:
        tx.run(_INSERT, columns_of(values, *names, "envelope_id"))


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> set[Ref]:
    """Delete the decisions of these envelopes, before a replay states them anew; return their records."""
    refs: set[Ref] = set()
    for source_a, id_a, source_b, id_b in tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)}):
        refs |= {(source_a, id_a), (source_b, id_b)}
    return refs
