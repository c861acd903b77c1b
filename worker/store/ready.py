"""The queue: a narrow row per envelope that is still to be drained, and where the others went."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import Tx, read_binary, run, sql
from worker.store.envelopes import LANES, EnvelopeRow, lane_of

#: rows at the head of a lane that the sweeper looks at: more than all workers together hold
_HEAD = 5000
#: suspects that are taken together
_FEW = 20


class Waiting(NamedTuple):
    """A lane in which something is due that nobody holds."""

    lane: int
    age_s: float  #: of its oldest such row
    is_held: bool  #: somebody is at work on other rows of the lane


class Leased(NamedTuple):
    """An envelope that we hold under a lease."""

    envelope: EnvelopeRow
    attempts: int
    crashes: int
    replay: bool
    run_id: UUID | None = None  #: the run that read it, if it is to be counted


class Parked(NamedTuple):
    """An envelope set aside for a person."""

    envelope_id: UUID
    connection_id: UUID
    topic: str
    kind: str  #: malformed, refused, failed, crashed
    reason: str
    attempts: int


# Whoever held a row before and let the lease lapse died with it (or stalled): that is counted before the
# work, because a process that is killed cannot count. Suspects are taken a few at a time, then each alone: where
# processes are killed for reasons of their own most suspects are innocent, and alone they would take hours.
# By ctid, which the lock holds in place: joined by key, a queue that statistics have seen empty was read for each row.
# A row whose envelope is gone is leased all the same, as one whose body has expired: it has to be parked.
_LEASE = """
    WITH leased AS (
        UPDATE ready r
           SET crashes = crashes + (lease_until IS NOT NULL)::integer,
               lease_until = clock_timestamp() + :lease, lease_token = :token
         WHERE r.ctid = ANY(ARRAY(
            SELECT ctid FROM ready
             WHERE lane = :lane AND next_run_at <= clock_timestamp()
               AND (lease_until IS NULL OR lease_until < clock_timestamp())
               AND crashes {suspicion}
             ORDER BY next_run_at, envelope_id LIMIT :most FOR UPDATE SKIP LOCKED
         ))
        RETURNING r.organization_id, r.envelope_id, r.connection_id, r.attempts, r.crashes, r.replay, r.run_id
    )
    SELECT l.attempts, l.crashes, l.replay, l.run_id, l.organization_id, l.envelope_id, l.connection_id,
           coalesce(e.topic, ''), coalesce(e.delivery_id, ''), e.sent_at, coalesce(e.headers, '[]'), e.body
      FROM leased l
      LEFT JOIN LATERAL (
        SELECT topic, delivery_id, sent_at, headers, body FROM envelopes
         WHERE organization_id = l.organization_id AND id = l.envelope_id LIMIT 1) AS e ON true
"""
# Literals, so that looking for suspects uses their own small index.
_LEASE_ORDINARY = sql(_LEASE.format(suspicion="< 2"))
_LEASE_SUSPECTS = sql(_LEASE.format(suspicion="= 2"))
_LEASE_ALONE = sql(_LEASE.format(suspicion=">= 3"))

_DELETE = sql("""
    DELETE FROM ready
     WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids) AND lease_token = :token
""")

_POSTPONE = sql("""
    UPDATE ready
       SET attempts = attempts + :failed, lease_until = NULL, lease_token = NULL,
           next_run_at = clock_timestamp() + :delay
     WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids) AND lease_token = :token
""")

# What a drain holds is left to it: it is being worked on, or the drain will set it aside itself.
_HOLD = sql("""
    UPDATE ready SET next_run_at = 'infinity', lease_until = NULL, lease_token = NULL
     WHERE organization_id = :organization_id AND connection_id = :connection_id
       AND (lease_until IS NULL OR lease_until < clock_timestamp())
""")

# The connection may have been resumed since the drain looked: then the rows are due, or nobody would ever
# take them again. FOR SHARE makes a resume under way come first, or wait for us.
_SET_ASIDE = sql("""
    WITH paused AS (
        SELECT id FROM connections
         WHERE organization_id = :organization_id AND id = ANY(:connection_ids) AND state = 'paused' FOR SHARE
    )
    UPDATE ready r
       SET lease_until = NULL, lease_token = NULL,
           next_run_at = CASE WHEN connection_id IN (SELECT id FROM paused) THEN 'infinity' ELSE now() END
     WHERE organization_id = :organization_id AND envelope_id = ANY(:envelope_ids) AND lease_token = :token
""")

_UNHOLD = sql("""
    UPDATE ready SET next_run_at = now()
     WHERE organization_id = :organization_id AND connection_id = :connection_id AND next_run_at = 'infinity'
""")

_PARK = sql(f"""
    INSERT INTO parked (organization_id, {", ".join(Parked._fields)})
    SELECT :organization_id, {", ".join(Parked._fields)}
      FROM {
    rows_of(envelope_id="uuid", connection_id="uuid", topic="text", kind="text", reason="text", attempts="smallint")
}
        ON CONFLICT (organization_id, envelope_id) DO UPDATE
       SET kind = excluded.kind, reason = excluded.reason, attempts = excluded.attempts, parked_at = now()
""")

_SETTLE = f"""
    INSERT INTO outcomes (organization_id, envelope_id, outcome, detail)
    SELECT :organization_id, envelope_id, outcome, detail
      FROM {rows_of(envelope_id="uuid", outcome="text", detail="text")}
"""
# Looking for a conflict costs as much as the row itself. Nothing was settled before that was not replayed; and a
# replay that was asked for while its envelope was being settled queues one that has its outcome.
_SETTLE_NEW = sql(_SETTLE)
_SETTLE_AGAIN = sql(f"""{_SETTLE}
        ON CONFLICT (organization_id, envelope_id) DO UPDATE
       SET outcome = excluded.outcome, detail = excluded.detail, settled_at = now()
""")

# The head of a lane tells enough: held rows stand there as long as anybody works on the lane.
_WAITING = sql(f"""
    SELECT lanes.lane, extract(epoch FROM clock_timestamp() - head.oldest)::float AS age, head.is_held
      FROM generate_series(0, {LANES - 1}) AS lanes(lane)
     CROSS JOIN LATERAL (
        SELECT min(next_run_at) FILTER (WHERE lease_until IS NULL OR lease_until < clock_timestamp()) AS oldest,
               coalesce(bool_or(lease_until > clock_timestamp()), false) AS is_held
          FROM (SELECT next_run_at, lease_until FROM ready
                 WHERE lane = lanes.lane AND next_run_at <= clock_timestamp()
                 ORDER BY next_run_at, envelope_id LIMIT {_HEAD}) AS rows) AS head
     WHERE head.oldest IS NOT NULL
""")

_DEPTH = sql("""
    SELECT count(*) FILTER (WHERE next_run_at <= now()) AS due,
           count(*) FILTER (WHERE next_run_at > now()) AS postponed,
           coalesce(extract(epoch FROM now() - min(next_run_at) FILTER (WHERE next_run_at <= now())), 0)::float
               AS oldest_due_s,
           (SELECT count(*) FROM parked p
             WHERE CAST(:organization_id AS uuid) IS NULL OR p.organization_id = :organization_id) AS parked
      FROM ready r WHERE CAST(:organization_id AS uuid) IS NULL OR r.organization_id = :organization_id
""")

_OUTCOMES = sql("""
    SELECT outcome, count(*) FROM outcomes WHERE organization_id = :organization_id GROUP BY outcome
""")

_IGNORED = sql("""
    SELECT detail, count(*) FROM outcomes
     WHERE organization_id = :organization_id AND outcome = 'ignored' GROUP BY detail ORDER BY 2 DESC, 1 LIMIT 50
""")

_LIST_PARKED = sql("""
    SELECT envelope_id, connection_id, topic, kind, reason, attempts, parked_at FROM parked
     WHERE organization_id = :organization_id ORDER BY parked_at DESC, envelope_id LIMIT :limit
""")

# A replay puts an envelope back in the queue; what it had stated is withdrawn when it is drained.
_REPLAY = sql(f"""
    WITH wanted AS (
        SELECT e.organization_id, e.id, e.connection_id FROM envelopes e
         WHERE e.organization_id = :organization_id AND e.id = ANY(:envelope_ids) AND e.body IS NOT NULL
    ), unparked AS (
        DELETE FROM parked p USING wanted w WHERE p.organization_id = w.organization_id AND p.envelope_id = w.id
    ), unsettled AS (
        DELETE FROM outcomes o USING wanted w WHERE o.organization_id = w.organization_id AND o.envelope_id = w.id
    )
    INSERT INTO ready (organization_id, envelope_id, connection_id, lane, replay)
    SELECT organization_id, id, connection_id, {lane_of("connection_id")}, true FROM wanted
        ON CONFLICT (organization_id, envelope_id) DO UPDATE
       SET replay = true, next_run_at = now(), attempts = 0, crashes = 0
    RETURNING envelope_id
""")


def lease_due(
    conn: Connection, lane: int, *, most: int, lease: timedelta, token: UUID, suspects: bool = False
) -> list[Leased]:
    """Take due envelopes of a lane under a lease; ``suspects`` takes those that outlived three holders."""
    parameters = {"lane": lane, "most": most, "lease": lease, "token": token}
    if not suspects:
        rows = read_binary(conn, _LEASE_ORDINARY, parameters)
    else:
        rows = read_binary(conn, _LEASE_SUSPECTS, {**parameters, "most": min(most, _FEW)})
        rows = rows or read_binary(conn, _LEASE_ALONE, {**parameters, "most": 1})
    return [
        Leased(EnvelopeRow(*envelope), attempts, crashes, replay, run_id)
        for attempts, crashes, replay, run_id, *envelope in rows
    ]


def delete(tx: Tx, envelope_ids: Collection[UUID], token: UUID) -> int:
    """Remove our rows from the queue; fewer than asked for means that the lease was lost."""
    parameters = {"envelope_ids": list(envelope_ids), "token": token}
    return tx.run(_DELETE, parameters).rowcount


def postpone(
    tx: Tx,
    envelope_ids: Collection[UUID],
    token: UUID,
    *,
    delay: timedelta,
    failed: bool,
) -> None:
    """Give rows back to be taken after ``delay``; ``failed`` counts it as an attempt."""
    parameters = {
        "envelope_ids": list(envelope_ids),
        "token": token,
        "delay": delay,
        "failed": int(failed),
    }
    tx.run(_POSTPONE, parameters)


def set_aside(
    tx: Tx,
    envelope_ids: Collection[UUID],
    connection_ids: Collection[UUID],
    token: UUID,
) -> None:
    """Give back rows of paused connections, to wait until they resume."""
    parameters = {
        "envelope_ids": list(envelope_ids),
        "connection_ids": list(connection_ids),
        "token": token,
    }
    tx.run(_SET_ASIDE, parameters)


def hold(tx: Tx, connection_id: UUID) -> None:
    """Set a paused connection's envelopes aside until it resumes."""
    tx.run(_HOLD, {"connection_id": connection_id})


def unhold(tx: Tx, connection_id: UUID) -> None:
    """Make a resumed connection's envelopes due."""
    tx.run(_UNHOLD, {"connection_id": connection_id})


def park(tx: Tx, rows: Collection[Parked]) -> None:
    """Set envelopes aside with the reason."""
    if rows:
        tx.run(_PARK, columns_of(sorted(rows), *Parked._fields))


def settle(tx: Tx, rows: Sequence[tuple[UUID, str, str | None]], *, is_replay: bool = False) -> None:
    """Note what became of envelopes: (envelope, settled or ignored, detail)."""
    if rows:
        parameters = columns_of(sorted(rows, key=lambda r: r[0]), "envelope_id", "outcome", "detail")
        statement = _SETTLE_AGAIN if is_replay else _SETTLE_NEW
        tx.run(statement, parameters)


def waiting(conn: Connection) -> list[Waiting]:
    """Read the lanes in which something waits."""
    return [Waiting(*row) for row in run(conn, _WAITING, {})]


def depth(conn: Connection, organization_id: UUID | None = None) -> dict[str, Any]:
    """Count what waits: due, postponed, parked, and the age of the oldest due row in seconds."""
    return dict(run(conn, _DEPTH, {"organization_id": organization_id}).one()._mapping)  # noqa: SLF001 - its documented name


def outcomes(tx: Tx) -> dict[str, int]:
    """Count settled and ignored envelopes."""
    return {row[0]: row[1] for row in tx.run(_OUTCOMES, {})}


def ignored_topics(tx: Tx) -> dict[str, int]:
    """Count ignored envelopes by topic."""
    return {row[0]: row[1] for row in tx.run(_IGNORED, {})}


def list_parked(tx: Tx, limit: int) -> list[dict[str, Any]]:
    """Read the newest parked envelopes."""
    found = tx.run(_LIST_PARKED, {"limit": limit})
    return [dict(row._mapping) for row in found]  # noqa: SLF001 - its documented name


def replay(tx: Tx, envelope_ids: Collection[UUID]) -> list[UUID]:
    """Queue envelopes again; return those whose bodies are still kept."""
    parameters = {"envelope_ids": list(envelope_ids)}
    return [row[0] for row in tx.run(_REPLAY, parameters)]
