"""Organizations: the tenants that everything else belongs to."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from worker import ids
from worker.store.db import run, sql

_ENSURE = sql("INSERT INTO organizations (id, name) VALUES (:id, :name) ON CONFLICT (name) DO NOTHING")
_BY_NAME = sql("SELECT id FROM organizations WHERE name = :name")
_ALL = sql("SELECT name, region, created_at FROM organizations ORDER BY created_at, name")
_SET_REGION = sql("UPDATE organizations SET region = :region WHERE id = :id")


def ensure(conn: Connection, name: str) -> UUID:
    """Return the organization of that name, made on first use."""
    run(conn, _ENSURE, {"id": ids.new(), "name": name})
    return UUID(str(run(conn, _BY_NAME, {"name": name}).scalar_one()))


def find(conn: Connection, name: str) -> UUID | None:
    """Return the organization of that name, if there is one."""
    found = run(conn, _BY_NAME, {"name": name}).scalar_one_or_none()
    return None if found is None else UUID(str(found))


def every(conn: Connection) -> list[dict[str, Any]]:
    """Read all organizations, oldest first."""
    return [dict(row._mapping) for row in run(conn, _ALL, {})]  # noqa: SLF001 - its documented name


def set_region(conn: Connection, id_: UUID, region: str | None) -> None:
    """Name the country of phone numbers that the API is given in national form; None: there is no default."""
    run(conn, _SET_REGION, {"id": id_, "region": region})
