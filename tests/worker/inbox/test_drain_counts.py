"""Drain: what it did is counted once and exactly, whatever fails, and other processes see it."""

from datetime import timedelta
from uuid import uuid4

import pytest

from tests.worker.inbox.plain import keep, lane, rows, run_now
from worker import metrics
from worker.inbox import drain as draining
from worker.inbox.drain import drain, drain_batch, tell_times
from worker.store import counts, ready


@pytest.fixture(autouse=True)
def _no_times_of_others():
    metrics.batch_times.take()


def counted(engine):
    with engine.connect() as conn:
        return counts.load(conn)


def outcomes(engine):
    return {name.partition("/")[2]: n for name, n in counted(engine).items() if name.startswith("envelopes/")}


def batches(engine):
    return sum(n for name, n in counted(engine).items() if name.startswith("batch_seconds/") and "sum" not in name)


def test_each_outcome_is_counted_with_its_transaction_and_each_batch_has_a_time(engine, source):
    keep(engine, source, {"id": "1"}, {"malformed": 1}, {"id": "2"}, {"bug": 1})
    keep(engine, source, {"id": "3"}, topic="skipped")

    drain(engine, lane(source), budget_s=5)

    assert outcomes(engine) == {"settled": 2, "ignored": 1, "parked": 1, "postponed": 1}
    assert batches(engine) == 1
    assert 0 < counted(engine)["batch_seconds/sum"] < 60


def test_a_batch_that_is_halved_counts_nothing_twice(engine, source):
    keep(engine, source, *({"id": str(n)} for n in range(7)), {"id": "bad", "fields": {"note": "nul \x00 inside"}})

    drain(engine, lane(source), budget_s=5)

    assert outcomes(engine) == {"settled": 7, "parked": 1}


def test_what_another_drain_has_taken_over_is_not_counted(engine, source, monkeypatch):
    [envelope_id] = keep(engine, source, {"id": "1"})

    def take_over(*_):
        run_now(engine)
        with engine.begin() as conn:
            ready.lease_due(conn, lane(source), most=9, lease=timedelta(minutes=1), token=uuid4())
        raise draining.LeaseLostError

    monkeypatch.setattr(draining, "apply", take_over)
    drain_batch(engine, lane(source))

    assert outcomes(engine) == {}
    assert rows(engine, "SELECT envelope_id FROM ready") == [(envelope_id,)]


def test_the_time_of_a_last_batch_can_be_told_by_itself(engine, source):
    keep(engine, source, {"id": "1"})
    drain_batch(engine, lane(source))
    assert batches(engine) == 0

    tell_times(engine)
    tell_times(engine)

    assert batches(engine) == 1
