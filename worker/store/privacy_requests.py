"""Privacy requests: requests to see or erase data that a source passed on, with the time by which they are due."""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from worker import ids
from worker.domain.statements import PrivacyRequest
from worker.domain.times import moment
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, json, sql

#: Shopify gives thirty days for each of its three compliance topics; the GDPR gives a month
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

# The records of a customer are linked to the request's envelope; the walk over a shop counts its own. A record that
# was never seen, or that has come back since, hides nobody.
_OPEN = sql("""
    SELECT id, kind, source, requested_at, due_at, state, envelope_id,
           CASE kind WHEN 'export' THEN NULL
                WHEN 'erase_shop' THEN (
                    SELECT max(hidden) FROM shop_erasures s
                     WHERE s.organization_id = :organization_id AND s.envelope_id = p.envelope_id)
                ELSE (
                    SELECT count(*) FROM envelope_records er
                      JOIN records r ON r.organization_id = er.organization_id AND r.id = er.record_id
                     WHERE er.organization_id = :organization_id AND er.envelope_id = p.envelope_id
                       AND NOT r.is_live AND CAST(r.state AS jsonb) ? 'v') END AS hidden
      FROM privacy_requests p
     WHERE organization_id = :organization_id AND state = 'open' ORDER BY due_at, id LIMIT 1000
""")

_WITHDRAW = sql(f"""
    DELETE FROM privacy_requests p USING {keys_of(envelope_id="uuid")}
     WHERE p.organization_id = new.organization_id AND p.envelope_id = new.envelope_id AND p.state = 'open'
""")


def ensure(tx: Tx, rows: Iterable[tuple[PrivacyRequest, UUID, UUID, str]]) -> None:
    """Add requests, each with its connection, envelope and source; a request that is stored already changes nothing."""
    values = [
        (
            ids.new(),
            request.kind,
            connection_id,
            envelope_id,
            source,
            request.external_id,
            None if request.subjects is None else json(request.subjects),
            moment(request.occurred),
        )
        for request, connection_id, envelope_id, source in rows
    ]
    if values:
        names = ("id", "kind", "connection_id", "envelope_id", "source", "external_id", "subjects", "requested_at")
        tx.run(_INSERT, columns_of(values, *names))


def open_requests(tx: Tx) -> list[dict[str, Any]]:
    """Load the requests that are not carried out yet, the most urgent first; at most a thousand.

    ``hidden`` counts the records that are out of sight because of one.
    """
    return [dict(row._mapping) for row in tx.run(_OPEN)]  # noqa: SLF001 - its documented name


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Delete the open requests of these envelopes, before a replay adds them anew."""
    tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)})
