"""Connections to Postgres: one engine for each process, and the functions that every statement uses."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import Connection, Dialect, Engine, bindparam, create_engine, text
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.sql.elements import TextClause
from sqlalchemy.types import TypeEngine

from worker.store import batch_writer, sessions, urls
from worker.store.sessions import EVERYBODY, TENANT, Sessions

_engines: dict[tuple[int, str], Engine] = {}

#: requests of the API that may run at once in a process; each has a connection and a thread
TENANT_CONNECTIONS = 16
#: the part of them that changes contacts; the others are for requests that only load
OPERATION_CONNECTIONS = TENANT_CONNECTIONS // 2
#: further sessions of the API, which look up keys
KEY_CONNECTIONS = 2
#: further ones on the event loop, for reads that share their statements
LOOK_UP_CONNECTIONS = 4
#: the organization of a session of the API until ``enter`` names one; it has no data
NOBODY = UUID(int=0)

#: the URL of an engine; what DATABASE_URL says goes to the driver as it is
DRIVER = "postgresql+psycopg://"

#: a statement of ours takes milliseconds; beyond these limits it waits for something that will not come
_SESSION = {
    "timezone": "UTC",
    "synchronous_commit": "on",
    # A generic plan that was made while tables were empty stayed for good: it scanned whole tables for each batch, and
    # the first import of every new store slowed to a third. Planning anew costs a fraction of a millisecond.
    "plan_cache_mode": "force_custom_plan",
    "statement_timeout": "30s",
    "lock_timeout": "15s",
    "idle_in_transaction_session_timeout": "30s",
}
#: Of the API's sessions. A request waits for a lock for a short time only, because a client waits for the answer; it
#: may come again. A request takes one core: parallel plans make other requests wait, and starting their workers costs
#: more than they save.
_OF_REQUESTS = {**_SESSION, "lock_timeout": "5s", "max_parallel_workers_per_gather": "0", TENANT: str(NOBODY)}
#: Of look-ups on the event loop. Each is a few keys, looked up in indexes one after the other, whatever the tables
#: hold. So one plan fits always, and it is made once: planning would take several times as long as the look-up.
_OF_LOOK_UPS = {
    **_OF_REQUESTS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
}


def engine(url: str | None = None) -> Engine:
    """Return this process's engine, which sees every organization: for the worker and its operator.

    The first call makes it, in each process: with a connection from before ``fork()``, parent and child would share a
    server session, and each would read the other's answers.
    """
    return _engine("all", lambda given: make_engine(url or given))


def tenant_engine() -> Engine:
    """Return the engine of the API, which sees nothing until ``enter`` names the organization.

    It has a connection for each request that may run at once, and two to look up keys, so that nobody waits for one.
    """
    return _engine("tenant", make_tenant_engine)


def _engine(kind: str, make: Callable[[str], Engine]) -> Engine:
    pid = os.getpid()
    if any(known != pid for known, _ in _engines):
        _engines.clear()  # inherited by a fork
    if (pid, kind) not in _engines:
        from worker.settings import settings  # noqa: PLC0415 - read when the environment is complete

        _engines[pid, kind] = make(settings().database_url)
    return _engines[pid, kind]


def make_engine(url: str, *, pool_size: int = 5) -> Engine:
    """Make an engine with our session settings, whose sessions see every organization."""
    engine_ = create_engine(DRIVER, **_options(url, pool_size))
    Sessions({**_SESSION, TENANT: EVERYBODY}).serve(engine_)
    return engine_


def make_tenant_engine(url: str) -> Engine:
    """Make an engine whose sessions see one organization at a time: row-level security is the second wall."""
    engine_ = create_engine(DRIVER, **{**_options(url, TENANT_CONNECTIONS + KEY_CONNECTIONS), "max_overflow": 0})
    Sessions(_OF_REQUESTS).serve(engine_)
    return engine_


def make_look_up_engine(url: str) -> AsyncEngine:
    """Make an engine for look-ups on the event loop, whose sessions see one organization at a time.

    It does not ping a connection before its use, which would be a round trip more. Whoever uses it tries again.
    """
    options = {**_options(url, LOOK_UP_CONNECTIONS), "pool_pre_ping": False, "max_overflow": 0}
    engine_ = create_async_engine(DRIVER, **options)
    Sessions(_OF_LOOK_UPS).serve(engine_.sync_engine)
    return engine_


class Tx(NamedTuple):
    """An open transaction, and the organization that it is about."""

    conn: Connection
    organization_id: UUID

    def run(
        self, statement: TextClause, parameters: Mapping[str, Any] = MappingProxyType({})
    ) -> CursorResult[*tuple[Any, ...]]:
        """Execute a statement, with the organization as ``:organization_id``."""
        return self.conn.execute(statement, {"organization_id": self.organization_id, **parameters})


def enter(tx: Tx) -> datetime:
    """Scope the rest of a transaction to its organization; return the time of the database's clock."""
    return tx.run(_ENTER).scalar_one()  # type: ignore[no-any-return]


def make_ingest_engine(url: str) -> AsyncEngine:
    """Make the engine of the webhook route: on the event loop, each statement in a transaction of its own.

    Statements run through ``AsyncConnection.run_sync``. A single statement keeps a batch, so BEGIN, COMMIT and a ping
    of the connection would each be a round trip more. Behind a pooler a statement needs a transaction around it, which
    sets what the statement needs; so whoever uses the engine has to commit.
    """
    options = {**_options(url, 2), "pool_pre_ping": False, "isolation_level": "AUTOCOMMIT"}
    engine_ = create_async_engine(DRIVER, **options)
    Sessions({**_SESSION, TENANT: EVERYBODY}).serve(engine_.sync_engine)
    return engine_


def _options(url: str, pool_size: int) -> dict[str, Any]:
    return {
        "pool_size": pool_size,
        "max_overflow": 5,
        "pool_timeout": 3,
        "pool_pre_ping": True,
        "pool_recycle": 1800,
        "json_deserializer": orjson.loads,
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        # Exceptions are printed and logged, so they must not carry contact data.
        "hide_parameters": True,
        "connect_args": {"connect_timeout": 3, **urls.arguments(url), "application_name": sessions.APPLICATION},
    }


def forget_engine() -> None:
    """Drop the engines that a fork inherited, without closing the parent's sockets."""
    for inherited in _engines.values():
        inherited.dispose(close=False)
    _engines.clear()


@contextmanager
def snapshot(on: Engine) -> Iterator[Connection]:
    """Open a read-only transaction that sees one state of the store in all its statements."""
    with on.connect() as conn:
        sessions.begin(conn, _ONE_STATE)
        yield conn


@contextmanager
def tenant_snapshot(organization_id: UUID, on: Engine | None = None) -> Iterator[Tx]:
    """Open a read-only transaction of the API that sees one state of one organization's data.

    ``on`` is the engine of a replica; without it the primary answers.

    One message to the server begins the transaction and scopes it; the driver would send three.
    """
    with (on or tenant_engine()).connect() as conn, scoped_snapshot(conn, organization_id) as tx:
        yield tx


@contextmanager
def scoped_snapshot(conn: Connection, organization_id: UUID) -> Iterator[Tx]:
    """Begin a transaction as ``tenant_snapshot`` does, on a connection of the API."""
    # A message of several statements takes no parameters. A UUID in text is only hexadecimal digits and dashes.
    # If the block raises, the pool rolls back.
    sessions.begin(conn, _ONE_STATE, f"SET LOCAL {TENANT} = '{UUID(int=organization_id.int)}'")
    yield Tx(conn, organization_id)
    conn.commit()  # a rollback would make the driver forget its prepared statements


def check_scope(conn: Connection) -> None:
    """Raise an error if this transaction does not see every organization, before "not found" is taken for an answer.

    The error is one of a database that is away: what was not found may be there. A schema before 0012 raises one, too.
    """
    if run(conn, _SCOPE).one()[0] != EVERYBODY:
        refused = sessions.RefusedError("the database sessions lose their settings: set DATABASE_POOLER=transaction")
        raise OperationalError(None, None, refused, hide_parameters=True)


def run(
    conn: Connection, statement: TextClause, parameters: Mapping[str, Any] = MappingProxyType({})
) -> CursorResult[*tuple[Any, ...]]:
    """Execute a statement that is not about a single organization, or is given it as a parameter."""
    return conn.execute(statement, dict(parameters))


def read_binary(conn: Connection, statement: TextClause, parameters: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Execute a statement and take its rows in the binary format.

    For rows with bodies: in text form each byte takes two characters, which are written and read one by one.
    """
    driver = conn.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the engine's only driver
    try:
        with driver.cursor(binary=True) as cursor:
            return cursor.execute(_compiled(statement, conn.dialect), parameters).fetchall()
    except psycopg.Error as error:  # the driver was used directly, so SQLAlchemy has not wrapped it
        raise DBAPIError.instance(None, None, error, psycopg.Error, hide_parameters=True) from None


@lru_cache(maxsize=64)
def _compiled(statement: TextClause, dialect: Dialect) -> bytes:
    """Return a statement as the driver takes it."""
    return str(statement.compile(dialect=dialect)).encode()


_ARRAY = re.compile(r"CAST\(:(\w+) AS (\w+)\[\]\)")
_IDS = re.compile(r"ANY\(:(\w+)\)")
_TEXTS = re.compile(r"string_to_array\(CAST\(:(\w+) AS text\)")


def sql(statement: str) -> TextClause:
    """Make a statement. A module makes its statements once, when it is imported.

    The types of array parameters come from their casts; a parameter in ``ANY(:ids)`` is an array of UUIDs.
    """
    types: dict[str, TypeEngine[Any]] = {
        name: batch_writer.ArrayOf(kind) for name, kind in _ARRAY.findall(statement) if batch_writer.is_known(kind)
    }
    types |= {name: batch_writer.ArrayOf("uuid") for name in _IDS.findall(statement)}
    types |= {name: batch_writer.Texts() for name in _TEXTS.findall(statement)}
    return text(statement).bindparams(*(bindparam(name, type_=type_) for name, type_ in types.items()))


_ONE_STATE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_SCOPE = sql(f"SELECT current_setting('{TENANT}', true), EXISTS (SELECT FROM connections)")
_ENTER = sql(f"""
    SELECT clock_timestamp() FROM set_config('{TENANT}', CAST(CAST(:organization_id AS uuid) AS text), true)
""")


def json(value: Any) -> str:
    """Write JSON for a parameter."""
    return batch_writer.json_bytes(value).decode()
