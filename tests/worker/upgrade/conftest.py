"""A database of its own at the schema of the release before, which each test fills."""

import os
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import event

from bench.old_store import as_before
from tests.worker.upgrade.release_before import ReleaseBefore
from worker.store import db
from worker.store.migrate import upgrade

OLD_SCHEMA = "0004"


def _server(url):
    return psycopg.connect(url.replace("postgresql+psycopg", "postgresql"), autocommit=True)


@pytest.fixture(scope="session")
def _old_template(database_url):
    """An empty database at the old schema, of which the tests get copies."""
    name = f"old_template_{os.getpid()}"
    url = f"{database_url.rpartition('/')[0]}/{name}"
    with _server(database_url) as server:
        server.execute(f"CREATE DATABASE {name}")
    upgrade(url, OLD_SCHEMA)
    yield name
    with _server(database_url) as server:
        server.execute(f"DROP DATABASE {name}")


@pytest.fixture
def old_url(database_url, _old_template):
    """The URL of a database of its own at the old schema."""
    name = f"old_{uuid4().hex}"
    with _server(database_url) as server:
        server.execute(f"CREATE DATABASE {name} TEMPLATE {_old_template}")
    yield f"{database_url.rpartition('/')[0]}/{name}"
    with _server(database_url) as server:
        server.execute(f"DROP DATABASE {name}")


@pytest.fixture
def old_engine(old_url):
    engine = db.make_engine(old_url, pool_size=3)
    event.listen(engine, "connect", as_before)
    yield engine
    engine.dispose()


@pytest.fixture
def before(old_engine):
    """The release before, which has been told nothing yet."""
    return ReleaseBefore(old_engine)


@pytest.fixture
def migrate(old_url):
    """Bring the store to the newest schema, as an operator does before the upgrade."""
    return lambda: upgrade(old_url)
