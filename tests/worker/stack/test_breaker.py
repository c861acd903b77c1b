"""Breaker: a wait for the database ends, however often it begins anew, and a block in time is left alone."""

import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from worker.stack.breaker import Breaker
from worker.store import db


@pytest.fixture
def fresh(database_url):
    engine = db.make_engine(database_url)
    yield engine
    engine.dispose()


def sleep(engine, seconds):
    with engine.connect() as conn:
        conn.execute(text("SELECT pg_sleep(:s)"), {"s": seconds})


def test_a_wait_ends_and_so_does_the_next(fresh):
    breaker = Breaker(fresh)
    began = time.monotonic()

    with breaker.after(0.3):
        for _ in range(2):
            with pytest.raises(DBAPIError):
                sleep(fresh, 20)

    assert time.monotonic() - began < 5
    sleep(fresh, 0)


def test_a_block_in_time_keeps_its_connection(fresh):
    breaker = Breaker(fresh)

    with breaker.after(5), fresh.connect() as conn:
        first = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with breaker.after(5), fresh.connect() as conn:
        assert conn.execute(text("SELECT pg_backend_pid()")).scalar_one() == first
