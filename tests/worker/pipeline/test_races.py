"""Races: several writers about the same people at once, on real transactions."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.conftest import empty
from tests.worker.histories import EMAILS, PHONES, a_profile, a_reading
from tests.worker.pipeline.test_apply import at_once, run, stored
from worker import settings as worker_settings
from worker.domain.resolve import Limits
from worker.files.export_json import canonical
from worker.pipeline import apply as applying
from worker.store import db, organizations
from worker.store.db import Tx


def a_crowd(seed, size=240):
    """Statements about few people by three sources, each with some of their identifiers."""
    rng = random.Random(seed)
    readings = []
    for number in range(size):
        person = rng.randrange(40)
        source = rng.choice("abc")
        readings.append(
            a_reading(
                source,
                a_profile(
                    rng.choice([str(person), None, str(person)]),
                    phone=rng.choice([f"+628127350{person:03}7", None, PHONES[person % 4]]),
                    email=rng.choice([f"p{person}@example.com", EMAILS[person % 3], None]),
                    at=rng.randrange(5),
                    created=rng.randrange(3),
                    verified=rng.random() < 0.3,
                    note=f"{number}",
                ),
                minute=9,
                number=number,
            )
        )
    return readings


def dump(engine):
    with db.snapshot(engine) as conn:
        return b"".join(canonical(Tx(conn, organizations.find(conn, "default"))))


@pytest.mark.parametrize("seed", [1, 2])
def test_writers_at_once_leave_what_one_would(engine, seed):
    readings = a_crowd(seed)
    run(engine, readings)
    expected = dump(engine)
    empty(engine)

    batches = [readings[n : n + 12] for n in range(0, len(readings), 12)]
    random.Random(seed).shuffle(batches)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda batch: run(engine, batch), batches))

    limits = Limits(worker_settings.settings().crowd_limit, worker_settings.settings().component_limit)
    found, (rows, made) = stored(engine)
    assert found == at_once(rows, made, limits)
    assert dump(engine) == expected


def test_a_writer_that_read_before_another_wrote_starts_over(engine, monkeypatch):
    first = a_reading("a", a_profile("1", email=EMAILS[0], note="one"), number=1)
    second = a_reading("b", a_profile("2", email=EMAILS[0], note="two"), number=2)
    changeset, calls = applying.changeset, []

    def overtaken(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(run, engine, [second]).result(20)  # commits between our reading and our lock
        return changeset(*args, **kwargs)

    monkeypatch.setattr(applying, "changeset", overtaken)
    run(engine, [first])

    assert len(calls) > 2  # ours, the other's, ours again
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM contacts")).scalar_one() == 1
        assert conn.execute(text("SELECT count(*) FROM records")).scalar_one() == 2


def test_letting_go_of_a_crowded_value_is_locked_too(engine, monkeypatch):
    monkeypatch.setattr(worker_settings.settings(), "crowd_limit", 3)
    monkeypatch.setattr(worker_settings.settings(), "lock_buckets", 1 << 16)
    shared = [a_reading("a", a_profile(str(n), email=EMAILS[0]), number=n) for n in range(5)]
    moved = [a_reading("a", a_profile(str(n), email=f"own{n}@example.com", at=1), number=9 + n) for n in range(2)]
    run(engine, shared)
    for reading in moved:
        run(engine, [reading])
    expected = dump(engine)
    empty(engine)
    run(engine, shared)
    both_have_read = threading.Barrier(2, timeout=10)
    changeset, waited = applying.changeset, threading.local()

    def together(*args, **kwargs):
        if not hasattr(waited, "once"):
            waited.once = True
            both_have_read.wait()
        return changeset(*args, **kwargs)

    monkeypatch.setattr(applying, "changeset", together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda reading: run(engine, [reading]), moved))

    assert dump(engine) == expected
