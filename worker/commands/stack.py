"""`up`, `demo` and `migrate`: a stack on this machine, and the schema of its database."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from worker.commands.context import DEFAULT_DATA_DIR, DataDir, find_stack
from worker.commands.groups import Commands

if TYPE_CHECKING:
    from worker.stack.supervisor import Stack

app = Commands()


@app.command()
def up(
    data_dir: Annotated[Path, typer.Option("--data-dir")] = DEFAULT_DATA_DIR,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Celery pool processes.")] = 2,
) -> None:
    """Run everything on this machine until SIGTERM; what is missing (Postgres, broker) is embedded."""
    from worker.stack.supervisor import Supervisor

    supervisor = Supervisor(data_dir, port, workers)

    def say(running: "Stack") -> None:
        print(f"contactsync is up: {running['url']}  (data in {data_dir}, logs in {data_dir / 'logs'})", flush=True)

    sys.exit(supervisor.run(on_ready=say))


@app.command()
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="End when everything has been shown.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """Play a simulated shop against a real stack and show what becomes of it."""
    from worker.stack import demo as demonstration

    sys.exit(demonstration.run(port, stay=not exit_))


@app.command(name="migrate")
def migrate_(data_dir: DataDir = None) -> None:
    """Bring the database to the newest schema; `upgrade` brings its contacts to the newest rules."""
    import structlog

    from worker import logs, settings
    from worker.store import db, migrate, upgrades

    find_stack(data_dir)
    migrate.upgrade(settings.settings().database_url)
    with db.engine().begin() as conn:
        due = upgrades.due(conn)
    if not sys.stderr.isatty():  # a step of a deployment, whose output is a log
        logs.configure()
        log = structlog.get_logger()
        log.info("migrated")
        if due:
            next_ = "stop the workers, then: contactsync upgrade --dry-run, contactsync upgrade --apply"
            log.warning("upgrade_due", organizations=due, next=next_)
    elif due:
        print(f"contacts follow the rules of an earlier release in: {', '.join(due)}")
        print("stop the workers, then: contactsync upgrade --dry-run, contactsync upgrade --apply")
