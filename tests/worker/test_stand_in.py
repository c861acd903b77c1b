"""Stand-in: it drains and reads what waits, the dangerous last, and ends when nothing has waited for a while."""

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy.exc import OperationalError

from connectors import CONNECTORS
from tests.worker.inbox.plain import Plain, keep, rows
from worker import settings as worker_settings
from worker import stand_in
from worker.inbox import drain as draining
from worker.inbox.ingest import Source
from worker.store import connections, ready
from worker.store.db import Tx
from worker.store.lanes import lane_of
from worker.store.ready import Only


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch, database_url):
    monkeypatch.setenv("REDIS_URL", "")
    worker_settings.reload()
    yield
    monkeypatch.undo()
    worker_settings.reload()


@pytest.fixture
def sources(engine, organization_id, monkeypatch):
    """Two connections in different lanes."""
    monkeypatch.setitem(CONNECTORS, "plain", Plain())
    found = {}
    with engine.begin() as conn:
        while len(found) < 2:
            id_ = connections.insert_new(
                Tx(conn, organization_id),
                connector="plain",
                source=f"plain-{uuid4()}",
                options={},
                region=None,
                priority=100,
                webhook_secrets=["x"],
            )
            found.setdefault(lane_of(id_), Source(organization_id, id_, "plain", ("x",)))
    return list(found.values())


@pytest.fixture
def drained(monkeypatch):
    """The lanes that are drained, in their order, and which of their envelopes."""
    found = []
    drain_batch = draining.drain_batch

    def noted(engine, lane, *, only):
        done = drain_batch(engine, lane, only=only)
        if done.leased:
            found.append((lane, only))
        return done

    monkeypatch.setattr(draining, "drain_batch", noted)
    return found


def die_holding(engine, source, lease=timedelta(0)):
    with engine.begin() as conn:
        ready.lease_due(conn, lane_of(source.id), most=99, lease=lease, token=uuid4())


def test_a_round_drains_a_batch_of_each_lane_and_tells_of_each(engine, sources, drained):
    for source in sources:
        keep(engine, source, {"id": "1"})
    steps = []

    assert stand_in.drain_round(engine, lambda: steps.append(1)) == 2
    assert stand_in.drain_round(engine, lambda: steps.append(1)) == 0

    assert {lane for lane, _ in drained} == {lane_of(source.id) for source in sources}
    assert len(steps) == 2
    assert rows(engine, "SELECT outcome FROM outcomes") == [("settled",)] * 2


def test_what_a_process_died_with_comes_last_and_each_alone(engine, sources, drained):
    deadly, other = sources
    keep(engine, deadly, {"id": "1"}, {"id": "2"})
    die_holding(engine, deadly)
    keep(engine, deadly, {"id": "3"})
    keep(engine, other, {"id": "1"})

    assert stand_in.drain_round(engine, lambda: None) == 4

    dead = lane_of(deadly.id)
    assert sorted(drained[:2]) == sorted([(dead, Only.CLEAN), (lane_of(other.id), Only.CLEAN)])
    assert drained[2:] == [(dead, Only.SHAKY)] * 2
    assert rows(engine, "SELECT outcome FROM outcomes") == [("settled",)] * 4


def test_who_killed_a_process_last_has_its_next_turn_behind_the_others(engine, sources):
    keep(engine, sources[0], {"id": "1"}, {"id": "2"}, {"id": "3"})
    die_holding(engine, sources[0])
    with engine.begin() as conn:
        given = {"most": 9, "lease": timedelta(0), "token": uuid4(), "only": Only.SHAKY}
        turns = [ready.lease_due(conn, lane_of(sources[0].id), **given)[0].envelope.id for _ in range(4)]

    assert len(set(turns[:3])) == 3
    assert turns[3] == turns[0]


def test_a_lane_is_left_to_who_holds_it_unless_that_one_has_stalled(engine, sources):
    source = sources[0]
    keep(engine, source, {"id": "1"})
    lease = timedelta(seconds=worker_settings.settings().lease_s)
    die_holding(engine, source, lease)
    keep(engine, source, {"id": "2"})
    assert stand_in.drain_round(engine, lambda: None) == 0

    with engine.begin() as conn:
        conn.exec_driver_sql(
            "UPDATE ready SET lease_until = lease_until - interval '15 s' WHERE lease_until IS NOT NULL"
        )

    assert stand_in.drain_round(engine, lambda: None) == 1


def test_with_a_broker_it_leaves_to_the_workers_what_has_just_come(engine, sources, monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    worker_settings.reload()
    keep(engine, sources[0], {"id": "1"})

    assert stand_in.drain_round(engine, lambda: None) == 0


def work(did, **limits):
    """Work with rounds that return what a test lists, or raise it, and then find nothing."""
    over, left = threading.Event(), list(did)

    def one_round():
        if not left:
            return 0
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    code = stand_in.work(one_round, lambda: None, is_over=over, **{"linger_s": 0.3, "life_s": 60, **limits})
    return code, left


def test_it_ends_when_nothing_has_waited_for_a_while():
    assert work([1, 0, 1]) == (0, [])


def test_it_ends_when_its_time_is_over_though_more_waits():
    code, left = work([1] * 1_000_000, life_s=0.1)

    assert code == 0
    assert left


@pytest.mark.parametrize("error", [ValueError("a bug"), OperationalError("x", None, Exception("away"))])
def test_it_goes_on_after_an_error_and_ends_badly_after_some_in_a_row(error, monkeypatch):
    monkeypatch.setattr(worker_settings.settings(), "sweep_interval_s", 0.001)

    assert work([error, error, 1, error, 1]) == (0, [])
    assert work([error] * 9, linger_s=9)[0] == 1
