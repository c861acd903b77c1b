"""`import`: the customers in a file become a source of their own."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker import ids
from worker.commands.context import DataDir, Json, Organization, country, database, organization_id, pairs, show
from worker.commands.groups import Commands
from worker.commands.tables import print_tables
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError

if TYPE_CHECKING:
    from worker.files.importing import Imported
    from worker.files.tabular import Table

app = Commands()


@app.command("import")
def import_(
    file: Annotated[
        Path | None, typer.Argument(help="CSV, JSONL or vCard (.vcf), packed by gzip or not.", show_default=False)
    ] = None,
    source: Annotated[str, typer.Option(help="Name of the source that the file speaks for, such as crm.")] = "",
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="NAME=COLUMN, as email=E-mail; without any, columns are guessed.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE, as email_consent=opted_out: what all rows say."),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="The time the file speaks for; default: when it was last changed.")
    ] = None,
    empty_clears: Annotated[
        bool, typer.Option("--empty-clears", help="An empty cell says that there is none; else it says nothing.")
    ] = False,
    keep_null_words: Annotated[
        bool, typer.Option("--keep-null-words", help="NULL, \\N and #N/A are words like others; else empty cells.")
    ] = False,
    region: Annotated[str | None, typer.Option(help="Country of numbers in national form: ID, US, …")] = None,
    encoding: Annotated[
        str | None, typer.Option(help="Of a file that is not UTF-8: cp1252, cp1250, cp1251, cp932, gbk, …")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Leave an apostrophe before = + - @ where it is.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Take the guessed columns without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    undo: Annotated[str | None, typer.Option(help="run_…: take back what an import stated; needs no file.")] = None,
    organization: Organization = "default",
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Import customers from a file; rows that cannot be read are listed beside it, with the reason."""
    from rich.console import Console

    from connectors import files
    from worker.files import importing
    from worker.files.importing import File
    from worker.files.rejects import Rejects
    from worker.files.tabular import open_table
    from worker.store import db, organizations

    if undo is not None:
        _undo(undo, organization, data_dir, as_json=as_json)
        return
    name = source.strip()
    if file is None:
        raise ConfigError("give a file, or --undo with the import to take back")
    if not name or name == API_SOURCE:
        raise ConfigError("--source: expected a name of its own, such as crm")
    home = None if region is None else country("--region", region)
    with open_table(file, unguards=not raw, encoding=encoding) as table:
        taken_for, mapping, fixed = _mapping(table, map_, pairs("--set", set_), is_agreed=yes, as_json=as_json)
        known = table.columns if table.format == "csv" else None
        if wrong := files.problems(mapping, known, fixed):
            raise ConfigError("--map: " + "; ".join(wrong))
        speaks_for = _as_of(file, as_of)
        with database(data_dir) as conn:
            organization_id_ = organizations.ensure(conn, organization)
        console = Console(stderr=True)
        with Rejects(file) as rejects, console.status("reading", spinner="dots") as status:

            def progress(so_far: "Imported") -> None:
                status.update(f"{so_far.read:,} rows read, {so_far.changed:,} changed, {so_far.rejected:,} rejected")

            done = importing.import_rows(
                db.engine(),
                organization_id_,
                name,
                File(
                    mapping=mapping,
                    as_of=speaks_for,
                    empty_is_none=empty_clears,
                    fixed=fixed,
                    keeps_null_words=keep_null_words or table.is_ours,
                ),
                table.rows(),
                region=home,
                is_dry=dry_run,
                reject=lambda row, reason: rejects.add(row.number, reason, row.raw),
                on_progress=progress,
            )
        notes = list(table.notes)
    found = _result(done, speaks_for, taken_for)
    if rejects.count:
        found["rejects_file"] = str(rejects.path)
    if dry_run:
        found["dry_run"] = done.report
    if notes:
        found["notes"] = notes
    show(as_json, found)


def _result(done: "Imported", speaks_for: datetime, taken_for: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "read": done.read,
        "changed": done.changed,
        "unchanged": done.unchanged,
        "rejected": done.rejected,
        "as_of": speaks_for,
    }
    if taken_for is not None:
        found["taken_for"] = taken_for
    if done.run_id is not None:
        found["run_id"] = ids.show(ids.RUN, done.run_id)
    if unread := done.unread.report():
        found["unread"] = unread
    return found


def _undo(shown_id: str, organization: str, data_dir: Path | None, *, as_json: bool) -> None:
    from worker.files import importing
    from worker.store import db

    run_id = ids.parse(ids.RUN, shown_id)
    if run_id is None:
        raise ConfigError("--undo: expected the id of an import, run_…")
    with database(data_dir) as conn:
        found = organization_id(conn, organization)
    show(as_json, {"undone": importing.undo(db.engine(), found, run_id)})


def _mapping(
    table: "Table", given: list[str] | None, fixed: dict[str, str], *, is_agreed: bool, as_json: bool
) -> tuple[str | None, dict[str, str], dict[str, str]]:
    """Return the name of the known export (None if it is none), the mapping, and the values of ``--set``.

    The mapping is that of ``--map``, or a guess that the operator has confirmed. ``is_agreed`` confirms in advance.
    Raises ConfigError with the guess if nobody is there to confirm it.
    """
    from worker.files import column_guess, known_exports, vcard

    if given:
        return None, pairs("--map", given), fixed
    known = known_exports.recognise(table.columns) if table.format == "csv" else None
    if known is not None:
        taken_for, guessed, fixed = known.name, dict(known.mapping), {**known.fixed, **fixed}
    elif table.format == "vcard":
        taken_for, guessed = "vCard", _filled(vcard.MAPPING, table)
    else:
        taken_for, guessed = None, column_guess.guess(table.columns, table.sample)
    guessed = {ours: column for ours, column in guessed.items() if ours not in fixed}
    if is_agreed and guessed:
        return taken_for, guessed, fixed
    if not guessed:
        raise ConfigError("no column looks like an e-mail, a phone or an id; name them with --map NAME=COLUMN")
    options = " ".join(
        [f"--map '{ours}={column}'" for ours, column in guessed.items()]
        + [f"--set '{ours}={value}'" for ours, value in fixed.items()]
    )
    looks = "This guess looks right" if taken_for is None else f"This is taken for {taken_for}"
    if as_json or not sys.stdin.isatty():
        raise ConfigError(f"which column is which? {looks}; confirm it with --yes, or give: {options}")
    first = table.sample[0] if table.sample else {}
    shown = [
        {"name": ours, "column": column, "first value": str(first.get(column, ""))[:40]}
        for ours, column in guessed.items()
    ]
    print(f"{looks}; is it so?")
    print_tables(shown + [{"name": ours, "column": "(all rows)", "first value": said} for ours, said in fixed.items()])
    if not typer.confirm("Import them so?"):
        raise ConfigError(f"nothing was imported; give the columns yourself: {options}")
    return taken_for, guessed, fixed


def _filled(mapping: Mapping[str, str], table: "Table") -> dict[str, str]:
    """Drop the column of ids from a mapping if a row has none: the rows are then known by their e-mails."""
    has_ids = bool(table.sample) and all(row.get(mapping["external_id"]) for row in table.sample)
    return {ours: column for ours, column in mapping.items() if has_ids or ours != "external_id"}


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
