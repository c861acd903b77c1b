"""Ids of contacts that are gone, in the order of the feed."""

import importlib
from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text

from worker import ids
from worker.store import contact_lists, db, former_contacts, organizations
from worker.store.db import Tx

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MIGRATION = importlib.import_module("worker.store.migrations.versions.0005_one_answer")
AYU, BUDI, CITRA = sorted(ids.new() for _ in range(3))


@pytest.fixture
def gone(engine, organization_id):
    """Note contacts as gone, each in a transaction of its own."""

    def gone(*rows):
        for row in rows:
            with engine.begin() as conn:
                former_contacts.ensure(Tx(conn, organization_id), [row])

    return gone


@pytest.fixture
def feed(engine, organization_id):
    """Read the rows after a place: (id, merged into), and the next place."""

    def feed(since=LONG_AGO, after_id=None, limit=10):
        with engine.connect() as conn:
            until = contact_lists.horizon(conn)
        with db.snapshot(engine) as conn:
            rows = former_contacts.changed(Tx(conn, organization_id), since, after_id, until, limit)
        return [(row.id, row.merged_into) for row in rows], (rows[-1].updated_at, rows[-1].id) if rows else None

    return feed


def test_rows_come_in_the_order_of_their_time(gone, feed):
    gone((CITRA, None), (AYU, BUDI), (BUDI, None))

    first, place = feed(limit=2)
    second, end = feed(*place)

    assert first == [(CITRA, None), (AYU, BUDI)]
    assert second == [(BUDI, None)]
    assert feed(*end) == ([], None)
    assert feed(place[0])[0] == second


def test_rows_of_the_same_moment_are_told_apart_by_their_ids(engine, gone, feed):
    gone((CITRA, None), (AYU, None), (BUDI, None))
    with engine.begin() as conn:
        conn.execute(text("UPDATE former_contacts SET updated_at = '2026-01-01T00:00:00Z'"))

    first, place = feed(limit=1)

    assert first == [(AYU, None)]
    assert feed(*place)[0] == [(BUDI, None), (CITRA, None)]


def test_a_contact_that_goes_again_comes_last_and_one_that_is_back_not_at_all(engine, organization_id, gone, feed):
    gone((AYU, BUDI), (BUDI, None), (CITRA, None), (AYU, None))

    with engine.begin() as conn:
        former_contacts.delete(Tx(conn, organization_id), {BUDI, uuid4()})

    assert feed()[0] == [(CITRA, None), (AYU, None)]


def test_the_feed_waits_for_a_writer_that_began_before(engine, organization_id, feed):
    with engine.connect() as slow, engine.connect() as fast:
        former_contacts.ensure(Tx(slow, organization_id), [(AYU, None)])
        former_contacts.ensure(Tx(fast, organization_id), [(BUDI, None)])
        fast.commit()
        seen_early, _ = feed()
        slow.commit()

    assert seen_early == []
    assert feed()[0] == [(AYU, None), (BUDI, None)]


def test_a_row_is_of_one_organization(engine, organization_id, gone, feed):
    with engine.begin() as conn:
        other = Tx(conn, organizations.ensure(conn, "other"))
        former_contacts.ensure(other, [(AYU, None), (BUDI, None)])
    gone((AYU, CITRA))

    with engine.begin() as conn:
        former_contacts.delete(Tx(conn, organization_id), {BUDI})

    assert feed()[0] == [(AYU, CITRA)]
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM former_contacts")).scalar_one() == 3


def test_the_migration_finds_former_contacts_in_the_change_log(engine, organization_id, feed):
    dewi, eka = ids.new(), ids.new()
    log = [
        (AYU, "created", {"name": [None, "Ayu"]}),
        (AYU, "merged", {"merged_into": [None, BUDI.hex, None]}),
        (BUDI, "removed", {}),
        (BUDI, "created", {"name": [None, "Budi"]}),
        (BUDI, "merged", {"merged_into": {"before": None, "after": CITRA.hex, "cause": None}}),
        (CITRA, "merged", {"merged_into": [None, AYU.hex, None]}),
        (CITRA, "removed", {"consent:sms:marketing": ["opted_in", "opted_out"]}),
        (dewi, "removed", {}),
        (dewi, "created", {}),
        (eka, "changed", {}),
    ]
    with engine.begin() as conn:
        conn.execute(text(LIVING), {"organization_id": organization_id, "id": dewi})
        for contact_id, kind, details in log:
            given = {"id": ids.new(), "contact_id": contact_id, "kind": kind, "details": orjson.dumps(details).decode()}
            conn.execute(text(ENTRY), {"organization_id": organization_id, **given})
        before = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
        conn.execute(text(MIGRATION.BACKFILL))

    assert feed()[0] == [(AYU, BUDI), (BUDI, CITRA), (CITRA, None)]
    assert feed(before)[0] == feed()[0]


LIVING = """
    INSERT INTO contacts (organization_id, id, external_source, external_id, custom_fields, tags)
    VALUES (:organization_id, :id, 'shop', '1', '{}', '{}')
"""
ENTRY = """
    INSERT INTO changes (organization_id, id, contact_id, kind, details, causes)
    VALUES (:organization_id, :id, :contact_id, :kind, CAST(:details AS json), '{}')
"""
