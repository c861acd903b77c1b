"""What tests of runs share: starting a run, working on it, and what became of it."""

from uuid import uuid4

import orjson
from sqlalchemy import text

from worker.backfill import slices
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.ingest import Source, accept
from worker.store import connections, db, envelopes, runs
from worker.store.db import Tx
from worker.store.lanes import lane_of


def again(engine, connection):
    with engine.connect() as conn:
        return connections.by_id(conn, connection.id)


def begin(engine, connection, kind="full", **given):
    with engine.begin() as conn:
        return slices.start(conn, connection, kind, **given)


def due(engine):
    """Let time pass for everything that waits."""
    with engine.begin() as conn:
        conn.execute(text("UPDATE runs SET next_run_at = now() - interval '1 s', lease_until = NULL"))
        conn.execute(text("UPDATE wanted SET next_run_at = now() - interval '1 s'"))


def work_off(engine, connection):
    drain(engine, lane_of(connection.id), budget_s=10)


def run_of(engine, connection, id_):
    with engine.connect() as conn:
        return runs.by_id(Tx(conn, connection.organization_id), id_)


def to_the_end(engine, connection, id_):
    for _ in range(50):
        slices.work(engine, budget_s=5)
        work_off(engine, connection)
        row = run_of(engine, connection, id_)
        if row.state != "running":
            return row
        due(engine)
    raise AssertionError(row)


def counts(row):
    return (row.state, row.read, row.changed, row.unchanged, row.parked, row.expected)


def dump(engine, organization_id):
    with db.snapshot(engine) as conn:
        return b"".join(export_json.canonical(Tx(conn, organization_id)))


def webhook(engine, connection, body, *, topic="seen", sent=None):
    headers = [("id", uuid4().hex), ("topic", topic), ("secret", "x")]
    if sent is not None:
        headers.append(("sent", sent.isoformat()))
    source = Source(connection.organization_id, connection.id, "scripted", ("x",))
    with engine.begin() as conn:
        envelopes.keep(conn, [accept(source, headers, orjson.dumps(body))])
    work_off(engine, connection)
