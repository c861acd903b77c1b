"""Commands for who operates a stack: what happens in it, and putting it right."""

import sys
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console

from worker import status
from worker.commands.context import DataDir, Json, Organization, database, organization_id, show
from worker.errors import ConfigError
from worker.store import db
from worker.store.db import Tx


class Format(StrEnum):
    """What an export is written as."""

    CANONICAL = "canonical"
    JSONL = "jsonl"
    CSV = "csv"


#: without a name: its commands stand beside the groups
app = typer.Typer()


@app.command(name="status")
def status_(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """Show the queue, the connections and what is due."""
    with database(data_dir) as conn:
        found = status.status(Tx(conn, organization_id(conn, organization)))
    if as_json:
        show(as_json, found)
    else:
        status.show(Console(), found)


@app.command()
def parked(organization: Organization = "default", data_dir: DataDir = None, as_json: Json = False) -> None:
    """List the envelopes that were set aside, with the reason."""
    with database(data_dir) as conn:
        rows = status.parked(Tx(conn, organization_id(conn, organization)))
    show(as_json, rows)


@app.command()
def replay(
    envelope_id: Annotated[str | None, typer.Argument(help="env_…")] = None,
    parked_: Annotated[bool, typer.Option("--parked", help="All parked envelopes.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Read envelopes again, under today's connectors; what they had stated is withdrawn first."""
    if (envelope_id is None) == (not parked_):
        raise ConfigError("give one envelope id, or --parked")
    with database(data_dir) as conn:
        replayed = status.replay(Tx(conn, organization_id(conn, organization)), envelope_id)
    status.nudge_all()
    show(as_json, {"replayed": len(replayed)})


@app.command()
def export(
    format_: Annotated[Format | None, typer.Option("--format", help="canonical if it is not given.")] = None,
    canonical: Annotated[bool, typer.Option("--canonical", help="The same as --format canonical.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With csv: no apostrophe before formulas; for programs.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
) -> None:
    """Print every contact: canonical (equal stores print equal bytes), as jsonl (as the API shows them), or as csv."""
    from worker.files import export_csv  # noqa: PLC0415
    from worker.files import export_json as exporting  # noqa: PLC0415 - only this command needs them

    if canonical and format_ not in (None, Format.CANONICAL):
        raise ConfigError("--canonical and --format name two forms; give one of them")
    if raw and format_ is not Format.CSV:
        raise ConfigError("--raw goes with --format csv: no other form is changed for spreadsheets")
    with database(data_dir) as conn:
        id_ = organization_id(conn, organization)
    with db.snapshot(db.engine()) as conn:
        if format_ is Format.CSV:
            lines = export_csv.lines(Tx(conn, id_), is_raw=raw)
        else:
            lines = exporting.jsonl(Tx(conn, id_)) if format_ is Format.JSONL else exporting.canonical(Tx(conn, id_))
        for line in lines:
            sys.stdout.buffer.write(line)
