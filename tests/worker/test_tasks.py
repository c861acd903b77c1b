"""The tick: it starts what is due and sees that somebody works, and does none of the work itself."""

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from connectors import CONNECTORS
from tests.worker.backfill.scripted import Scripted
from tests.worker.inbox.plain import Plain, connect, keep, lane, run_now
from worker import settings as worker_settings
from worker import tasks
from worker.backfill import schedules, slices
from worker.inbox import drain as draining
from worker.inbox.ingest import Source
from worker.inbox.nudge import READING
from worker.stand_in import DRAIN, READ
from worker.store import connections, ready


@pytest.fixture
def source(engine, organization_id, monkeypatch):
    monkeypatch.setitem(CONNECTORS, "plain", Plain())
    monkeypatch.setitem(CONNECTORS, "scripted", Scripted())
    return Source(organization_id, connect(engine, organization_id), "plain", ("x",))


@pytest.fixture
def tick(engine, database_url, monkeypatch):
    """Run a tick that may not work; return the kinds of stand-ins that it called for, and its nudges."""

    def refuse(*_args, **_more):
        raise AssertionError("a tick does none of the work")

    for module, name in ((draining, "drain"), (draining, "drain_batch"), (slices, "work")):
        monkeypatch.setattr(module, name, refuse)
    calls, nudges = [], []
    monkeypatch.setattr(tasks, "stand_ins", SimpleNamespace(call=calls.append, watch=lambda: None))
    monkeypatch.setattr(tasks, "nudger", SimpleNamespace(nudge=nudges.append))

    def run():
        calls.clear()
        nudges.clear()
        tasks.tick()
        return calls[:], nudges[:]

    return run


@pytest.fixture
def with_broker(monkeypatch, database_url):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    worker_settings.reload()
    yield
    monkeypatch.undo()
    worker_settings.reload()


def start_run(engine, organization_id):
    id_ = connect(engine, organization_id, "scripted", source="shop", credentials={"access_token": "t"})
    with engine.begin() as conn:
        slices.start(conn, connections.by_id(conn, id_), "full")


@pytest.mark.usefixtures("with_broker")
def test_what_has_just_come_is_left_to_the_workers(engine, source, organization_id, tick):
    keep(engine, source, {"id": "1"})
    start_run(engine, organization_id)

    assert tick() == ([], [{READING}])


@pytest.mark.usefixtures("with_broker")
def test_what_waits_for_longer_is_nudged_for_and_then_given_to_a_stand_in(engine, source, tick):
    keep(engine, source, {"id": "1"})
    run_now(engine, "1.5 s")
    assert tick() == ([], [{lane(source)}])

    run_now(engine, "3 s")
    assert tick() == ([DRAIN], [])


def test_without_a_broker_a_stand_in_is_called_at_once(engine, source, organization_id, tick, monkeypatch):
    monkeypatch.setattr(worker_settings.settings(), "redis_url", "")
    keep(engine, source, {"id": "1"})
    start_run(engine, organization_id)

    assert tick()[0] == [DRAIN, READ]


def test_a_lane_that_a_process_works_on_needs_no_stand_in_unless_it_has_stalled(engine, source, tick):
    keep(engine, source, {"id": "1"}, {"id": "2"})
    run_now(engine, "3 s")
    with engine.begin() as conn:
        ready.lease_due(conn, lane(source), most=1, lease=timedelta(seconds=30), token=uuid4())
    assert tick()[0] == []

    with engine.begin() as conn:
        conn.execute(text("UPDATE ready SET lease_until = lease_until - interval '15 s'"))
    assert tick()[0] == [DRAIN]


@pytest.mark.parametrize("error", [OperationalError("x", None, Exception("away")), ZeroDivisionError("a bug")])
def test_a_step_that_fails_keeps_no_other_from_its_turn(engine, source, organization_id, tick, monkeypatch, error):
    def fail(*_):
        raise error

    keep(engine, source, {"id": "1"})
    run_now(engine, "3 s")
    monkeypatch.setattr(schedules, "start_due", fail)
    monkeypatch.setattr(tasks, "_tidy_up", lambda: done.append(1))
    tasks._tidy_up.__name__ = "_tidy_up"
    done = []

    assert tick()[0] == [DRAIN]
    assert done == [1]
