"""Migrating beside processes that work."""

import threading
import uuid

import psycopg
import pytest

from worker.store import urls
from worker.store.migrate import upgrade

#: what the release before sets when its sessions begin
BEFORE = {"application_name": "contactsync", "options": "-c lock_timeout=15s", "autocommit": True}


@pytest.fixture
def before_0012(database_url):
    """The URL of a new database with the schema of the release before."""
    name = f"migrated_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(urls.conninfo(database_url), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        url = f"{database_url.rpartition('/')[0]}/{name}"
        upgrade(url, "0011")
        yield url
        conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_the_policies_are_replaced_beside_a_transaction_that_needs_the_tables_in_another_order(before_0012):
    took = threading.Event()
    organization_id = uuid.uuid4()

    def work():
        with psycopg.connect(urls.conninfo(before_0012), **BEFORE) as conn, conn.transaction():
            conn.execute("INSERT INTO organizations (id, name) VALUES (%s, 'o')", [organization_id])
            conn.execute("LOCK TABLE records IN ROW EXCLUSIVE MODE")
            took.set()
            # By now the migration waits for this table, and holds those that come before it.
            with psycopg.connect(urls.conninfo(before_0012), autocommit=True) as other:
                for _ in range(500):
                    if other.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,):
                        break
            conn.execute("INSERT INTO expiries (organization_id) VALUES (%s)", [organization_id])

    working = threading.Thread(target=work)
    working.start()
    assert took.wait(10)
    upgrade(before_0012)
    working.join(10)

    with psycopg.connect(urls.conninfo(before_0012), **BEFORE) as conn:  # it goes on
        assert conn.execute("SELECT organization_id FROM expiries").fetchone() == (organization_id,)
    with psycopg.connect(urls.conninfo(before_0012)) as conn:
        assert conn.execute("SELECT organization_id FROM expiries").fetchone() is None
