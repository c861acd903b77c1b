"""The command line: start the stack, set up connections and keys, see what happens, put it right.

Every command finds its stack by ``--data-dir``, else by DATABASE_URL and REDIS_URL, else in ``.contactsync``.
With ``--json`` a command prints one JSON document and nothing else on stdout.
"""

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from sqlalchemy.exc import OperationalError, ProgrammingError

from worker import settings
from worker.commands import (
    backfill,
    channels,
    connections,
    connectors,
    importing,
    keys,
    operations,
    organizations,
    schedules,
)
from worker.commands.context import DEFAULT_DATA_DIR, DataDir, find_stack
from worker.errors import SyncError
from worker.stack.supervisor import Stack, Supervisor

# What only one command needs is imported there: an operator's `status` should not wait for Alembic to load.
# Locals and payloads must not be printed with a traceback.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)


def main() -> NoReturn:
    """Run a command; what the operator can put right is said in one line."""
    try:
        app()
    except SyncError as error:
        _fail(str(error))
    except OperationalError as error:
        _fail(f"the database does not answer: {type(error.orig).__name__}")
    except ProgrammingError:
        _fail("the database is not at this version; run: contactsync migrate")
    sys.exit(0)


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option("--data-dir")] = DEFAULT_DATA_DIR,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Celery pool processes.")] = 2,
) -> None:
    """Run everything on this machine until SIGTERM; what is missing (Postgres, broker) is embedded."""
    supervisor = Supervisor(data_dir, port, workers)

    def say(running: Stack) -> None:
        print(f"contactsync is up: {running['url']}  (data in {data_dir}, logs in {data_dir / 'logs'})", flush=True)

    sys.exit(supervisor.run(on_ready=say))


@app.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End when everything has been shown.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Play a simulated shop against a real stack and show what becomes of it."""
    from worker.stack import demo as demonstration  # noqa: PLC0415 - see above

    sys.exit(demonstration.run(port, stay=not exit_))


@app.command(name="migrate")
def migrate_(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema."""
    from worker.store import migrate  # noqa: PLC0415 - see above

    find_stack(data_dir)
    migrate.upgrade(settings.settings().database_url)


app.add_typer(operations.app)
app.add_typer(importing.app)
app.add_typer(organizations.app, name="organizations")
app.add_typer(keys.app, name="keys")
app.add_typer(connections.app, name="connections")
app.add_typer(channels.app, name="channels")
app.add_typer(backfill.app, name="backfill")
app.add_typer(schedules.app, name="schedules")
app.add_typer(connectors.app, name="connectors")


def _fail(message: str) -> NoReturn:
    print(f"contactsync: {message}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
