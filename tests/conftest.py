"""A real Postgres for every test that needs the store. One embedded server serves the whole session."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import Engine, text

from worker import logs
from worker import settings as worker_settings
from worker.stack.embedded import EmbeddedPostgres
from worker.store import db, organizations
from worker.store.migrate import upgrade

# For every process of the tests: a stack that a test starts, and the test that looks into its database.
os.environ.setdefault("CONTACTSYNC_SECRET_KEYS", Fernet.generate_key().decode())

TABLES = (
    "organizations, api_keys, connections, envelopes, ready, outcomes, parked, contacts, records, claims, decisions, "
    "consents, suppressions, tombstones, changes, envelope_records, privacy_requests, notes, contact_terms, "
    "former_contacts, contact_aliases, deletions, idempotency_keys, channels, runs, run_rows, schedules, wanted, "
    "upgrades, loose_ties, reading_leases, expiries, held_bodies, shop_erasures, counts"
)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """The URL of a migrated database: the database in TEST_DATABASE_URL, or else an embedded server."""
    configured = os.environ.get("TEST_DATABASE_URL")
    # pytest's own directory does not do: if root runs the tests, Postgres runs as another user, who may not enter it.
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    server = None if configured else EmbeddedPostgres(directory, may_create_databases=True)
    url = configured or (server.start() if server else "")
    os.environ["DATABASE_URL"] = url
    worker_settings.reload()
    logs.configure()
    upgrade(url)
    yield url
    if server:
        server.stop()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def _session_engine(database_url: str) -> Iterator[Engine]:
    engine = db.make_engine(database_url, pool_size=10)
    yield engine
    engine.dispose()
    db.engine().dispose()


@pytest.fixture
def engine(_session_engine: Engine) -> Engine:
    """A connection pool on empty tables."""
    empty(_session_engine)
    return _session_engine


@pytest.fixture
def organization_id(engine: Engine) -> UUID:
    """The default organization."""
    with engine.begin() as conn:
        return organizations.ensure(conn, "default")


def empty(engine: Engine) -> None:
    """Delete every row and keep the schema."""
    with engine.begin() as conn:
        conn.execute(text(f"TRUNCATE {TABLES} CASCADE"))
