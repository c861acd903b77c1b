"""Commands about connectors: list them, and check one with the conformance suite."""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.commands.context import Json, show
from worker.commands.groups import group
from worker.errors import ConfigError
from worker.shown import plain

if TYPE_CHECKING:
    from connectors import Origin
    from connectors.contract import Connector

app = group("Connectors: what translates a provider's webhooks and pages.")


@app.command("list")
def list_connectors(as_json: Json = False) -> None:
    """List the connectors, ours and those of installed packages, also ones that cannot be imported."""
    from connectors import origins

    found: list[dict[str, Any]] = []
    taken: dict[str, str] = {}
    for origin in origins():
        row: dict[str, Any] = {"name": origin.name, "package": origin.package}
        row |= {"webhooks": None, "reads": None, "subscribes": None, "error": None}
        if origin.name in taken:
            row["error"] = f"the name is taken by {taken[origin.name]}"
        else:
            taken[origin.name] = origin.package
            try:
                row |= _offers(_import(origin))
            except ConfigError as error:
                row["error"] = str(error)
        found.append(row)
    show(as_json, found)


@app.command("check")
def check(name: Annotated[str, typer.Argument(help="As `connectors list` shows it.")], as_json: Json = False) -> None:
    """Run the conformance suite over a connector, by its own examples; exits with 1 if a check fails."""
    from connectors import ENTRY_POINTS, conformance, origins

    origin = next((origin for origin in origins() if origin.name == name), None)
    if origin is None:
        known = ", ".join(sorted({origin.name for origin in origins()}))
        raise ConfigError(
            f"no connector {name!r}; known: {known}. A package offers one with an entry point in its pyproject.toml, "
            f'and has to be installed beside contactsync: [project.entry-points."{ENTRY_POINTS}"] {name} = "its.module"'
        )
    findings = conformance.check(conformance.subject_of(_import(origin), registered=name))
    count = Counter(finding.state for finding in findings)
    if as_json:
        passed = not count["failed"]
        show(as_json, {"connector": name, "passed": passed, "checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            print(f"{finding.state:<12} {finding.check}{finding.reason and f': {plain(finding.reason)}'}")
        print(f"{name}: {count['passed']} passed, {count['failed']} failed, {count['not checked']} not checked")
    if count["failed"]:
        raise typer.Exit(1)


def _import(origin: "Origin") -> "Connector":
    """Import a connector; any failure of another package becomes a ConfigError of one line."""
    from connectors import connector

    try:
        return connector(origin.name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a module of another package may raise anything
        raise ConfigError(
            f"{origin.name}: {origin.package} cannot be imported: {type(error).__name__}: {error}"
        ) from None


def _offers(found: "Connector") -> dict[str, bool]:
    return {
        "webhooks": bool(getattr(found, "WEBHOOKS", True)),
        "reads": callable(getattr(found, "read", None)),
        "subscribes": callable(getattr(found, "subscribe", None)),
    }
