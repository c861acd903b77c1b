"""Shared by all commands: common options, finding the stack and the organization, and printing the result."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy import Connection

from connectors.countries import code_of
from worker import settings
from worker.errors import ConfigError
from worker.stack.supervisor import secret_key, stack
from worker.store import db, organizations
from worker.store.db import Tx

DEFAULT_DATA_DIR = Path(".contactsync")

DataDir = Annotated[Path | None, typer.Option("--data-dir", help="Directory of a stack started with `up`.")]
Organization = Annotated[str, typer.Option("--organization", help="Whose data.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def group(help_: str) -> typer.Typer:
    """Return a new group of commands."""
    return typer.Typer(no_args_is_help=True, help=help_)


def find_stack(data_dir: Path | None) -> None:
    """Set the settings of this process to those of a stack.

    ``data_dir`` comes first, then DATABASE_URL, then ``.contactsync``. Raises ConfigError, which says what to do, if
    no stack runs there.
    """
    if data_dir is None and os.environ.get("DATABASE_URL"):
        if (DEFAULT_DATA_DIR / "secret.key").exists():
            os.environ.setdefault("CONTACTSYNC_SECRET_KEYS", secret_key(DEFAULT_DATA_DIR))
        settings.reload()
        return
    directory = data_dir or DEFAULT_DATA_DIR
    running = stack(directory)
    if running is None:
        raise ConfigError(
            f"no stack is running in {directory}: start one with `contactsync up --data-dir {directory}`, "
            "or set DATABASE_URL and REDIS_URL"
        )
    os.environ["DATABASE_URL"], os.environ["REDIS_URL"] = running["database_url"], running["redis_url"]
    os.environ.setdefault("PUBLIC_URL", running["url"])
    if not os.environ.get("CONTACTSYNC_SECRET_KEYS"):
        os.environ["CONTACTSYNC_SECRET_KEYS"] = secret_key(directory)
    settings.reload()


def database(data_dir: Path | None) -> Any:
    """Open the one transaction of a command, as a context manager that yields a Connection."""
    find_stack(data_dir)
    return db.engine().begin()


@contextmanager
def transaction(data_dir: Path | None, organization: str) -> Iterator[Tx]:
    """Open the one transaction of a command for an organization; raises ConfigError if it does not exist."""
    with database(data_dir) as conn:
        yield Tx(conn, organization_id(conn, organization))


def organization_id(conn: Connection, name: str) -> UUID:
    """Return the id of an organization; raises ConfigError if there is none. The first use creates ``default``."""
    found = organizations.find(conn, name)
    if found is None and name == "default":
        return organizations.ensure(conn, name)
    if found is None:
        raise ConfigError(f"no organization {name!r}; it comes with its first connection or key")
    return found


def country(option: str, text: str) -> str:
    """Return the code of a country that is given by code or name; ``option`` is named in the ConfigError."""
    code = code_of(text)
    if code is None:
        raise ConfigError(f"{option}: expected a country, e.g. ID, IDN or Indonesia")
    return code


def show(as_json: bool, found: Any) -> None:
    """Print the result of a command: one JSON document, or a table with a row for each item."""
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z) + b"\n")
        return
    rows = found if isinstance(found, list) else [found]
    if not rows:
        print("none")
        return
    table = Table(*(str(name) for name in rows[0]), box=None)
    for row in rows:
        table.add_row(*("" if value is None else escape(str(value)) for value in row.values()))
    Console(soft_wrap=True).print(table)


def pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    """Parse NAME=VALUE options; raises ConfigError, without the value, for anything else and for a second value."""
    found: dict[str, str] = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        name = name.strip()
        if not name or not equals or not value:
            raise ConfigError(f"{option}: expected NAME=VALUE")
        if name in found:
            raise ConfigError(f"{option}: {name} is given twice")
        found[name] = value
    return found
