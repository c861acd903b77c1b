"""Organizations: the tenants, to which all other data belongs."""

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
    """Return the id of the organization of a name; the first call adds it."""
    run(conn, _ENSURE, {"id": ids.new(), "name": name})
    return UUID(str(run(conn, _BY_NAME, {"name": name}).scalar_one()))


def find(conn: Connection, name: str) -> UUID | None:
    """Return the id of the organization of a name; None if there is none."""
    id_ = run(conn, _BY_NAME, {"name": name}).scalar_one_or_none()
    return None if id_ is None else UUID(str(id_))


def every(conn: Connection) -> list[dict[str, Any]]:
    """Load all organizations, oldest first."""
    return [dict(row._mapping) for row in run(conn, _ALL)]  # noqa: SLF001 - its documented name


def set_region(conn: Connection, id_: UUID, region: str | None) -> None:
    """Set the country of phone numbers that the API gets in national form; None means no default."""
    run(conn, _SET_REGION, {"id": id_, "region": region})
