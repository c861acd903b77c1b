"""Move one organization to another Postgres: copy all of its rows, and check that the copy is the same.

    python -m deploy.move SOURCE_URL TARGET_URL ORGANIZATION

Both servers have the same schema and the same ``CONTACTSYNC_SECRET_KEYS``. Nobody may write to the organization
meanwhile, and its queue has to be empty: ``docs/scaling.md`` has the steps before and after. The copy is one
transaction; the source keeps its rows, so a failure costs nothing.
"""

import argparse
import sys
from collections.abc import Sequence

from sqlalchemy import Connection, text

from worker.files import export_json
from worker.store import db, organizations
from worker.store.db import Tx

# The list of organizations comes first, because other tables refer to it; they refer to nothing else.
_TABLES = text("""
    SELECT c.relname,
           (SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '') AS columns,
           CASE WHEN c.relname = 'organizations' THEN 'id' ELSE 'organization_id' END AS key
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
       AND c.relname NOT IN ('alembic_version', 'counts') -- of a server, and of nobody
     ORDER BY c.relname <> 'organizations', c.relname
""")
_REVISION = text("SELECT version_num FROM alembic_version")


class MoveError(Exception):
    """The organization cannot be moved; the message says why."""


def move(source: Connection, target: Connection, name: str) -> dict[str, int]:
    """Copy the rows of an organization into an open transaction of the target; return how many each table has."""
    organization_id = organizations.find(source, name)
    if organization_id is None:
        raise MoveError("the source has no organization of this name")
    if organizations.find(target, name) is not None:
        raise MoveError("the target has an organization of this name already")
    if source.execute(_REVISION).scalar_one() != target.execute(_REVISION).scalar_one():
        raise MoveError("the schemas differ; run `contactsync migrate` on both")
    if source.execute(
        text("SELECT EXISTS (SELECT FROM ready WHERE organization_id = :id)"), {"id": organization_id}
    ).scalar_one():
        raise MoveError("the queue is not empty; wait until `contactsync status` says 0 due and 0 postponed")
    copied = {
        table: _copy(source, target, table, columns, f"{key} = '{organization_id}'")
        for table, columns, key in source.execute(_TABLES)
    }
    here, there = (b"".join(export_json.canonical(Tx(conn, organization_id))) for conn in (source, target))
    if here != there:
        raise MoveError("the copy differs from the original; somebody has written meanwhile")
    return copied


def _copy(source: Connection, target: Connection, table: str, columns: str, condition: str) -> int:
    # COPY writes into no table that has row-level security, so the rows go through a table without.
    target.execute(text(f"CREATE TEMP TABLE moved ON COMMIT DROP AS SELECT {columns} FROM {table} WHERE false"))
    reading, writing = (conn.connection.driver_connection.cursor() for conn in (source, target))
    with (
        reading.copy(f"COPY (SELECT {columns} FROM {table} WHERE {condition}) TO STDOUT (FORMAT binary)") as rows,
        writing.copy(f"COPY moved ({columns}) FROM STDIN (FORMAT binary)") as into,
    ):
        for data in rows:
            into.write(data)
    written = target.execute(text(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM moved")).rowcount
    target.execute(text("DROP TABLE moved"))
    if written != writing.rowcount:
        raise MoveError(f"{table}: {writing.rowcount} rows came, {written} were written")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Move, and print what was copied."""
    parser = argparse.ArgumentParser(prog="python -m deploy.move", description=__doc__)
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("organization")
    given = parser.parse_args(arguments)
    engines = [db.make_engine(url) for url in (given.source, given.target)]
    try:
        with db.snapshot(engines[0]) as source, engines[1].begin() as target:
            target.execute(text("SET LOCAL statement_timeout = 0"))
            source.execute(text("SET LOCAL statement_timeout = 0"))
            copied = move(source, target, given.organization)
    except MoveError as error:
        print(f"not moved: {error}", file=sys.stderr)
        return 1
    finally:
        for engine in engines:
            engine.dispose()
    for table, n in copied.items():
        if n:
            print(f"{n:>10,} {table}")
    print("copied, and the canonical exports are equal")
    return 0


if __name__ == "__main__":
    sys.exit(main())
