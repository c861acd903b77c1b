"""`upgrade`: bring what an earlier release stored to the rules of this one."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.context import DataDir, Json, database, organization_id, show
from worker.commands.groups import Commands
from worker.errors import ConfigError

if TYPE_CHECKING:
    from worker.upgrade.report import Report

app = Commands()


@app.command()
def upgrade(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would change, and change nothing.")] = False,
    apply_: Annotated[bool, typer.Option("--apply", help="Do it. Stop the workers first.")] = False,
    organization: Annotated[str | None, typer.Option("--organization", help="Only this one; else all.")] = None,
    examples: Annotated[int, typer.Option("--examples", min=0, help="Ids to print of each kind.")] = 10,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Group all contacts again, by the rules of this release. Run it once, after `migrate`. After a stop it goes on."""
    from worker.store import db, upgrades
    from worker.upgrade.regroup import regroup

    if dry_run == apply_:
        raise ConfigError("give --dry-run or --apply")
    with database(data_dir) as conn:
        names = upgrades.due(conn)
        if organization is not None:
            organization_id(conn, organization)
            names = [name for name in names if name == organization]
        ids = {name: organization_id(conn, name) for name in names}

    def tell(report: "Report") -> None:
        if sys.stderr.isatty():
            print(f"\r{report.records:,} records", end="", file=sys.stderr, flush=True)

    found = []
    for name, id_ in ids.items():
        report = regroup(db.engine(), id_, is_dry=dry_run, most_examples=examples, tell=tell)
        if report is not None and as_json:
            found.append({"organization": name, **report.shown()})
        elif report is not None:
            _show(name, report)
    if as_json:
        show(as_json, found)
    elif not ids:
        print("nothing to do: all contacts follow the rules of this release")


def _show(organization: str, report: "Report") -> None:
    """Print a report for a person."""
    print(f"{organization}: {report.records:,} records of {report.contacts:,} contacts")
    for kind, count, meaning in report.rows():
        print(f"  {kind:<6}{count:>10,}  {meaning}")
        for example in report.examples[kind]:
            print(f"{'':20}{_text(example)}")


def _text(example: Any) -> str:
    if isinstance(example, dict):
        rest = example.get("on")
        return f"{example['contact_id']} ({', '.join(rest)})" if rest else str(example["contact_id"])
    return " + ".join(example) if isinstance(example, list) else str(example)
