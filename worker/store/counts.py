"""Counts: what every process counts for `/metrics`; nothing of a person or an organization (ADR 29).

A counter is the sum of the values under its name. Rows are only added, so nobody who counts waits for anybody else, and
a count that is part of a statement is kept exactly if the statement is.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from worker.store.db import run, sql

#: the part of a ``WITH`` that adds what ``parameters`` names
ADDED = """counted AS (
        INSERT INTO counts (name, value)
        SELECT unnest(CAST(:counted AS text[])), unnest(CAST(:amounts AS float8[]))
    )"""

_ADD = sql(f"WITH {ADDED} SELECT")

#: fewer rows than this are not worth a fold
_FEW = 200
# One statement, so that whoever adds up meanwhile sees either the rows or their sum. What another sweeper folds is
# skipped.
_FOLD = sql(f"""
    WITH taken AS (
        DELETE FROM counts
         WHERE ctid = ANY(ARRAY(
            SELECT ctid FROM counts
             WHERE (SELECT count(*) FROM (SELECT 1 FROM counts LIMIT {_FEW}) AS first) = {_FEW}
             LIMIT 50000 FOR UPDATE SKIP LOCKED))
        RETURNING name, value
    )
    INSERT INTO counts (name, value) SELECT name, sum(value) FROM taken GROUP BY name
""")

_ALL = sql("SELECT name, sum(value) FROM counts GROUP BY name")


def parameters(amounts: Mapping[str, float]) -> dict[str, Any]:
    """Return the parameters of ``ADDED``: how much to add under each name."""
    return {"counted": list(amounts), "amounts": list(map(float, amounts.values()))}


def add(conn: Connection, amounts: Mapping[str, float]) -> None:
    """Add to counters."""
    run(conn, _ADD, parameters(amounts))


def fold(conn: Connection) -> None:
    """Add rows up; the counters stay what they are."""
    run(conn, _FOLD)


def load(conn: Connection) -> dict[str, float]:
    """Load all counters by name."""
    return {name: value for name, value in run(conn, _ALL)}  # noqa: C416 - mypy does not know a row as a pair
