"""Deletions through the API: keyed hashes of the addresses that the deleted contacts held."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from uuid import UUID

from worker.domain.deletions import Deletion
from worker.domain.statements import EnvelopeStatements
from worker.domain.times import microseconds, moment
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, json, sql

_ENSURE = sql(f"""
    INSERT INTO deletions (organization_id, digest, envelope_id, deleted_at, spared)
    SELECT :organization_id, digest, envelope_id, deleted_at, spared::jsonb
      FROM {rows_of(digest="bytea", envelope_id="uuid", deleted_at="timestamptz", spared="json")}
        ON CONFLICT (organization_id, digest, envelope_id) DO NOTHING
""")

_BY_DIGESTS = sql(f"""
    SELECT d.digest, d.envelope_id, d.deleted_at, d.spared FROM {keys_of(digest="bytea")}
      JOIN deletions d ON d.organization_id = new.organization_id AND d.digest = new.digest
""")

_WITHDRAW = sql(f"""
    DELETE FROM deletions d USING {keys_of(envelope_id="uuid")}
     WHERE d.organization_id = new.organization_id AND d.envelope_id = new.envelope_id
""")


def ensure(tx: Tx, statements: Iterable[EnvelopeStatements]) -> None:
    """Add the deletions that envelopes state; one that is stored already changes nothing."""
    rows = [
        (digest, stated.envelope_id, moment(stated.deletion.occurred), json(sorted(stated.deletion.spared)))
        for stated in statements
        if stated.deletion is not None
        for digest in sorted(stated.deletion.digests)
    ]
    if rows:
        tx.run(_ENSURE, columns_of(rows, "digest", "envelope_id", "deleted_at", "spared"))


def by_digests(tx: Tx, digests: Collection[bytes]) -> dict[bytes, list[Deletion]]:
    """Load the deletions of these addresses, by digest."""
    found: dict[bytes, list[Deletion]] = defaultdict(list)
    if digests:
        for digest, envelope_id, deleted_at, spared in tx.run(_BY_DIGESTS, {"digest": list(digests)}):
            refs = frozenset((source, external_id) for source, external_id in spared)
            found[bytes(digest)].append(Deletion(envelope_id, microseconds(deleted_at), refs))
    return found


def withdraw(tx: Tx, envelope_ids: Collection[UUID]) -> None:
    """Forget what these envelopes deleted, before a replay deletes it anew."""
    tx.run(_WITHDRAW, {"envelope_id": list(envelope_ids)})
