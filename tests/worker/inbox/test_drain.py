"""Drain: what becomes of envelopes, good, bad and deadly."""

import gc
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from connectors import CONNECTORS
from tests.worker.inbox.plain import Plain, keep, lane, rows, run_now
from worker import settings as worker_settings
from worker.domain.statements import EnvelopeStatements
from worker.inbox import drain as draining
from worker.inbox.drain import drain, drain_batch
from worker.store import connections, ready
from worker.store.db import Tx
from worker.store.ready import Only


def test_a_batch_settles_ignores_and_parks(engine, source):
    keep(engine, source, {"id": "1"}, {"malformed": 1}, {"id": "2"})
    keep(engine, source, {"id": "3"}, topic="skipped")

    done = drain(engine, lane(source), budget_s=5)

    assert (done.settled, done.ignored, done.parked) == (2, 1, 1)
    assert rows(engine, "SELECT count(*) FROM ready")[0][0] == 0
    assert rows(engine, "SELECT kind, reason FROM parked") == [("malformed", "email: expected text, got a number")]
    assert rows(engine, "SELECT detail FROM outcomes WHERE outcome = 'ignored'") == [("skipped",)]


def test_a_batch_leaves_nothing_to_the_collector(engine, source):
    """What a batch held goes when it is done, or a process grows by every batch until the collector comes by."""
    keep(engine, source, {"id": "0"})
    drain_batch(engine, lane(source))  # imports and compiled statements come first
    keep(engine, source, *({"id": str(n)} for n in range(1, 51)))
    gc.collect()
    gc.disable()
    try:
        assert drain_batch(engine, lane(source)).settled == 50
        left = [held for held in gc.get_objects() if isinstance(held, EnvelopeStatements)]
    finally:
        gc.enable()

    assert left == []


def test_a_value_the_database_refuses_is_found_and_parked_alone(engine, source):
    good = [{"id": str(n)} for n in range(7)]
    keep(engine, source, *good, {"id": "bad", "fields": {"note": "nul \x00 inside"}})

    done = drain(engine, lane(source), budget_s=5)

    assert (done.settled, done.parked) == (7, 1)
    assert "SQLSTATE 22P05" in rows(engine, "SELECT reason FROM parked")[0][0]


def test_a_bug_is_tried_again_and_parked_in_the_end(engine, source, capsys):
    keep(engine, source, {"id": "1"}, {"bug": 1})
    attempts = worker_settings.settings().max_attempts

    done = [drain(engine, lane(source), budget_s=5)]
    for _ in range(attempts - 1):
        assert rows(engine, "SELECT count(*) FROM parked")[0][0] == 0
        run_now(engine)
        done.append(drain(engine, lane(source), budget_s=5))

    assert done[0].settled == 1
    assert [d.postponed for d in done] == [1] * (attempts - 1) + [0]
    assert rows(engine, "SELECT kind, attempts FROM parked") == [("failed", attempts)]
    assert "ayu@example.com" not in capsys.readouterr().err  # the message of an unknown error may quote a body


def test_who_loses_the_lease_changes_nothing(engine, source, monkeypatch):
    keep(engine, source, {"id": "1"})

    def steal(*args, **kwargs):
        run_now(engine)
        return apply(*args, **kwargs)

    apply = draining.apply
    monkeypatch.setattr(draining, "apply", steal)
    lost = drain_batch(engine, lane(source))
    monkeypatch.undo()

    assert lost.settled == 0
    assert rows(engine, "SELECT count(*) FROM records")[0][0] == 0
    monkeypatch.setitem(CONNECTORS, "plain", Plain())
    assert drain(engine, lane(source), budget_s=5).settled == 1


def die_holding(engine, source, only=Only.ORDINARY):
    """Lease and vanish; the lease has lapsed when we look again."""
    with engine.begin() as conn:
        return ready.lease_due(conn, lane(source), most=99, lease=timedelta(0), token=uuid4(), only=only)


def test_an_envelope_that_kills_processes_is_taken_with_few_then_alone_then_parked(engine, source):
    keep(engine, source, *({"id": str(number)} for number in range(30)))
    for _ in range(3):
        die_holding(engine, source)
    assert [row.crashes for row in rows(engine, "SELECT crashes FROM ready")] == [2] * 30
    assert die_holding(engine, source) == []

    few = drain_batch(engine, lane(source), only=Only.SUSPECTS)
    assert (few.leased, few.settled) == (20, 20)

    assert len(die_holding(engine, source, Only.SUSPECTS)) == 10
    alone = drain_batch(engine, lane(source), only=Only.SUSPECTS)
    assert (alone.leased, alone.settled) == (1, 1)

    assert len(die_holding(engine, source, Only.SUSPECTS)) == 1
    found = drain(engine, lane(source), budget_s=5)
    assert (found.parked, found.settled) == (1, 8)
    assert rows(engine, "SELECT kind FROM parked") == [("crashed",)]


def test_a_system_fault_counts_against_nobody(engine, source, monkeypatch):
    keep(engine, source, {"id": "1"})

    def fail(*_args, **_kwargs):
        with engine.connect() as conn:
            conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(draining, "apply", fail)
    with pytest.raises((draining.TransientError, DBAPIError)):
        drain(engine, lane(source), budget_s=5)
    monkeypatch.undo()
    monkeypatch.setitem(CONNECTORS, "plain", Plain())

    assert rows(engine, "SELECT attempts, crashes, lease_until FROM ready") == [(0, 0, None)]
    run_now(engine)
    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_what_a_paused_connection_sends_waits(engine, organization_id, source):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})

    assert drain(engine, lane(source), budget_s=5).settled == 0
    assert drain(engine, lane(source), budget_s=5).leased == 0
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "active")
        ready.unhold(Tx(conn, organization_id), source.id)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_removing_a_paused_connection_loses_nothing(engine, organization_id, source):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})
    drain(engine, lane(source), budget_s=5)

    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "removed")
        ready.unhold(Tx(conn, organization_id), source.id)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_a_resume_during_a_drain_strands_nothing(engine, organization_id, source, monkeypatch):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})
    set_aside = ready.set_aside

    def resumed_meanwhile(*args):
        with engine.begin() as conn:
            connections.set_state(Tx(conn, organization_id), source.id, "active")
            ready.unhold(Tx(conn, organization_id), source.id)
        set_aside(*args)

    monkeypatch.setattr(ready, "set_aside", resumed_meanwhile)
    drain_batch(engine, lane(source))
    monkeypatch.setattr(ready, "set_aside", set_aside)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_a_row_whose_envelope_is_gone_is_parked_and_stops_nobody(engine, source):
    gone, _ = keep(engine, source, {"id": "1"}, {"id": "2"})
    with engine.begin() as conn:
        conn.execute(text("DELETE FROM envelopes WHERE id = :id"), {"id": gone})

    drained = drain(engine, lane(source), budget_s=5)

    assert (drained.settled, drained.parked) == (1, 1)
    assert rows(engine, "SELECT envelope_id, kind FROM parked") == [(gone, "malformed")]
    assert rows(engine, "SELECT count(*) FROM ready") == [(0,)]


def test_one_envelope_whose_statement_times_out_stops_nobody(engine, source, monkeypatch):
    keep(engine, source, *({"id": str(n)} for n in range(6)), {"id": "slow"})
    apply = draining.apply

    def slow(on, organization_id, batch):
        if any(("plain", "slow") in statements.records for statements in batch.statements):
            with on.begin() as conn:
                conn.execute(text("SET LOCAL statement_timeout = 1"))
                conn.execute(text("SELECT pg_sleep(1)"))
        return apply(on, organization_id, batch)

    monkeypatch.setattr(draining, "apply", slow)
    done = drain_batch(engine, lane(source))

    assert (done.settled, done.postponed) == (6, 1)
    assert rows(engine, "SELECT attempts FROM ready") == [(1,)]
