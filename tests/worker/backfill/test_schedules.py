"""Schedules: a run starts when it is due, once."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.worker.backfill.running import begin, to_the_end
from tests.worker.backfill.scripted import customer
from worker.backfill import schedules
from worker.store import runs
from worker.store import schedules as schedule_rows
from worker.store.db import Tx


def test_a_schedule_starts_once_however_many_look(engine, connection, shop, organization_id):
    shop.hold(customer(1))
    with engine.begin() as conn:
        past = datetime.now(UTC) - timedelta(days=3)
        schedule_rows.ensure(Tx(conn, organization_id), connection.id, "full", timedelta(hours=1), past)

    assert [schedules.start_due(engine) for _ in range(3)] == [1, 0, 0]

    with engine.connect() as conn:
        (row,) = schedule_rows.of_organization(Tx(conn, organization_id))
        (run,) = runs.latest(Tx(conn, organization_id), None, 10)
    assert row.last_run_id == run.id
    assert row.next_run_at > datetime.now(UTC)
    assert to_the_end(engine, connection, run.id).state == "done"


@pytest.mark.parametrize("change", ["state = 'paused'", "state = 'removed'", "revoked_at = now()"])
def test_a_connection_out_of_use_is_not_read_by_schedule(engine, connection, organization_id, change):
    with engine.begin() as conn:
        past = datetime.now(UTC) - timedelta(days=3)
        schedule_rows.ensure(Tx(conn, organization_id), connection.id, "full", timedelta(hours=1), past)
        conn.execute(text(f"UPDATE connections SET {change}"))

    assert schedules.start_due(engine) == 0


def test_a_run_under_way_is_not_started_again(engine, connection, organization_id):
    begin(engine, connection)
    with engine.begin() as conn:
        past = datetime.now(UTC) - timedelta(days=3)
        schedule_rows.ensure(Tx(conn, organization_id), connection.id, "full", timedelta(hours=1), past)

    assert schedules.start_due(engine) == 0
