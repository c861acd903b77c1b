"""Expiries: how far the bodies of settled envelopes have expired, and which were passed over on the way.

The ids of envelopes sort by time, so an organization needs no more than the id up to which it was looked through, and
an ingest pays nothing for it. Envelopes that were still needed then are noted in ``held_bodies``, and looked at again.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store.batch_writer import keys_of
from worker.store.db import Tx, run, sql

#: how long an envelope that was still needed is left alone
LOOK_AGAIN = timedelta(days=1)

_ORGANIZATIONS = sql("""
    SELECT organization_id FROM expiries
     WHERE looked_at IS NULL OR looked_at < now() - CAST(:pause AS interval)
     ORDER BY looked_at NULLS FIRST, organization_id LIMIT 1000
""")
_ENSURE = sql("""
    INSERT INTO expiries (organization_id)
    SELECT id FROM organizations o WHERE NOT EXISTS (SELECT FROM expiries x WHERE x.organization_id = o.id)
        ON CONFLICT DO NOTHING
""")
_BEGIN = sql("""
    SELECT after_id, now() - CAST(:kept AS interval) AS before FROM expiries
     WHERE organization_id = :organization_id FOR UPDATE SKIP LOCKED
""")
_ADVANCE = sql("""
    UPDATE expiries SET after_id = :after, looked_at = now() WHERE organization_id = :organization_id
""")

# Each answer is looked up by itself, because a join may hash the whole table of outcomes for a thousand rows.
_IS_DUE = """
    received_at < :before
       AND (SELECT 1 FROM outcomes o
             WHERE o.organization_id = :organization_id AND o.envelope_id = e.id LIMIT 1) IS NOT NULL
       AND (SELECT 1 FROM ready q
             WHERE q.organization_id = :organization_id AND q.envelope_id = e.id LIMIT 1) IS NULL
       AND (SELECT 1 FROM parked p
             WHERE p.organization_id = :organization_id AND p.envelope_id = e.id LIMIT 1) IS NULL
       AND (SELECT 1 FROM privacy_requests r WHERE r.organization_id = :organization_id AND r.envelope_id = e.id
                                               AND r.state = 'open' LIMIT 1) IS NULL
"""
_PAGE = sql(f"""
    SELECT id, is_kept, is_kept AND {_IS_DUE} AS is_due
      FROM (SELECT id, received_at, body IS NOT NULL AS is_kept FROM envelopes
             WHERE organization_id = :organization_id AND id > :after AND id < :until ORDER BY id LIMIT :most) AS e
     ORDER BY id
""")
_HELD = sql(f"""
    SELECT id, is_kept, is_kept AND {_IS_DUE} AS is_due
      FROM (SELECT envelope_id FROM held_bodies
             WHERE organization_id = :organization_id AND looked_at < now() - CAST(:again AS interval)
             ORDER BY looked_at, envelope_id LIMIT :most) AS h
     CROSS JOIN LATERAL (
        SELECT id, received_at, body IS NOT NULL AS is_kept FROM envelopes
         WHERE organization_id = :organization_id AND id = h.envelope_id LIMIT 1) AS e
""")
_HOLD = sql("""
    INSERT INTO held_bodies (organization_id, envelope_id)
    SELECT :organization_id, envelope_id FROM unnest(CAST(:envelope_ids AS uuid[])) AS envelope_id
        ON CONFLICT (organization_id, envelope_id) DO UPDATE SET looked_at = now()
""")
_LET_GO = sql(f"""
    DELETE FROM held_bodies h USING {keys_of(envelope_id="uuid")}
     WHERE h.organization_id = new.organization_id AND h.envelope_id = new.envelope_id
""")
# The headers of a request name the API key, which the change log shows for as long as it is kept.
_EXPIRE = sql(f"""
    UPDATE envelopes e
       SET body = NULL,
           headers = CASE WHEN delivery_id LIKE 'api:%' THEN
                (SELECT coalesce(json_agg(header), '[]') FROM json_array_elements(headers) AS header
                  WHERE header->>0 = 'actor') ELSE '[]' END
      FROM {keys_of(envelope_id="uuid")}
     WHERE e.organization_id = new.organization_id AND e.id = new.envelope_id
""")


def organizations(conn: Connection, pause: timedelta) -> list[UUID]:
    """Load the organizations that nobody has looked through for a while, those first that have waited longest."""
    run(conn, _ENSURE)
    return [row[0] for row in run(conn, _ORGANIZATIONS, {"pause": pause})]


def expire(tx: Tx, kept: timedelta, most: int) -> int:
    """Let the bodies and headers of the next envelopes expire that are old enough and that nobody needs any more.

    Returns how many envelopes were looked at; less than ``most`` means that the organization is done for now. Another
    process that is at work makes it 0.
    """
    begun: Any = tx.run(_BEGIN, {"kept": kept}).first()
    if begun is None:
        return 0
    about = {"before": begun.before, "most": most}
    page = tx.run(_PAGE, {**about, "after": begun.after_id, "until": ids.first_at(begun.before)}).all()
    _settle(tx, page)
    held = tx.run(_HELD, {**about, "again": LOOK_AGAIN}).all()
    _settle(tx, held)
    if done := [row.id for row in held if row.is_due or not row.is_kept]:
        tx.run(_LET_GO, {"envelope_id": done})
    tx.run(_ADVANCE, {"after": page[-1].id if page else begun.after_id})
    return max(len(page), len(held))


def _settle(tx: Tx, rows: Sequence[Any]) -> None:
    due = [row.id for row in rows if row.is_due]
    needed = [row.id for row in rows if row.is_kept and not row.is_due]
    if due:
        tx.run(_EXPIRE, {"envelope_id": due})
    if needed:
        tx.run(_HOLD, {"envelope_ids": needed})
