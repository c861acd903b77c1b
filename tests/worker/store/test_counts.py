"""Counts: a counter is the sum of its rows, whoever adds and folds at the same time."""

import pytest
from sqlalchemy import text

from worker.store import counts


@pytest.fixture
def conn(engine):
    with engine.connect() as conn:
        yield conn
        conn.rollback()


def rows(conn):
    return conn.execute(text("SELECT count(*) FROM counts")).scalar_one()


def test_what_is_added_adds_up(conn):
    counts.add(conn, {"a": 1, "b": 0.5})
    counts.add(conn, {"a": 2})
    counts.add(conn, {})

    assert counts.load(conn) == {"a": 3, "b": 0.5}


def test_a_fold_leaves_one_row_a_counter_and_changes_none(conn):
    for _ in range(counts._FEW):
        counts.add(conn, {"a": 1, "b": 0.5})

    counts.fold(conn)

    assert counts.load(conn) == {"a": counts._FEW, "b": counts._FEW / 2}
    assert rows(conn) == 2


def test_few_rows_are_left_alone(conn):
    for _ in range(counts._FEW - 1):
        counts.add(conn, {"a": 1})

    counts.fold(conn)

    assert rows(conn) == counts._FEW - 1


def test_two_sweepers_and_a_reader_see_each_count_once(engine):
    with engine.begin() as conn:
        for _ in range(counts._FEW):
            counts.add(conn, {"a": 1})

    with engine.connect() as first, engine.connect() as second, engine.connect() as reader, engine.connect() as writer:
        counts.fold(first)
        counts.add(writer, {"a": 1})  # it waits for nobody
        writer.commit()
        counts.fold(second)  # it skips what the first one holds
        second.commit()
        assert counts.load(reader) == {"a": counts._FEW + 1}
        reader.rollback()
        first.commit()
        assert counts.load(reader) == {"a": counts._FEW + 1}


def test_a_count_alone_waits_for_no_disk(engine):
    """The table has no log, so a commit that wrote nothing else has nothing to flush."""
    with engine.connect() as conn:
        assert conn.execute(text("SELECT relpersistence FROM pg_class WHERE relname = 'counts'")).scalar_one() == "u"
