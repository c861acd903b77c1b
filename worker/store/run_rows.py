"""Rows of a reconciling run: the customers that its source listed, compared with the store; kept until the run ends."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection

from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import run, sql
from worker.store.runs import RunRow


class Drift(NamedTuple):
    """A customer about whom source and store differ."""

    external_id: str
    verdict: str  #: missing, stale, gone


_ENSURE = sql(f"""
    INSERT INTO run_rows (organization_id, run_id, external_id, updated_at)
    SELECT :organization_id, :run_id, external_id, max(updated_at)
      FROM {rows_of(external_id="text", updated_at="timestamptz")}
     GROUP BY external_id ORDER BY external_id
        ON CONFLICT (organization_id, run_id, external_id) DO UPDATE
       SET updated_at = greatest(run_rows.updated_at, excluded.updated_at)
    RETURNING xmax = 0
""")
# One statement compares millions of rows; any other statement of ours takes milliseconds.
_PATIENCE = sql("SELECT set_config('statement_timeout', '10min', true)")
# ``v`` in a record's state is the index of a stamp, whose first part is the time at which the source last showed it.
_HELD = """
    SELECT r.external_id, r.created_at,
           to_timestamp((r.state->'s'->(r.state->>'v')::int->>0)::bigint / 1000000.0) AS seen_at
      FROM records r
     WHERE r.organization_id = :organization_id AND r.source = :source AND r.kind = 'customer' AND r.is_live
       AND NOT r.is_lost AND r.state->'v' IS NOT NULL
"""
_COMPARE = sql(f"""
    WITH held AS MATERIALIZED ({_HELD}), judged AS (
        UPDATE run_rows w
           SET verdict = CASE WHEN h.external_id IS NULL THEN 'missing' ELSE 'stale' END
          FROM run_rows o LEFT JOIN held h ON h.external_id = o.external_id
         WHERE o.organization_id = :organization_id AND o.run_id = :run_id
           AND w.organization_id = o.organization_id AND w.run_id = o.run_id AND w.external_id = o.external_id
           AND (h.external_id IS NULL OR o.updated_at > h.seen_at)
        RETURNING w.verdict
    ), gone AS (
        INSERT INTO run_rows (organization_id, run_id, external_id, verdict)
        SELECT :organization_id, :run_id, h.external_id, 'gone' FROM held h
         WHERE :is_complete AND h.created_at < :began_at
           AND NOT EXISTS (SELECT FROM run_rows w WHERE w.organization_id = :organization_id AND w.run_id = :run_id
                              AND w.external_id = h.external_id)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM held), count(*) FILTER (WHERE verdict = 'missing'),
           count(*) FILTER (WHERE verdict = 'stale'), (SELECT count(*) FROM gone)
      FROM judged
""")
_DELETE_GONE = sql("""
    DELETE FROM run_rows WHERE organization_id = :organization_id AND run_id = :run_id AND verdict = 'gone'
""")
_DRIFT = sql("""
    SELECT external_id, verdict FROM run_rows
     WHERE organization_id = :organization_id AND run_id = :run_id AND verdict IS NOT NULL AND external_id > :after
     ORDER BY external_id LIMIT :limit
""")


def ensure(conn: Connection, row: RunRow, rows: Collection[tuple[str, datetime | None]]) -> int:
    """Note customers at the source as (external id, time of the last change); return how many the run had not yet."""
    columns = columns_of(list(rows), "external_id", "updated_at")
    noted = run(conn, _ENSURE, {"organization_id": row.organization_id, "run_id": row.id, **columns})
    return sum(1 for (is_new,) in noted if is_new)


def compare(conn: Connection, row: RunRow, source: str, *, is_complete: bool) -> Mapping[str, int]:
    """Judge each customer; return how many are ``held``, ``missing``, ``stale`` and ``gone``.

    A customer in the store that the source did not list is gone, if the list is complete and the record is older than
    the run: a younger record may be a customer who came while the source was read.
    """
    run(conn, _PATIENCE)
    held, missing, stale, gone = run(
        conn,
        _COMPARE,
        {
            "organization_id": row.organization_id,
            "run_id": row.id,
            "source": source,
            "is_complete": is_complete,
            "began_at": row.started_at,
        },
    ).one()
    return {"held": held, "missing": missing, "stale": stale, "gone": gone}


def delete_gone(conn: Connection, row: RunRow) -> None:
    """Delete the rows of customers judged gone, so that they are not removed."""
    run(conn, _DELETE_GONE, {"organization_id": row.organization_id, "run_id": row.id})


def drift(conn: Connection, row: RunRow, after: str, limit: int) -> list[Drift]:
    """Load customers who differ, in the order of their external ids, from behind ``after``."""
    key = {"organization_id": row.organization_id, "run_id": row.id}
    return [Drift(*values) for values in run(conn, _DRIFT, {**key, "after": after, "limit": limit})]
