"""Requests to see or erase data that a source passed on, with the day they are due."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from worker import ids
from worker.domain.statements import PrivacyRequest
from worker.domain.times import moment
from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import Tx, json, sql

#: Shopify gives thirty days for each of its three compliance topics; so does the GDPR (a month)
DUE_DAYS = 30

_INSERT = sql(f"""
    INSERT INTO privacy_requests (organization_id, id, kind, connection_id, envelope_id, source, external_id,
                                  subjects, requested_at, due_at)
    SELECT :organization_id, id, kind, connection_id, envelope_id, source, external_id, subjects::jsonb,
           coalesce(requested_at, now()), coalesce(requested_at, now()) + interval '{DUE_DAYS} days'
      FROM {
    rows_of(
        id="uuid",
        kind="text",
        connection_id="uuid",
        envelope_id="uuid",
        source="text",
        external_id="text",
        subjects="json",
        requested_at="timestamptz",
    )
}
        ON CONFLICT (organization_id, envelope_id, kind) DO NOTHING
""")

_OPEN = sql("""
    SELECT id, kind, source, requested_at, due_at, state, envelope_id FROM privacy_requests
     WHERE organization_id = :organization_id AND state = 'open' ORDER BY due_at, id
""")

_WITHDRAW = sql("""
    DELETE FROM privacy_requests
     WHERE organization_id = :organization_id AND state = 'open' AND envelope_id = ANY(:envelope_ids)
""")


def ensure(tx: Tx, rows: Iterable[tuple[PrivacyRequest, UUID, UUID, str]]) -> None:
    """Write requests, each with its connection, envelope and source."""
    values = [
        (
            ids.new(),
            asked.kind,
            connection_id,
            envelope_id,
            source,
            asked.external_id,
            None if asked.subjects is None else json(asked.subjects),
            moment(asked.occurred),
        )
        for asked, connection_id, envelope_id, source in rows
    ]
    if values:
        names = ("id", "kind", "connection_id", "envelope_id", "source", "external_id", "subjects", "requested_at")
        tx.run(_INSERT, columns_of(values, *names))


def open_requests(tx: Tx) -> list[dict[str, Any]]:
    """Read the requests still to be carried out, the most urgent first."""
    return [dict(row._mapping) for row in tx.run(_OPEN, {})]  # noqa: SLF001 - its documented name


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Remove open requests of these envelopes, before they are read anew."""
    tx.run(_WITHDRAW, {"envelope_ids": list(envelope_ids)})
