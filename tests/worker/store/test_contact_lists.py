"""Lists and the feed beside writers that are still at work."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from worker import ids
from worker.domain.rows import ContactRow
from worker.store import contact_lists, contacts, db
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def a_contact(name):
    id_ = ids.new()
    return contacts.encode(id_, ContactRow(id_, name, None, None, "shop", name, {}, [], id_), id_)


@pytest.fixture
def feed(engine, organization_id):
    """Read the feed after a place; return names and the next place."""

    def feed(since=LONG_AGO, after_id=None, limit=10):
        with engine.connect() as conn:
            until = contact_lists.horizon(conn)
        with db.snapshot(engine) as conn:
            rows = contact_lists.changed(Tx(conn, organization_id), ContactFilter(), since, after_id, until, limit)
        return [row.name for row in rows], (rows[-1].updated_at, rows[-1].id) if rows else (since, after_id)

    return feed


def test_the_feed_waits_for_a_writer_that_began_before(engine, organization_id, feed):
    with engine.connect() as slow, engine.connect() as fast:
        contacts.insert_new(Tx(slow, organization_id), [a_contact("slow")])
        contacts.insert_new(Tx(fast, organization_id), [a_contact("fast")])
        fast.commit()
        seen_early, place = feed()
        slow.commit()

    seen_late, _ = feed(*place)

    assert seen_early == []  # "fast" is there, but what came before it is not yet
    assert seen_late == ["slow", "fast"]


def test_a_reader_does_not_hold_the_feed_back(engine, organization_id, feed):
    with engine.connect() as reader:
        reader.execute(text("SELECT count(*) FROM contacts"))
        with engine.begin() as conn:
            contacts.insert_new(Tx(conn, organization_id), [a_contact("ayu")])

        assert feed()[0] == ["ayu"]


def test_the_feed_goes_on_behind_its_last_row(engine, organization_id, feed):
    with engine.begin() as conn:  # one transaction, several times
        for name in ("ayu", "budi", "citra"):
            contacts.insert_new(Tx(conn, organization_id), [a_contact(name)])

    first, place = feed(limit=2)
    second, end = feed(*place, limit=2)
    with engine.begin() as conn:
        rows = contact_lists.page(Tx(conn, organization_id), ContactFilter(), None, 10)
        contacts.touch(Tx(conn, organization_id), [row.id for row in rows if row.name == "ayu"])

    assert (first, second) == (["ayu", "budi"], ["citra"])
    assert feed(*end)[0] == ["ayu"]


def test_rows_of_the_same_moment_are_told_apart_by_their_ids(engine, organization_id, feed):
    rows = [a_contact(name) for name in ("ayu", "budi", "citra")]
    with engine.begin() as conn:
        contacts.insert_new(Tx(conn, organization_id), rows)
        conn.execute(text("UPDATE contacts SET updated_at = '2026-01-01T00:00:00Z'"))

    first, place = feed(limit=1)
    rest, _ = feed(*place)

    assert (first, rest) == (["ayu"], ["budi", "citra"])
