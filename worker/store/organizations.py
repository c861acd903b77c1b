"""Organizations: the tenants that everything else belongs to."""

from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store.db import run, sql

_ENSURE = sql("INSERT INTO organizations (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING")
_BY_NAME = sql("SELECT id FROM organizations WHERE name = :name")


def ensure(conn: Connection, name: str) -> UUID:
    """Return the organization of that name, made on first use."""
    run(conn, _ENSURE, {"id": ids.new(), "name": name})
    return UUID(str(run(conn, _BY_NAME, {"name": name}).scalar_one()))


def find(conn: Connection, name: str) -> UUID | None:
    """Return the organization of that name, if there is one."""
    found = run(conn, _BY_NAME, {"name": name}).scalar_one_or_none()
    return None if found is None else UUID(str(found))
