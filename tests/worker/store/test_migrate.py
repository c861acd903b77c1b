"""Migrating: a second call changes nothing, neither does an earlier release after a later one."""

import threading
import uuid
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from worker.store import db, urls
from worker.store.migrate import upgrade

REVISION = text("SELECT version_num FROM alembic_version")


@pytest.fixture
def fresh(database_url):
    """The URL of an empty database."""
    name = f"fresh_{uuid4().hex}"
    with psycopg.connect(urls.conninfo(database_url), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        yield f"{database_url.rpartition('/')[0]}/{name}"
        server.execute(f"DROP DATABASE {name}")


def revision_of(url):
    engine = db.make_engine(url)
    with engine.connect() as conn:
        found = conn.execute(REVISION).scalar_one()
    engine.dispose()
    return found


def test_a_second_call_changes_nothing(fresh):
    upgrade(fresh)
    revision = revision_of(fresh)
    upgrade(fresh)

    assert revision_of(fresh) == revision


def test_the_schema_of_a_later_release_stays_as_it_is(fresh, capsys):
    upgrade(fresh)
    with psycopg.connect(urls.conninfo(fresh)) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")

    upgrade(fresh)

    assert revision_of(fresh) == "9999"
    assert "schema_is_of_a_later_release" in capsys.readouterr().err


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
