"""Migrating: a second call changes nothing, and neither does an earlier release after a later one."""

from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from worker.store import db
from worker.store.migrate import upgrade

REVISION = text("SELECT version_num FROM alembic_version")


@pytest.fixture
def fresh(database_url):
    """The URL of an empty database."""
    name = f"fresh_{uuid4().hex}"
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as server:
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
    with psycopg.connect(fresh.replace("+psycopg", "")) as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")

    upgrade(fresh)

    assert revision_of(fresh) == "9999"
    assert "schema_is_of_a_later_release" in capsys.readouterr().err
