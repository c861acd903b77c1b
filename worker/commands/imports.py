"""`import`: the customers in a file become a source of their own."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table as Shown

from connectors import files
from worker.commands.context import DataDir, Json, Organization, country, database, show
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError
from worker.files import column_guess, importing
from worker.files.importing import File, Imported
from worker.files.rejects import Rejects
from worker.files.tabular import Table, open_table
from worker.store import db, organizations

#: added without a name, so that its command stands beside the groups
app = typer.Typer()


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="CSV or JSONL, packed by gzip or not.")],
    source: Annotated[str, typer.Option(help="Name of the source that the file speaks for, such as crm.")],
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="NAME=COLUMN, as email=E-mail; without any, columns are guessed.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The time the file speaks for; default: when it was last changed.")
    ] = None,
    empty_clears: Annotated[
        bool, typer.Option("--empty-clears", help="An empty cell says that there is none; else it says nothing.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="Country of numbers in national form: ID, US, …")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave an apostrophe before = + - @ where it is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take the guessed columns without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Import customers from a file; rows that cannot be read are listed beside it, with the reason."""
    name = source.strip()
    if not name or name == API_SOURCE:
        raise ConfigError("--source: expected a name of its own, such as crm")
    home = None if region is None else country("--region", region)
    with open_table(file, unguards=not raw) as table:
        mapping = _mapping(table, map_, is_agreed=yes, as_json=as_json)
        known = table.columns if table.format == "csv" else None
        if wrong := files.problems(mapping, known):
            raise ConfigError("--map: " + "; ".join(wrong))
        speaks_for = _as_of(file, as_of)
        with database(data_dir) as conn:
            organization_id = organizations.ensure(conn, organization)
        console = Console(stderr=True)
        with Rejects(file) as rejects, console.status("reading", spinner="dots") as status:

            def progress(so_far: Imported) -> None:
                status.update(f"{so_far.read:,} rows read, {so_far.changed:,} changed, {so_far.rejected:,} rejected")

            done = importing.import_rows(
                db.engine(),
                organization_id,
                name,
                File(mapping=mapping, as_of=speaks_for, empty_is_none=empty_clears),
                table.rows(),
                region=home,
                is_dry=dry_run,
                reject=lambda row, reason: rejects.add(row.number, reason, row.raw),
                on_progress=progress,
            )
        notes = list(table.notes)
    found: dict[str, Any] = {
        "read": done.read,
        "changed": done.changed,
        "unchanged": done.unchanged,
        "rejected": done.rejected,
        "as_of": speaks_for,
    }
    if rejects.count:
        found["rejects_file"] = str(rejects.path)
    if dry_run:
        found["dry_run"] = done.report
    if notes:
        found["notes"] = notes
    show(as_json, found)


def _mapping(table: Table, given: list[str] | None, *, is_agreed: bool, as_json: bool) -> dict[str, str]:
    """Return the mapping from ``--map``, or a guess that the operator has confirmed.

    ``is_agreed`` confirms in advance. Raises ConfigError with the guess if nobody is there to confirm it.
    """
    if given:
        mapping: dict[str, str] = {}
        for one in given:
            ours, equals, column = one.partition("=")
            if not ours.strip() or not equals or not column:
                raise ConfigError("--map: expected NAME=COLUMN, such as email=E-mail")
            if ours.strip() in mapping:
                raise ConfigError(f"--map: {ours.strip()} is given twice")
            mapping[ours.strip()] = column
        return mapping
    guessed = column_guess.guess(table.columns, table.sample)
    if is_agreed and guessed:
        return guessed
    if not guessed:
        raise ConfigError("no column looks like an e-mail, a phone or an id; name them with --map NAME=COLUMN")
    options = " ".join(f"--map '{ours}={column}'" for ours, column in guessed.items())
    if as_json or not sys.stdin.isatty():
        raise ConfigError(f"which column is which? This guess looks right; confirm it with --yes, or give: {options}")
    shown = Shown("name", "column", "first value", title="These columns look right", box=None)
    first = table.sample[0] if table.sample else {}
    for ours, column in guessed.items():
        shown.add_row(ours, column, str(first.get(column, ""))[:40])
    Console().print(shown)
    if not typer.confirm("Import them so?"):
        raise ConfigError(f"nothing was imported; give the columns yourself: {options}")
    return guessed


def _as_of(file: Path, given: str | None) -> datetime:
    """Return the time of a file: ``--as-of``, or when the file was last changed.

    Never later than now, because the file would win over later updates from elsewhere.
    """
    now = datetime.now(UTC)
    if given is None:
        return min(now, datetime.fromtimestamp(file.stat().st_mtime, UTC))
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ConfigError("--as-of: expected a date and time such as 2026-11-01T00:00:00Z") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    if moment > now:
        raise ConfigError("--as-of: lies in the future")
    return moment
