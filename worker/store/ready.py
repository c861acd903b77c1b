"""The queue: a narrow row for each envelope that is to be drained.

When an envelope is drained, its row goes, and an outcome (``outcomes``) or a reason (``parked``) is left.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, TextClause

from worker.store import counts
from worker.store.batch_writer import columns_of, keys_of, rows_of
from worker.store.db import Tx, read_binary, run, sql
from worker.store.envelopes import EnvelopeRow
from worker.store.lanes import LANES, lane_sql

#: rows at the head of a lane that the sweeper looks at: more than all workers together lease
_HEAD = 5000
#: suspects of two crashes that are leased together
_FEW = 20


#: parked envelopes in one list, and in one replay of all
MOST_PARKED = 1000


class Waiting(NamedTuple):
    """A lane with due rows that are not leased."""

    lane: int
    age_s: float  #: how long the oldest such row has been due
    is_held: bool  #: other rows of the lane are leased, by a process that leased them a short time ago
    #: when rows that a process died with, or stalled with, were last leased; None without such rows
    shaky_since: datetime | None


class Leased(NamedTuple):
    """An envelope under a lease of ours."""

    envelope: EnvelopeRow
    attempts: int
    crashes: int
    replay: bool
    run_id: UUID | None = None  #: the run that read it, if it counts for a run


class Parked(NamedTuple):
    """An envelope that waits for a person, with the reason."""

    envelope_id: UUID
    connection_id: UUID
    topic: str
    kind: str  #: malformed, refused, failed, crashed
    reason: str
    attempts: int


# A lapsed lease means that its holder died or stalled. It counts as a crash when the row is leased again, before the
# work, because a process that is killed cannot count. Suspects (rows with crashes) are leased a few at a time, then
# each alone: if processes are killed for reasons of their own, most suspects are innocent, and leasing each alone would
# take hours.
# Rows are updated by ctid, which their lock keeps valid. A join by key read the whole queue for each row, if the queue
# was empty when its statistics were made.
# A row whose envelope is gone is leased too, without a body, so that it is parked like an expired envelope.
_LEASE = """
    WITH {counting}leased AS (
        UPDATE ready r
           SET crashes = crashes + (lease_until IS NOT NULL)::integer,
               lease_until = clock_timestamp() + :lease, lease_token = :token
         WHERE r.ctid = ANY(ARRAY(
            SELECT ctid FROM ready
             WHERE lane = :lane AND next_run_at <= clock_timestamp()
               AND (lease_until IS NULL OR lease_until < clock_timestamp())
               AND crashes {suspicion}
             ORDER BY {first}next_run_at, envelope_id LIMIT :most FOR UPDATE SKIP LOCKED
         ))
        RETURNING r.organization_id, r.envelope_id, r.connection_id, r.attempts, r.crashes, r.replay, r.run_id
    )
    SELECT l.attempts, l.crashes, l.replay, l.run_id, l.organization_id, l.envelope_id, l.connection_id,
           coalesce(e.topic, ''), coalesce(e.delivery_id, ''), e.sent_at, coalesce(e.received_at, now()),
           coalesce(e.headers::text, '[]'), e.body, e.marks::text
      FROM leased l
      LEFT JOIN LATERAL (
        SELECT topic, delivery_id, sent_at, received_at, headers, body, marks FROM envelopes
         WHERE organization_id = l.organization_id AND id = l.envelope_id LIMIT 1) AS e ON true
"""


# The rows that we lease, by their ctids, as in ``_LEASE``: a join by key would read the whole queue here, too.
_LEASED = f"""
    r.ctid = ANY(ARRAY(
        SELECT q.ctid FROM {keys_of(envelope_id="uuid")}
         CROSS JOIN LATERAL (
            SELECT ctid FROM ready WHERE organization_id = new.organization_id AND envelope_id = new.envelope_id
               AND lease_token = :token LIMIT 1 FOR UPDATE) AS q
     ))
"""


def _lease(suspicion: str, first: str = "") -> tuple[TextClause, TextClause]:
    """Make the statement that leases, and one that takes along what was counted since the last."""
    plain, counting = (_LEASE.format(suspicion=suspicion, first=first, counting=c) for c in ("", f"{counts.ADDED}, "))
    return sql(plain), sql(counting)


# The numbers are literals, so that a search for suspects uses their own small index.
_LEASE_ORDINARY = _lease("< 2")
_LEASE_SUSPECTS = _lease("= 2")
_LEASE_ALONE = _lease(">= 3")
# For a stand-in, which has nobody beside it. The row that was leased last is the likeliest to hang its process again.
_LEASE_CLEAN = _lease("= 0 AND lease_until IS NULL")
_SHAKY = ">= 0 AND (crashes > 0 OR lease_until IS NOT NULL)"
_LEASE_SHAKY = _lease(_SHAKY, "coalesce(lease_until, next_run_at), ")

# What became of the rows is counted with it. Its lock keeps a row for whoever deletes it until the commit.
_DELETE = sql(f"""
    WITH {counts.ADDED}
    DELETE FROM ready r WHERE {_LEASED}
""")

_COUNT_POSTPONED = """
    INSERT INTO counts (name, value)
    SELECT 'envelopes/postponed', count(*) FROM postponed HAVING count(*) > 0
"""

_POSTPONE = sql(f"""
    WITH postponed AS (
        UPDATE ready r
           SET attempts = attempts + :failed, lease_until = NULL, lease_token = NULL,
               next_run_at = clock_timestamp() + :delay
         WHERE {_LEASED}
        RETURNING 1
    ){_COUNT_POSTPONED}
""")

# Leased rows stay as they are: their drain works on them, or sets them aside itself.
_HOLD = sql("""
    UPDATE ready SET next_run_at = 'infinity', lease_until = NULL, lease_token = NULL
     WHERE organization_id = :organization_id AND connection_id = :connection_id
       AND (lease_until IS NULL OR lease_until < clock_timestamp())
""")

# The connection may have been resumed since the drain looked. Then the rows become due, or they would wait for good.
# FOR SHARE waits for a resume that is under way, and keeps a later one waiting for us.
_SET_ASIDE = sql(f"""
    WITH paused AS (
        SELECT id FROM connections
         WHERE organization_id = :organization_id AND id = ANY(:connection_ids) AND state = 'paused' FOR SHARE
    ), postponed AS (
        UPDATE ready r
           SET lease_until = NULL, lease_token = NULL,
               next_run_at = CASE WHEN connection_id IN (SELECT id FROM paused) THEN 'infinity' ELSE now() END
         WHERE {_LEASED}
        RETURNING 1
    ){_COUNT_POSTPONED}
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
# Without a conflict clause, which would cost as much as the row: an envelope that is not a replay has no outcome yet.
# A replay may have one, if it was requested while its envelope was being settled.
_SETTLE_NEW = sql(_SETTLE)
_SETTLE_AGAIN = sql(f"""{_SETTLE}
        ON CONFLICT (organization_id, envelope_id) DO UPDATE
       SET outcome = excluded.outcome, detail = excluded.detail, settled_at = now()
""")

_CONFIRM = sql(f"""
    UPDATE outcomes o SET outcome = new.outcome, detail = new.detail, settled_at = now()
      FROM {keys_of(envelope_id="uuid", outcome="text", detail="text")}
     WHERE o.organization_id = new.organization_id AND o.envelope_id = new.envelope_id AND o.outcome = 'ignored'
""")

# The head of a lane is enough to look at, because leased rows stay there while a drain works on the lane.
_WAITING = sql(f"""
    SELECT lanes.lane, extract(epoch FROM clock_timestamp() - head.oldest)::float AS age, head.is_held, head.shaky_since
      FROM generate_series(0, {LANES - 1}) AS lanes(lane)
     CROSS JOIN LATERAL (
        SELECT min(next_run_at) FILTER (WHERE lease_until IS NULL OR lease_until < clock_timestamp()) AS oldest,
               coalesce(bool_or(lease_until > clock_timestamp() + :fresh), false) AS is_held,
               min(coalesce(lease_until, next_run_at))
                   FILTER (WHERE crashes > 0 AND lease_until IS NULL OR lease_until < clock_timestamp()) AS shaky_since
          FROM (SELECT next_run_at, lease_until, crashes FROM ready
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

# Settled envelopes with a remark: what they say counts in a way that an operator should know, and perhaps decide.
_REMARKED = sql("""
    SELECT detail, count(*) FROM outcomes
     WHERE organization_id = :organization_id AND outcome = 'settled' AND detail IS NOT NULL
     GROUP BY detail ORDER BY 2 DESC, 1 LIMIT 50
""")

_LIST_REMARKED = sql("""
    SELECT o.envelope_id, e.connection_id, e.topic, 'remarked' AS kind, o.detail AS reason, 0 AS attempts,
           o.settled_at AS parked_at
      FROM outcomes o JOIN envelopes e ON e.organization_id = o.organization_id AND e.id = o.envelope_id
     WHERE o.organization_id = :organization_id AND o.outcome = 'settled' AND o.detail IS NOT NULL
     ORDER BY o.settled_at DESC, o.envelope_id LIMIT :limit
""")

# A replay puts an envelope back into the queue. The drain withdraws its old statements.
_REPLAY = sql(f"""
    WITH replayed AS (
        SELECT e.organization_id, e.id, e.connection_id FROM {keys_of(envelope_id="uuid")}
          JOIN envelopes e ON e.organization_id = new.organization_id AND e.id = new.envelope_id
         WHERE e.body IS NOT NULL
    ), unparked AS (
        DELETE FROM parked p USING replayed r WHERE p.organization_id = r.organization_id AND p.envelope_id = r.id
    ), unsettled AS (
        DELETE FROM outcomes o USING replayed r WHERE o.organization_id = r.organization_id AND o.envelope_id = r.id
    )
    INSERT INTO ready (organization_id, envelope_id, connection_id, lane, replay)
    SELECT organization_id, id, connection_id, {lane_sql("connection_id")}, true FROM replayed
        ON CONFLICT (organization_id, envelope_id) DO UPDATE
       SET replay = true, next_run_at = now(), attempts = 0, crashes = 0
    RETURNING envelope_id
""")


class Only(Enum):
    """Which of the due envelopes to lease."""

    ORDINARY = "those with fewer than two crashes"
    SUSPECTS = "those with more crashes: a few together, and from the third crash on each alone"
    CLEAN = "those that no process died with, or stalled with"
    SHAKY = "the others, each alone"


def lease_due(
    conn: Connection,
    lane: int,
    *,
    most: int,
    lease: timedelta,
    token: UUID,
    only: Only = Only.ORDINARY,
    counted: Mapping[str, float] = MappingProxyType({}),
) -> list[Leased]:
    """Lease due envelopes of a lane, those first that have been due longest, and add what is ``counted``."""
    parameters = {"lane": lane, "most": most, "lease": lease, "token": token}
    also = counts.parameters(counted) if counted else {}
    if only is Only.ORDINARY:
        rows = read_binary(conn, _LEASE_ORDINARY[bool(also)], {**parameters, **also})
    elif only is Only.SUSPECTS:
        rows = read_binary(conn, _LEASE_SUSPECTS[bool(also)], {**parameters, **also, "most": min(most, _FEW)})
        rows = rows or read_binary(conn, _LEASE_ALONE[0], {**parameters, "most": 1})
    elif only is Only.CLEAN:
        rows = read_binary(conn, _LEASE_CLEAN[bool(also)], {**parameters, **also})
    else:
        rows = read_binary(conn, _LEASE_SHAKY[bool(also)], {**parameters, **also, "most": 1})
    return [
        Leased(EnvelopeRow(*envelope), attempts, crashes, replay, run_id)
        for attempts, crashes, replay, run_id, *envelope in rows
    ]


def delete(
    tx: Tx, envelope_ids: Collection[UUID], token: UUID, counted: Mapping[str, float] = MappingProxyType({})
) -> int:
    """Delete rows that we lease, and add what is ``counted`` about them to the counters.

    Returns the number of rows, which is too small if another drain has leased some of them; then roll back.
    """
    return tx.run(_DELETE, {**_leased(envelope_ids, token), **counts.parameters(counted)}).rowcount


def postpone(
    tx: Tx,
    envelope_ids: Collection[UUID],
    token: UUID,
    *,
    delay: timedelta,
    failed: bool,
) -> None:
    """Give rows back, due again after ``delay``; ``failed`` counts an attempt."""
    tx.run(_POSTPONE, {**_leased(envelope_ids, token), "delay": delay, "failed": int(failed)})


def set_aside(
    tx: Tx,
    envelope_ids: Collection[UUID],
    connection_ids: Collection[UUID],
    token: UUID,
) -> None:
    """Give back rows of paused connections, to wait until the connections resume."""
    tx.run(_SET_ASIDE, {**_leased(envelope_ids, token), "connection_ids": list(connection_ids)})


def _leased(envelope_ids: Collection[UUID], token: UUID) -> dict[str, object]:
    return {"envelope_id": list(envelope_ids), "token": token}


def hold(tx: Tx, connection_id: UUID) -> None:
    """Keep the envelopes of a paused connection waiting until it resumes."""
    tx.run(_HOLD, {"connection_id": connection_id})


def unhold(tx: Tx, connection_id: UUID) -> None:
    """Make the envelopes of a resumed connection due."""
    tx.run(_UNHOLD, {"connection_id": connection_id})


def park(tx: Tx, rows: Collection[Parked]) -> None:
    """Note that envelopes wait for a person, with the reason; a second time replaces the reason."""
    if rows:
        tx.run(_PARK, columns_of(sorted(rows), *Parked._fields))


def settle(tx: Tx, rows: Sequence[tuple[UUID, str, str | None]], *, is_replay: bool = False) -> None:
    """Note the outcomes of envelopes: (envelope, "settled" or "ignored", detail). A replay may have one already."""
    if rows:
        statement = _SETTLE_AGAIN if is_replay else _SETTLE_NEW
        tx.run(statement, columns_of(sorted(rows, key=lambda r: r[0]), "envelope_id", "outcome", "detail"))


def waiting(conn: Connection, *, lease: timedelta = timedelta(0)) -> list[Waiting]:
    """Load the lanes with due rows that are not leased; ``lease`` is for how long drains lease.

    A drain that has worked on a batch for a third of that time is taken for stalled, and holds no lane.
    """
    return [Waiting(*row) for row in run(conn, _WAITING, {"fresh": lease * 2 / 3})]


def confirm(tx: Tx, rows: Sequence[tuple[UUID, str, str | None]]) -> None:
    """Note what a reading says of envelopes that waited for it: (envelope, outcome, detail)."""
    if rows:
        tx.run(_CONFIRM, columns_of(sorted(rows, key=lambda r: r[0]), "envelope_id", "outcome", "detail"))


def depth(conn: Connection, organization_id: UUID | None = None) -> dict[str, Any]:
    """Count the envelopes that are due, postponed and parked; and tell for how many seconds the oldest is due."""
    return dict(run(conn, _DEPTH, {"organization_id": organization_id}).one()._mapping)  # noqa: SLF001 - its documented name


def outcomes(tx: Tx) -> dict[str, int]:
    """Count settled and ignored envelopes."""
    return {row[0]: row[1] for row in tx.run(_OUTCOMES)}


def ignored_topics(tx: Tx) -> dict[str, int]:
    """Count ignored envelopes by topic."""
    return {row[0]: row[1] for row in tx.run(_IGNORED)}


def remarks(tx: Tx) -> dict[str, int]:
    """Count settled envelopes with a remark for an operator, by remark."""
    return {row[0]: row[1] for row in tx.run(_REMARKED)}


def list_remarked(tx: Tx, limit: int) -> list[dict[str, Any]]:
    """Load the newest settled envelopes with a remark, in the form of parked ones."""
    return [dict(row._mapping) for row in tx.run(_LIST_REMARKED, {"limit": limit})]  # noqa: SLF001 - as above


def list_parked(tx: Tx, limit: int) -> list[dict[str, Any]]:
    """Load the newest parked envelopes."""
    return [dict(row._mapping) for row in tx.run(_LIST_PARKED, {"limit": limit})]  # noqa: SLF001 - its documented name


def replay(tx: Tx, envelope_ids: Collection[UUID]) -> list[UUID]:
    """Queue envelopes again; return the ids of those whose bodies are still kept."""
    return [row[0] for row in tx.run(_REPLAY, {"envelope_id": list(envelope_ids)})]
