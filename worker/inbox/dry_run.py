"""Dry runs: let rows take effect in a transaction that is taken back, and tell what they would have done.

Each batch is tried against the store as it is, so two rows of different batches that would become one contact
are told as two.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
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
        super().__init__("taken back on purpose")
        self.applied = applied


class _Trial(Batch):
    def finish(self, tx: Tx, applied: Applied) -> None:  # noqa: ARG002 - a hook's
        raise _UndoneError(applied)


def tried(
    engine: Engine, row: RunRow, connection: ConnectionRow, rows: Sequence[Incoming]
) -> tuple[dict[str, int], dict[str, Any]]:
    """Try rows; return the counts to add to the run, and its report with these rows in it."""
    readings: list[EnvelopeStatements] = []
    refused: list[str] = []
    for one in rows:
        try:
            readings.append(read(one, connection))
        except MalformedPayloadError as error:
            refused.append(str(error))
    applied = try_out(engine, row.organization_id, connection.id, readings)
    changed = sum(1 for reading in readings if reading.envelope_id in applied.changed_by)
    counts = {"read": len(rows), "changed": changed, "unchanged": len(readings) - changed, "parked": len(refused)}
    return counts, report(row.report, applied, refused)


def read(one: Incoming, connection: ConnectionRow) -> EnvelopeStatements:
    """Normalise a row as a drain would. Raises MalformedPayloadError."""
    row = EnvelopeRow(
        organization_id=one.organization_id,
        id=one.id,
        connection_id=one.connection_id,
        topic=one.topic,
        delivery_id=one.delivery_id,
        sent_at=one.sent_at,
        headers=orjson.loads(one.headers),
        body=one.body,
    )
    return kept_envelopes.normalised(row, connection)


def try_out(
    engine: Engine, organization_id: UUID, connection_id: UUID, readings: Sequence[EnvelopeStatements]
) -> Applied:
    """Apply readings and take it all back; return what they did."""
    if not readings:
        return Applied(0, 0)
    try:
        apply(engine, organization_id, _Trial(readings, {one.envelope_id: connection_id for one in readings}))
    except _UndoneError as undone:
        return undone.applied
    raise AssertionError("unreachable")


def report(before: Mapping[str, Any], applied: Applied, refused: Sequence[str]) -> dict[str, Any]:
    """Add what a batch would have done to the report: contacts by kind, examples without values, reasons."""
    kinds = Counter(change.kind for change in applied.contacts.values())
    told = {name: before.get(name, 0) + kinds[name] for name in ("created", "changed", "merged")}
    examples = list(before.get("examples", []))
    customers = {contact_id: ref for ref, contact_id in applied.contact_of.items()}
    for contact_id, change in applied.contacts.items():
        if len(examples) < _MOST_EXAMPLES and contact_id in customers:
            external_id = customers[contact_id][1]
            examples.append({"external_id": external_id, "kind": change.kind, "fields": sorted(change.fields())})
    reasons = Counter(before.get("refused", {}))
    reasons.update(refused)
    return {**told, "examples": examples, "refused": dict(reasons.most_common(_MOST_EXAMPLES))}
