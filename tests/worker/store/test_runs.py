"""Runs: one of a kind at a time, moved by the holder of its lease only, done when its counts add up."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from worker.store import reading_leases, refetches, runs

LEASE = timedelta(seconds=30)


@pytest.fixture
def leased(tx, connection_id):
    """A run under a lease, with its token."""
    runs.start(tx, connection_id, "full")
    token = uuid4()
    return runs.lease(tx.conn, lease=LEASE, token=token), token


def test_one_run_of_a_kind_is_under_way_but_dry_runs_do_not_count(tx, connection_id):
    first = runs.start(tx, connection_id, "full")

    assert runs.start(tx, connection_id, "full") is None
    assert runs.start(tx, connection_id, "full", is_dry=True)
    assert runs.start(tx, connection_id, "reconcile")
    assert runs.running(tx, connection_id, "full").id == first


def test_a_leased_run_is_due_for_nobody_else(tx, leased):
    row, token = leased

    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is None
    assert runs.due_for_s(tx.conn) is None
    runs.release(tx.conn, row, token=token)
    reading_leases.release(tx.conn, row.organization_id, row.connection_id, token=token)
    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is not None


def test_another_token_moves_nothing(tx, leased):
    row, _ = leased
    stale = uuid4()

    assert runs.advance(tx.conn, row, token=stale, lease=LEASE, cursor={"at": 3}, seen=3, read=3) is None
    assert not runs.renew(tx.conn, row, lease=LEASE, token=stale)
    assert not runs.set_phase(tx.conn, row, "repairing", token=stale, unchanged=0, report={})
    assert not runs.end(tx.conn, row, "failed", "no", token=stale)
    assert runs.by_id(tx, row.id) == row


def test_a_page_ends_a_row_of_failures(tx, leased):
    row, token = leased
    runs.release(tx.conn, row, token=token, error="status 503")
    assert (runs.by_id(tx, row.id).failures, runs.by_id(tx, row.id).error) == (1, "status 503")
    reading_leases.release(tx.conn, row.organization_id, row.connection_id, token=token)
    row = runs.lease(tx.conn, lease=LEASE, token=token)

    row = runs.advance(tx.conn, row, token=token, lease=LEASE, cursor={"at": 3}, seen=4, read=3, expected=10)

    assert (row.failures, row.error, row.cursor, row.seen, row.left) == (0, None, {"at": 3}, 4, 3)


@pytest.mark.parametrize("drained_first", [True, False])
def test_a_run_is_done_when_all_is_read_and_the_counts_add_up(tx, leased, drained_first):
    row, token = leased
    row = runs.advance(tx.conn, row, token=token, lease=LEASE, cursor={"at": 3}, seen=3, read=3)
    steps = [
        lambda: runs.finish_reading(tx.conn, row, token=token, report={"removed": 0}),
        lambda: runs.add_counts(tx, {row.id: (1, 1, 1)}),
    ]
    first, second = reversed(steps) if drained_first else steps
    first()
    assert runs.by_id(tx, row.id).state == "running"
    second()

    done = runs.by_id(tx, row.id)
    assert (done.state, done.phase, done.report) == ("done", "draining", {"removed": 0})
    assert done.finished_at is not None


def test_a_new_import_cancels_an_earlier_one_that_was_not_read_to_its_end(tx, connection_id):
    killed = runs.start_import(tx, connection_id, uuid4())
    whole = runs.start_import(tx, connection_id, uuid4())
    whole = runs.advance_import(tx.conn, whole, read=2, unchanged=1)
    runs.end_import(tx.conn, whole)
    runs.start_import(tx, connection_id, uuid4())

    assert runs.by_id(tx, killed.id).state == "cancelled"
    assert (runs.by_id(tx, whole.id).state, runs.by_id(tx, whole.id).expected) == ("running", 2)
    runs.add_counts(tx, {whole.id: (1, 0, 0)})
    assert runs.by_id(tx, whole.id).state == "done"


def test_the_watermark_is_that_of_runs_that_are_done(tx, connection_id):
    assert runs.watermark(tx, connection_id) is None
    tx.conn.execute(
        text("""
            INSERT INTO runs (organization_id, id, connection_id, kind, state, is_dry, watermark, report,
                              finished_at)
            SELECT :organization_id, gen_random_uuid(), :connection_id, 'full', new.state, new.is_dry,
                   '2026-10-01Z'::timestamptz + new.days * interval '1 day', '{}', now()
              FROM (VALUES ('done', false, 1), ('done', false, 2), ('failed', false, 3), ('done', true, 4))
                   AS new (state, is_dry, days)
        """),
        {"organization_id": tx.organization_id, "connection_id": connection_id},
    )

    assert runs.watermark(tx, connection_id).day == 3


def lapse(tx):
    tx.run(text("UPDATE runs SET lease_until = now() - interval '1 s'"))
    tx.run(text("UPDATE reading_leases SET lease_until = now() - interval '1 s'"))


def test_another_run_of_the_connection_waits_and_that_of_another_does_not(tx, connection_id, leased):
    runs.start(tx, connection_id, "increment")
    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is None
    assert runs.due_for_s(tx.conn) is None

    other = uuid4()
    runs.start(tx, other, "full")

    assert runs.due_for_s(tx.conn) is not None
    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()).connection_id == other


def test_customers_of_a_connection_that_is_read_wait_too(tx, connection_id, leased):
    refetches.ensure(tx, [(connection_id, "1")])
    given = {"most": 9, "lease": LEASE, "reading": LEASE}

    assert runs.due_for_s(tx.conn) is None
    assert refetches.lease(tx.conn, **given, token=uuid4()) == []

    lapse(tx)
    assert len(refetches.lease(tx.conn, **given, token=uuid4())) == 1
    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is None


def test_customers_who_have_waited_longer_come_before_a_run(tx, connection_id):
    runs.start(tx, connection_id, "full")
    refetches.ensure(tx, [(uuid4(), "1")])
    tx.run(text("UPDATE wanted SET next_run_at = now() - interval '1 minute'"))

    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is None
    assert len(refetches.lease(tx.conn, most=9, lease=LEASE, reading=LEASE, token=uuid4())) == 1
    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()) is not None


def test_a_run_that_ends_its_readers_counts_failures_and_comes_after_the_others(tx, leased):
    row, _ = leased
    other = runs.start(tx, uuid4(), "full")
    lapse(tx)

    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()).id == other
    again = runs.lease(tx.conn, lease=LEASE, token=uuid4())
    assert (again.id, again.failures) == (row.id, 1)


def test_a_connection_with_many_runs_has_one_turn_at_a_time(tx, connection_id, leased):
    row, token = leased
    runs.start(tx, connection_id, "increment")
    other = runs.start(tx, uuid4(), "full")
    tx.run(text("UPDATE runs SET next_run_at = now() - interval '1 minute' WHERE kind = 'increment'"))
    reading_leases.release(tx.conn, row.organization_id, row.connection_id, token=token)

    assert runs.lease(tx.conn, lease=LEASE, token=uuid4()).id == other
