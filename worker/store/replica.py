"""A streaming replica: how far it is, and what it may be asked.

A replica answers reads with a state of the primary some moments ago. How old that state is cannot be read from a clock:
while nobody writes, the last replayed transaction grows old although nothing is missing, and the clocks of two servers
differ. So positions in the primary's log are compared: what the primary had written when it was asked, and what the
replica has replayed.
"""

from typing import NamedTuple

from sqlalchemy import Connection

from worker.store.db import run, sql


class Written(NamedTuple):
    """How far a primary has written its log, in bytes, and which cluster it is."""

    position: int
    cluster: int


class Replayed(NamedTuple):
    """How far a replica has replayed the log, and of which cluster; None if the server is no replica."""

    position: int | None
    cluster: int
    behind_s: float | None  #: age of the last replayed transaction, by the replica's clock; for people


_WRITTEN = sql("""
    SELECT (pg_current_wal_lsn() - '0/0')::bigint, (SELECT system_identifier FROM pg_control_system())
""")
# A server that was promoted still knows how far it had replayed, and is no replica any more.
_REPLAYED = sql("""
    SELECT CASE WHEN pg_is_in_recovery() THEN (pg_last_wal_replay_lsn() - '0/0')::bigint END,
           (SELECT system_identifier FROM pg_control_system()),
           CAST(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) AS float)
""")
_POSITION = sql("SELECT (pg_current_wal_lsn() - '0/0')::bigint")


def written(conn: Connection) -> Written:
    """Return how far the primary is."""
    return Written(*run(conn, _WRITTEN).one())


def replayed(conn: Connection) -> Replayed:
    """Return how far the replica is."""
    return Replayed(*run(conn, _REPLAYED).one())


def position(conn: Connection) -> int:
    """Return a position in the primary's log behind everything that this connection has seen so far."""
    return int(run(conn, _POSITION).scalar_one())
