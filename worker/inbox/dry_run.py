"""Dry run: apply rows in a transaction that is rolled back, and report what they would have done.

Each batch is tried against the store as it is, so two rows of different batches that would become one contact are
reported as two.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from connectors.contract import MalformedPayloadError
from worker.domain.statements import EnvelopeStatements
from worker.inbox import kept_envelopes
from worker.pipeline.apply import Applied, Batch, apply
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow, Incoming
from worker.store.runs import RunRow

_MOST_EXAMPLES = 10


class _UndoneError(Exception):
    def __init__(self, applied: Applied) -> None:
        super().__init__("rolled back on purpose")
        self.applied = applied


class _Trial(Batch):
    def finish(self, tx: Tx, applied: Applied) -> None:  # noqa: ARG002 - a hook's
        raise _UndoneError(applied)


def try_rows(
    engine: Engine, row: RunRow, connection: ConnectionRow, rows: Sequence[Incoming]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Try rows; return the counts to add to the run, and the run's report with these rows added."""
    statements: list[EnvelopeStatements] = []
    reasons: list[str] = []
    for incoming in rows:
        try:
            statements.append(statements_of(incoming, connection))
        except MalformedPayloadError as error:
            reasons.append(str(error))
    applied = try_statements(engine, row.organization_id, connection.id, statements)
    changed = sum(1 for envelope in statements if envelope.envelope_id in applied.changed_by)
    counts = {"read": len(rows), "changed": changed, "unchanged": len(statements) - changed, "parked": len(reasons)}
    return counts, report(row.report, applied, reasons)


def statements_of(incoming: Incoming, connection: ConnectionRow) -> EnvelopeStatements:
    """Normalise an envelope that is not kept, as a drain would if it were. Raises MalformedPayloadError."""
    row = EnvelopeRow(
        organization_id=incoming.organization_id,
        id=incoming.id,
        connection_id=incoming.connection_id,
        topic=incoming.topic,
        delivery_id=incoming.delivery_id,
        sent_at=incoming.sent_at,
        received_at=datetime.now(UTC),  # close enough to the database's clock, because nothing of it is stored
        headers=incoming.headers,
        body=incoming.body,
        marks=incoming.marks,
    )
    return kept_envelopes.statements_of(row, connection)


def try_statements(
    engine: Engine, organization_id: UUID, connection_id: UUID, statements: Sequence[EnvelopeStatements]
) -> Applied:
    """Apply statements and roll back; return what they would have done."""
    if not statements:
        return Applied(0, 0)
    connection_of = {envelope.envelope_id: connection_id for envelope in statements}
    try:
        apply(engine, organization_id, _Trial(statements, connection_of))
    except _UndoneError as undone:
        return undone.applied
    raise AssertionError("unreachable")


def report(before: Mapping[str, Any], applied: Applied, refused: Sequence[str]) -> dict[str, Any]:
    """Add what a batch would have done to a report.

    A report has the number of contacts by kind of change, some examples (names of fields, no values), and the most
    frequent reasons of the rows that were refused.
    """
    kinds = Counter(change.kind for change in applied.contacts.values())
    totals = {name: before.get(name, 0) + kinds[name] for name in ("created", "changed", "merged")}
    examples = list(before.get("examples", []))
    customers = {contact_id: ref for ref, contact_id in applied.contact_of.items()}
    for contact_id, change in applied.contacts.items():
        if len(examples) < _MOST_EXAMPLES and contact_id in customers:
            external_id = customers[contact_id][1]
            examples.append({"external_id": external_id, "kind": change.kind, "fields": sorted(change.fields())})
    reasons = Counter(before.get("refused", {}))
    reasons.update(refused)
    return {**totals, "examples": examples, "refused": dict(reasons.most_common(_MOST_EXAMPLES))}
