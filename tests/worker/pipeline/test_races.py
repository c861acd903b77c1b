"""Races: several writers write about the same people at once, in real transactions."""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from tests.conftest import empty
from tests.worker.histories import EMAILS, PHONES, a_profile, statements_of
from tests.worker.pipeline.test_apply import resolved_at_once, run, stored
from worker import settings as worker_settings
from worker.domain.grouping import Limits
from worker.files.export_json import canonical
from worker.pipeline import apply as applying
from worker.store import db, organizations
from worker.store.db import Tx


def random_statements(seed, size=240):
    """Return statements of three sources about forty people, each with some of the identifiers of its person."""
    rng = random.Random(seed)
    statements = []
    for number in range(size):
        person = rng.randrange(40)
        source = rng.choice("abc")
        statements.append(
            statements_of(
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
    return statements


def dump(engine):
    with db.snapshot(engine) as conn:
        return b"".join(canonical(Tx(conn, organizations.find(conn, "default"))))


@pytest.mark.parametrize("seed", [1, 2])
def test_several_writers_store_what_a_single_writer_stores(engine, seed):
    statements = random_statements(seed)
    run(engine, statements)
    expected = dump(engine)
    empty(engine)

    batches = [statements[n : n + 12] for n in range(0, len(statements), 12)]
    random.Random(seed).shuffle(batches)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda batch: run(engine, batch), batches))

    limits = Limits(worker_settings.settings().crowd_limit, worker_settings.settings().component_limit)
    found, (rows, decided) = stored(engine)
    assert found == resolved_at_once(rows, decided, limits)
    assert dump(engine) == expected


def test_a_writer_starts_over_if_another_wrote_after_it_loaded(engine, monkeypatch):
    first = statements_of("a", a_profile("1", email=EMAILS[0], note="one"), number=1)
    second = statements_of("b", a_profile("2", email=EMAILS[0], note="two"), number=2)
    changeset, calls = applying.changeset, []

    def overtaken(*args, **kwargs):
        calls.append(1)
        if len(calls) == 1:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(run, engine, [second]).result(20)  # commits after we load and before we lock
        return changeset(*args, **kwargs)

    monkeypatch.setattr(applying, "changeset", overtaken)
    run(engine, [first])

    assert len(calls) > 2  # the first writer, the second one, and the first one again
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM contacts")).scalar_one() == 1
        assert conn.execute(text("SELECT count(*) FROM records")).scalar_one() == 2


def test_a_record_that_drops_a_crowded_identifier_locks_it(engine, monkeypatch):
    monkeypatch.setattr(worker_settings.settings(), "crowd_limit", 3)
    monkeypatch.setattr(worker_settings.settings(), "lock_buckets", 1 << 16)
    shared = [statements_of("a", a_profile(str(n), email=EMAILS[0]), number=n) for n in range(5)]
    moved = [statements_of("a", a_profile(str(n), email=f"own{n}@example.com", at=1), number=9 + n) for n in range(2)]
    run(engine, shared)
    for one in moved:
        run(engine, [one])
    expected = dump(engine)
    empty(engine)
    run(engine, shared)
    both_have_loaded = threading.Barrier(2, timeout=10)
    changeset, waited = applying.changeset, threading.local()

    def together(*args, **kwargs):
        if not hasattr(waited, "once"):
            waited.once = True
            both_have_loaded.wait()
        return changeset(*args, **kwargs)

    monkeypatch.setattr(applying, "changeset", together)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: run(engine, [one]), moved))

    assert dump(engine) == expected
