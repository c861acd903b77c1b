"""Writable: whether a write would succeed now, found out without writing a row.

Postgres checks a statement that inserts no row as any other: the tables, our role's rights, and that the database is no
replica and not read-only. Whether the disk is full is seen by a temporary file, which is gone with the statement.
"""

from pathlib import Path

from sqlalchemy import Engine

from worker.errors import ConfigError, sqlstate_behind

#: the tables of an envelope's way
_TABLES = (
    "envelopes",
    "ready",
    "outcomes",
    "parked",
    "records",
    "claims",
    "contacts",
    "changes",
    "consents",
    "suppressions",
    "envelope_records",
    "counts",
)
_INSERTS = ", ".join(f"w{n} AS (INSERT INTO {name} SELECT * FROM {name} WHERE false)" for n, name in enumerate(_TABLES))
#: larger than ``work_mem`` below, so that it goes to a file
_SPILL = """
    WITH spilled AS MATERIALIZED (SELECT repeat('x', 200) || n FROM generate_series(1, 1500) AS n)
    SELECT count(*) FROM spilled
"""

# One message to the server. What waits for a migration's lock is given up, because probes do not wait longer.
_CHECK = f"""
    BEGIN;
    SET LOCAL lock_timeout = '1s';
    SET LOCAL statement_timeout = '3s';
    SET LOCAL work_mem = '64kB';
    WITH {_INSERTS}, w AS (DELETE FROM ready WHERE false), u AS (UPDATE contacts SET id = id WHERE false) SELECT;
    {_SPILL};
    ROLLBACK
"""
_VERSION = "SELECT version_num FROM alembic_version"

#: the revisions that this release knows
_REVISIONS = {path.name[:4] for path in (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")}


#: why writing fails, by the beginning of the SQLSTATE
_REASONS = {
    "25006": "the database is read-only",
    "42501": "the role of DATABASE_URL may not write",
    "42": "the database is not migrated; run: contactsync migrate",
    "53100": "the disk of the database is full",
    "58": "the disk of the database fails",
    "55P03": "writing waits for a lock, perhaps of a migration",
    "57014": "writing takes too long",
}


class NotMigratedError(ConfigError):
    """The schema is older than this release."""


def reason(error: Exception) -> str:
    """Say in words why the database cannot be used."""
    state = sqlstate_behind(error)
    if state is None or state.startswith(("08", "57P")):
        return "no database"
    return next((words for prefix, words in _REASONS.items() if state.startswith(prefix)), "the database refuses it")


def check(engine: Engine) -> None:
    """Return if a write would succeed now. Raises the database's error, or NotMigratedError."""
    with engine.connect() as conn:
        # AUTOCOMMIT keeps the driver from a BEGIN of its own. If the check raises, the pool rolls back.
        conn.execution_options(isolation_level="AUTOCOMMIT")
        version = conn.exec_driver_sql(_VERSION).scalar_one_or_none()
        if version is None or (version in _REVISIONS and version != max(_REVISIONS)):
            raise NotMigratedError("the database is not migrated; run: contactsync migrate")
        conn.exec_driver_sql(_CHECK)
