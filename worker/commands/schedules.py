"""Commands about schedules: how often each connection is read."""

import re
from datetime import timedelta
from typing import Annotated, Any

import typer

from worker import ids
from worker.commands.backfill import Kind
from worker.commands.connections import ConnectionId, find
from worker.commands.context import DataDir, Json, Organization, database, show, transaction
from worker.commands.groups import group
from worker.errors import ConfigError

app = group("Schedules: how often each connection is read.")

_EVERY = re.compile(r"([1-9]\d{0,4})([mhdw])", re.ASCII)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command("list")
def list_schedules(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List what is read how often, and when next."""
    from worker.store import connections, schedules

    with transaction(data_dir, organization) as tx:
        rows = schedules.of_organization(tx)
        known = {row.id: row for row in connections.of_organization(tx)}
    found = []
    for row in rows:
        connection = known.get(row.connection_id)
        if connection is None or connection.state == "removed":
            continue
        state = "paused" if row.is_paused or connection.state == "paused" else "active"
        shown: dict[str, Any] = {
            "connection_id": ids.show(ids.CONNECTION, row.connection_id),
            "source": connection.source,
            "kind": row.kind,
            "every": _shown(row.every),
            "next_run_at": row.next_run_at,
            "state": "revoked" if connection.revoked_at is not None else state,
            "last_run_id": None if row.last_run_id is None else ids.show(ids.RUN, row.last_run_id),
        }
        found.append(shown)
    show(as_json, found)


@app.command("set")
def set_schedule(
    connection_id: ConnectionId,
    kind: Annotated[Kind, typer.Option()],
    every: Annotated[str, typer.Option(help="30m, 1h, 1d, 1w …")],
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read a connection so often, from one period from now on; resumes what was paused."""
    from worker.store import schedules
    from worker.store.db import Tx

    period = _period(every)
    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        if not row.can_be_read:
            raise ConfigError(f"{connection_id} cannot be read: give it credentials with `connections authorize`")
        schedules.ensure(Tx(conn, row.organization_id), row.id, kind.value, period)
    show(as_json, {"connection_id": connection_id, "kind": kind.value, "every": _shown(period)})


@app.command("pause")
def pause(
    connection_id: ConnectionId,
    kind: Annotated[Kind | None, typer.Option(help="Without it, all kinds.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on instead.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Stop reading a connection by schedule; runs under way go on."""
    from worker.store import schedules
    from worker.store.db import Tx

    with database(data_dir) as conn:
        row = find(conn, organization, connection_id)
        only = None if kind is None else kind.value
        count = schedules.pause(Tx(conn, row.organization_id), row.id, only, is_paused=not resume)
    if not count:
        raise ConfigError(f"{connection_id} has no such schedule; `schedules set` makes one")
    show(as_json, {"connection_id": connection_id, "schedules": count, "state": "active" if resume else "paused"})


def _period(text: str) -> timedelta:
    parts = _EVERY.fullmatch(text.strip().lower())
    if parts is None:
        raise ConfigError("--every: expected a number and m, h, d or w, such as 1h")
    return timedelta(**{_UNITS[parts[2]]: int(parts[1])})


def _shown(period: timedelta) -> str:
    minutes = int(period.total_seconds()) // 60
    for unit, size in (("w", 7 * 24 * 60), ("d", 24 * 60), ("h", 60)):
        if minutes % size == 0:
            return f"{minutes // size}{unit}"
    return f"{minutes}m"
