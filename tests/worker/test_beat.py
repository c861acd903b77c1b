"""Beat: it ticks on whatever a tick meets, and ends its stand-ins."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker import beat
from worker.app import app
from worker.errors import TransientError
from worker.store import db


@pytest.fixture
def scheduler(engine, database_url, monkeypatch):
    ended = []
    monkeypatch.setattr(beat, "_LONGEST_S", 0.5)
    monkeypatch.setattr(beat.stand_ins, "close", lambda: ended.append(1))
    db.engine().dispose()
    found = beat.SweepScheduler(app=app)
    yield found
    found.close()
    assert ended == [1]


def test_a_tick_that_waits_for_a_hung_database_is_given_up(scheduler, monkeypatch):
    waits = []

    def hang_twice():
        """Go on after the first step, as ``tick`` does."""
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(DBAPIError), db.engine().connect() as conn:
                conn.execute(text("SELECT pg_sleep(30)"))
            waits.append(time.monotonic() - began)

    monkeypatch.setattr(beat, "tick", hang_twice)
    scheduler.tick()
    assert all(wait < 5 for wait in waits)

    monkeypatch.setattr(beat, "tick", lambda: time.sleep(0.01))
    assert scheduler.tick() < 1
    with db.engine().connect() as conn:
        assert conn.execute(text("SELECT 1")).scalar_one() == 1


@pytest.mark.parametrize("error", [ValueError("a bug"), TransientError("away")])
def test_no_error_ends_beat(scheduler, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(beat, "tick", fail)

    assert scheduler.tick() >= 1
