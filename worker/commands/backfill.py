"""Commands about runs: start reading a provider, watch and cancel."""

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from worker import ids
from worker.commands.connections import ConnectionId, find
from worker.commands.context import DataDir, Json, Organization, database, find_stack, organization_id, show
from worker.commands.groups import group
from worker.errors import ConfigError
from worker.shown import console, plain

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.store.runs import RunRow

app = group("Backfill: read what a provider has, as much as was missed or all of it.")

_REFRESH_S = 0.5  #: pause between two looks at a run

RunId = Annotated[str, typer.Argument(help="run_…")]


class Kind(StrEnum):
    """Which customers a run reads."""

    full = "full"
    increment = "increment"
    reconcile = "reconcile"


@app.command("start")
def start(
    connection_id: ConnectionId,
    kind: Annotated[Kind, typer.Option(help="All customers; those changed since; or compare and repair.")] = Kind.full,
    since: Annotated[str | None, typer.Option(help="Of an increment: ISO 8601; default: where the last ended.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Remove customers even if many are gone.")] = False,
    watch_: Annotated[bool, typer.Option("--watch", help="Show its progress until it ends.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Begin to read a connection's provider; the workers do it."""
    from worker.backfill import slices
    from worker.inbox.nudge import READING, publish_once
    from worker.store import runs
    from worker.store.db import Tx

    moment = None if since is None else _moment(since)
    if moment is not None and kind is not Kind.increment:
        raise ConfigError("--since goes with --kind increment only")
    if confirm and kind is not Kind.reconcile:
        raise ConfigError("--confirm goes with --kind reconcile only: no other run removes customers")
    with database(data_dir) as conn:
        connection = find(conn, organization, connection_id)
        id_ = slices.start(conn, connection, kind.value, since=moment, is_dry=dry_run, is_confirmed=confirm)
        if id_ is None:
            under_way = runs.running(Tx(conn, connection.organization_id), connection.id, kind.value)
            shown = "" if under_way is None else f": {ids.show(ids.RUN, under_way.id)}"
            raise ConfigError(f"a run of this kind is already running{shown}; see `backfill status`, or cancel it")
    publish_once(READING)
    run_id = ids.show(ids.RUN, id_)
    if watch_ and not as_json:
        watch(run_id, organization, data_dir)
    else:
        show(as_json, {"run_id": run_id})


@app.command("status")
def status(
    run_id: RunId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """Show what a run has done."""
    with database(data_dir) as conn:
        row = _run(conn, organization, run_id)
    show(as_json, described(row))


@app.command("list")
def list_runs(
    connection_id: Annotated[str | None, typer.Argument(help="con_…; without it, of all connections.")] = None,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """List the newest runs."""
    from worker.store import runs
    from worker.store.db import Tx

    with database(data_dir) as conn:
        id_ = None if connection_id is None else find(conn, organization, connection_id).id
        rows = runs.latest(Tx(conn, organization_id(conn, organization)), id_, 50)
    show(as_json, [described(row) for row in rows])


@app.command("watch")
def watch(run_id: RunId, organization: Organization = "default", data_dir: DataDir = None) -> None:
    """Follow a run until it ends: progress, rate, remaining time, waits for the provider."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from worker.store import db

    find_stack(data_dir)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:>7}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[waits]}", markup=False),
    )
    with Progress(*columns, console=console()) as progress:
        bar = progress.add_task("starting", total=None, rate="", waits="")
        began, first = time.monotonic(), -1
        while True:
            with db.engine().connect() as conn:
                row = _run(conn, organization, run_id)
            worked_off = row.changed + row.unchanged + row.parked
            first = worked_off if first < 0 else first
            rate = (worked_off - first) / max(0.001, time.monotonic() - began)
            progress.update(
                bar,
                description=f"{row.kind} {row.phase if row.state == 'running' else row.state}",
                total=row.expected or (row.read if row.phase == "draining" else None),
                completed=worked_off,
                rate=f"{rate:,.0f}",
                waits=_waits(row),
            )
            if row.state != "running":
                break
            time.sleep(_REFRESH_S)
    show(as_json=False, found=described(row))
    if row.state != "done":
        raise ConfigError(row.error or f"the run was {row.state}")


@app.command("cancel")
def cancel(
    run_id: RunId, organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False
) -> None:
    """End a run where it stands; what it has read stays."""
    from worker.store import runs

    with database(data_dir) as conn:
        row = _run(conn, organization, run_id)
        if not runs.end(conn, row, "cancelled", "cancelled by the operator"):
            raise ConfigError(f"{run_id} has ended already: {row.state}")
    show(as_json, {"run_id": run_id, "state": "cancelled"})


def described(row: "RunRow") -> dict[str, Any]:
    """Return a run as the output document of the commands."""
    from worker.backfill import reconcile

    shown: dict[str, Any] = {
        "run_id": ids.show(ids.RUN, row.id),
        "connection_id": ids.show(ids.CONNECTION, row.connection_id),
        "kind": row.kind,
        "state": row.state,
        "phase": row.phase if row.state == "running" else None,
        "read": row.read,
        "changed": row.changed,
        "unchanged": row.unchanged,
        "parked": row.parked,
        "expected": row.expected,
        "error": row.error,
        "waited_s": round(row.waited_s, 1),
        "since": row.since,
        "created_at": row.created_at,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
    }
    if row.is_dry:
        shown["dry_run"] = dict(row.report)
    elif (report := reconcile.report(row)) is not None:
        shown["report"] = report
    return shown


def _waits(row: "RunRow") -> str:
    if row.error is not None and row.state == "running":
        return f"waits: {plain(row.error)}"
    return f"waited {row.waited_s:,.0f} s for the provider" if row.waited_s >= 1 else ""


def _run(conn: "Connection", organization: str, shown_id: str) -> "RunRow":
    from worker.store import runs
    from worker.store.db import Tx

    id_: UUID | None = ids.parse(ids.RUN, shown_id)
    row = None if id_ is None else runs.by_id(Tx(conn, organization_id(conn, organization)), id_)
    if row is None:
        raise ConfigError(f"no run {shown_id} in organization {organization!r}")
    return row


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--since: expected a date and time such as 2026-11-01T00:00:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
