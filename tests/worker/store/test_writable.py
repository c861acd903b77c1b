"""Writable: whatever makes a write fail is noticed without a write, and nothing is left behind."""

import os
import re
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError

from worker.stack.embedded import EmbeddedPostgres
from worker.store import db, writable
from worker.store.migrate import MIGRATIONS, upgrade


@contextmanager
def through(url):
    """An engine of ours on another URL."""
    engine = db.make_engine(url)
    yield engine
    engine.dispose()


@contextmanager
def undone(engine, change, *, undo):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text(change))
        try:
            yield
        finally:
            conn.execute(text(undo))


def failing(engine):
    with pytest.raises(DBAPIError) as caught:
        writable.check(engine)
    return caught.value.orig.sqlstate, writable.reason(caught.value)


def test_no_transaction_of_a_check_gets_a_number(engine):
    """What has no number has written nothing."""
    number = text("SELECT pg_snapshot_xmax(pg_current_snapshot())")
    with engine.connect() as conn:
        before = conn.execute(number).scalar_one()
        conn.rollback()

        writable.check(engine)

        assert conn.execute(number).scalar_one() == before


def test_a_check_writes_a_temporary_file(engine):
    with engine.connect() as conn:
        conn.execute(text("SET LOCAL work_mem = '64kB'"))
        plan = "\n".join(row[0] for row in conn.execute(text(f"EXPLAIN (ANALYZE, BUFFERS) {writable._SPILL}")))

    assert re.search(r"temp .*written=[1-9]", plan)


def test_a_read_only_database(engine, database_url):
    change = f'ALTER DATABASE "{make_url(database_url).database}"'
    setting = "default_transaction_read_only"
    with undone(engine, f"{change} SET {setting} = on", undo=f"{change} RESET {setting}"), through(database_url) as new:
        assert failing(new) == ("25006", "the database is read-only")


@pytest.mark.parametrize(("right", "table"), [("INSERT", "envelopes"), ("UPDATE", "contacts"), ("DELETE", "ready")])
def test_a_role_that_may_not_write(engine, right, table):
    with undone(
        engine, f"REVOKE {right} ON {table} FROM CURRENT_USER", undo=f"GRANT {right} ON {table} TO CURRENT_USER"
    ):
        assert failing(engine) == ("42501", "the role of DATABASE_URL may not write")


@pytest.mark.parametrize("table", ["suppressions", "alembic_version"])
def test_a_missing_table(engine, table):
    with undone(engine, f"ALTER TABLE {table} RENAME TO elsewhere", undo=f"ALTER TABLE elsewhere RENAME TO {table}"):
        assert failing(engine) == ("42P01", "the database is not migrated; run: contactsync migrate")


@pytest.mark.parametrize(("version", "is_fine"), [("0009", False), ("9999", True)])
def test_an_older_schema_is_not_migrated_and_a_newer_one_is_another_releases(engine, version, is_fine):
    head = max(writable._REVISIONS)
    change = "UPDATE alembic_version SET version_num = '{}'"
    with undone(engine, change.format(version), undo=change.format(head)):
        if is_fine:
            writable.check(engine)
        else:
            with pytest.raises(writable.NotMigratedError):
                writable.check(engine)


def test_the_newest_revision_is_the_head_of_the_migrations():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))

    assert ScriptDirectory.from_config(config).get_heads() == [max(writable._REVISIONS)]


def test_a_lock_on_a_table_is_not_waited_for(engine):
    with engine.connect() as conn:
        conn.execute(text("LOCK TABLE contacts IN ACCESS EXCLUSIVE MODE"))
        assert failing(engine) == ("55P03", "writing waits for a lock, perhaps of a migration")


def test_what_has_no_sqlstate_is_no_database():
    with through("postgresql://nobody@127.0.0.1:1/nothing") as nothing, pytest.raises(DBAPIError) as caught:
        writable.check(nothing)

    assert writable.reason(caught.value) == "no database"


@pytest.fixture
def small_disk():
    """A directory on a disk of 300 MB."""
    directory = Path(tempfile.mkdtemp(prefix="contactsync-small-"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m", "tmpfs", str(directory)]
    try:
        is_mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        is_mounted = False
    if not is_mounted:
        directory.rmdir()
        pytest.skip("only root can mount a small disk")
    directory.chmod(0o755)
    yield directory
    subprocess.run(["umount", "-l", str(directory)], check=True)
    directory.rmdir()


def test_a_full_disk(small_disk):
    server = EmbeddedPostgres(small_disk)
    url = server.start()
    try:
        upgrade(url)
        with through(url) as engine:
            writable.check(engine)
            filler = small_disk / "filler"
            with suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(b"x" * 4096):
                    pass

            assert failing(engine) == ("53100", "the disk of the database is full")

            filler.unlink()
            writable.check(engine)
    finally:
        server.stop()
