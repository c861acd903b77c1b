"""Sessions: what each of ours has set and which rows it sees, also behind a pooler.

A session that Postgres itself answers keeps what is set once, when it is made. Behind a pooler the next transaction may
be on another server session, and what we leave on one would be found there by somebody else. So all settings are made
again in the message that begins each transaction, and end with it (ADR 27).

The two are told apart by the number of the server process: Postgres names it when a session begins, and a pooler
makes up one of its own.
"""

import os
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import structlog
from sqlalchemy import Connection, Dialect, Engine, event

from worker import logs
from worker.settings import settings
from worker.store import batch_writer

log = structlog.get_logger()
_seldom = logs.Seldom()

#: names the organization whose rows a session sees; a session without it sees no rows of anybody
TENANT = "contactsync.organization_id"
#: what a session sets to see the rows of all organizations
EVERYBODY = "all"
#: The name of our sessions in Postgres. It differs from the release before, whose sessions without an organization
#: still see all rows (migration 0012).
APPLICATION = "contactsync-scoped"

_IS_POOLED = "contactsync_is_pooled"
_BEGIN = "contactsync_begin"
_WHERE = """
    SELECT pg_backend_pid(), (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user)
"""
_ABOVE_POLICIES = "the database's role is a superuser or has BYPASSRLS; use another"
_NO_TRANSACTIONS = "the pooler is in statement mode: contactsync needs its transaction mode or its session mode"
_said: set[tuple[int, str]] = set()


class RefusedError(psycopg.OperationalError):
    """A session that would not do what we rely on; the message says why, and what the operator can do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        _seldom.log(log.error, "database_session_refused", reason=reason)


class Sessions:
    """Makes the sessions of an engine, each with the same settings."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values
        self._set = _written("SET", values)
        self._set_local = _written("SET LOCAL", values)

    def serve(self, engine: Engine) -> None:
        """Make all sessions of an engine from now on."""
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "begin", self._begin)

    def _connect(self, dialect: Dialect, record: Any, args: Any, parameters: Any) -> Any:
        connection = dialect.connect(*args, **parameters)
        try:
            record.info[_IS_POOLED] = self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: Any) -> bool:
        """Set what a new session needs; return whether a pooler is between us and the server."""
        driver: psycopg.Connection | psycopg.AsyncConnection = getattr(connection, "driver_connection", connection)
        batch_writer.send_written(driver)
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(_WHERE)
        pid, is_above_policies = cursor.fetchone()
        if is_above_policies:
            _say_once(log.warning, "row_level_security_is_off", reason=_ABOVE_POLICIES)
        kind = settings().database_pooler
        is_pooled = kind != "none" if kind != "auto" else pid != driver.info.backend_pid
        if is_pooled:
            if kind != "session":
                driver.prepare_threshold = None
            self._try_transaction(cursor)
        else:
            cursor.execute(self._set)
            self._check(cursor, "the server session does not keep its settings: set DATABASE_POOLER=transaction")
            connection.autocommit = False
        cursor.close()
        return is_pooled

    def _try_transaction(self, cursor: Any) -> None:
        try:
            cursor.execute(f"BEGIN; {self._set_local}")
        except psycopg.Error as error:
            if error.sqlstate is not None and not error.sqlstate.startswith("08"):
                raise
            raise RefusedError(_NO_TRANSACTIONS) from None
        self._check(cursor, _NO_TRANSACTIONS)
        cursor.execute("COMMIT")
        _say_once(log.info, "database_pooler_found")

    def _check(self, cursor: Any, reason: str) -> None:
        cursor.execute(f"SELECT current_setting('{TENANT}', true)")
        if cursor.fetchone() != (str(self._values[TENANT]),):
            raise RefusedError(reason)

    def _begin(self, conn: Connection) -> None:
        if not is_pooled(conn):
            return
        options = conn.get_execution_options()
        if options.get("isolation_level") != "AUTOCOMMIT":
            opening, *more = options.get(_BEGIN, ("BEGIN",))
            conn.exec_driver_sql("; ".join([opening, self._set_local, *more]))


def is_pooled(conn: Connection) -> bool:
    """Return whether a pooler is between a connection and the server."""
    return bool(conn.info.get(_IS_POOLED))


def begin(conn: Connection, opening: str, *more: str) -> None:
    """Begin a transaction of a certain kind, and set more in it, all in one message."""
    if is_pooled(conn):
        conn.execution_options(**{_BEGIN: (opening, *more)})
        conn.begin()
        return
    # AUTOCOMMIT keeps the driver from a BEGIN of its own.
    conn.execution_options(isolation_level="AUTOCOMMIT")
    conn.exec_driver_sql("; ".join([opening, *more]))


def _written(verb: str, values: Mapping[str, object]) -> str:
    return "; ".join(f"{verb} {name} = '{value}'" for name, value in values.items())


def _say_once(say: Callable[..., None], what: str, **more: str) -> None:
    if (os.getpid(), what) not in _said:
        _said.add((os.getpid(), what))
        say(what, **more)
