"""Real Postgres for every test that touches the store; one embedded server for the session."""

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

TABLES = (
    "organizations, api_keys, connections, envelopes, ready, outcomes, parked, contacts, records, claims, decisions, "
    "consents, suppressions, tombstones, changes, envelope_records, privacy_requests, notes, contact_terms, "
    "idempotency_keys, channels, runs, run_rows, schedules, wanted"
)


@pytest.fixture(scope="session")
def database_url() -> Iterator[str]:
    """A migrated database: the one in TEST_DATABASE_URL, else an embedded server."""
    os.environ.setdefault("CONTACTSYNC_SECRET_KEYS", Fernet.generate_key().decode())
    given = os.environ.get("TEST_DATABASE_URL")
    # Not below pytest's own directory: that is closed to the account a server started by root runs under.
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    server = None if given else EmbeddedPostgres(directory)
    url = given or (server.start() if server else "")
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
    """Forget everything but the schema."""
    with engine.begin() as conn:
        conn.execute(text(f"TRUNCATE {TABLES} CASCADE"))
