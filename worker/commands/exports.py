"""`export`: print every contact to stdout."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from worker.commands.context import DataDir, Organization, database, organization_id
from worker.commands.groups import Commands
from worker.errors import ConfigError

app = Commands()


class Format(StrEnum):
    """The format of an export."""

    CANONICAL = "canonical"
    JSONL = "jsonl"
    CSV = "csv"


@app.command()
def export(
    format_: Annotated[Format | None, typer.Option("--format", help="canonical if it is not given.")] = None,
    canonical: Annotated[bool, typer.Option("--canonical", help="The same as --format canonical.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="With csv: no apostrophe before formulas; for programs.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
) -> None:
    """Print every contact: canonical (equal stores print equal bytes), as jsonl (as the API shows them), or as csv."""
    from worker.files import export_csv, export_json
    from worker.store import db
    from worker.store.db import Tx

    if canonical and format_ not in (None, Format.CANONICAL):
        raise ConfigError("--canonical and --format name two formats; give one of them")
    if raw and format_ is not Format.CSV:
        raise ConfigError("--raw goes with --format csv: no other format gets apostrophes")
    with database(data_dir) as conn:
        id_ = organization_id(conn, organization)
    with db.snapshot(db.engine()) as conn:
        tx = Tx(conn, id_)
        if format_ is Format.CSV:
            lines = export_csv.lines(tx, is_raw=raw)
        else:
            lines = export_json.jsonl(tx) if format_ is Format.JSONL else export_json.canonical(tx)
        for line in lines:
            sys.stdout.buffer.write(line)
