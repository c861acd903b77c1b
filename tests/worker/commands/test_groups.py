"""The help of every command: it is there, and waits for nothing that only the command's work needs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from worker.cli import app

ROOT = Path(__file__).parents[3]
#: each takes 30 to 200 ms to import; pydantic itself is not among them, because Typer parses with it
HEAVY = {
    *("sqlalchemy", "psycopg", "alembic", "celery", "kombu"),
    *("fastapi", "pydantic_settings", "phonenumbers", "structlog", "httpx"),
}
#: groups whose commands are built from the connectors
BUILT = {("connections", "add"), ("channels",)}


def every_command():
    def walk(command, path):
        yield path
        for name, one in sorted(getattr(command, "commands", {}).items()):
            yield from walk(one, (*path, name))

    return list(walk(typer.main.get_command(app), ()))


@pytest.mark.parametrize("path", every_command(), ids=lambda path: " ".join(path) or "contactsync")
def test_every_command_has_help(path):
    shown = CliRunner().invoke(app, [*path, "--help"])

    assert shown.exit_code == 0
    assert "Usage:" in shown.stdout


def test_no_help_waits_for_what_only_work_needs():
    paths = every_command()
    first = [path for path in paths if not any(path[: len(group)] == group for group in BUILT)]

    imported = imported_by(first)
    assert len(first) > 30
    assert imported & {*HEAVY, "connectors"} == set()
    assert imported_by(paths) & HEAVY == set()


def imported_by(paths):
    """Return the packages that a process has imported after it has shown the help of these commands."""
    code = (
        "import contextlib, io, sys; from worker.cli import app\n"
        f"for path in {paths!r}:\n"
        "    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "        app([*path, '--help'])\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("contactsync conn", {"connections", "connectors"}),
        ("contactsync connections add sh", {"shopify"}),
        ("contactsync channels ", {"add", "list", "remove"}),
        ("contactsync keys create --sc", {"--scope"}),
        ("contactsync backfill start con_1 --kind ", {"full", "increment", "reconcile"}),
    ],
)
def test_the_shell_completes_commands_and_options(typed, offered):
    environment = {
        **os.environ,
        "_CONTACTSYNC_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(typed.count(" ")),
    }
    code = "import sys; sys.argv[0] = 'contactsync'; from worker.cli import main; main()"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert set(done.stdout.split()) >= offered, done.stderr


def test_a_help_that_is_interrupted_shows_no_traceback():
    code = "import worker.commands; raise KeyboardInterrupt"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.stderr == "interrupted\n"
