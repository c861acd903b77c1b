"""What every command shares: its options, the stack it speaks to, whose data it is about, and how it answers."""

import os
import sys
from collections.abc import Iterator
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
    """Make a group of commands."""
    return typer.Typer(no_args_is_help=True, help=help_)


def find_stack(data_dir: Path | None) -> None:
    """Point this process at a stack; raises ConfigError with what to do if there is none."""
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
    """Open the one transaction of a command."""
    find_stack(data_dir)
    return db.engine().begin()


@contextmanager
def transaction(data_dir: Path | None, organization: str) -> Iterator[Tx]:
    """Open the one transaction of a command, about an organization; raises ConfigError if there is none."""
    with database(data_dir) as conn:
        yield Tx(conn, organization_id(conn, organization))


def organization_id(conn: Connection, name: str) -> UUID:
    """Find an organization by name; raises ConfigError if there is none. The default one is made on first use."""
    found = organizations.find(conn, name)
    if found is None and name == "default":
        return organizations.ensure(conn, name)
    if found is None:
        raise ConfigError(f"no organization {name!r}; it comes with its first connection or key")
    return found


def country(option: str, text: str) -> str:
    """Read the country that an option names, for phone numbers in national form."""
    if not (len(text) == 2 and text.isalpha() and text.isascii()):
        raise ConfigError(f"{option}: expected two letters (ISO 3166-1), e.g. ID")
    return text.upper()


def show(as_json: bool, found: Any) -> None:
    """Print what a command found: one JSON document, or a table for people."""
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
