"""The command line: start the stack, set up connections and keys, see what happens, put it right.

Every command finds its stack by ``--data-dir``, else by DATABASE_URL and REDIS_URL, else in ``.contactsync``.
With ``--json`` a command prints one JSON document and nothing else on stdout.
"""

import logging
import sys
from typing import NoReturn

import orjson
import typer
from sqlalchemy.exc import OperationalError, ProgrammingError

from worker import logs
from worker.commands import (
    backfill,
    channels,
    connections,
    connectors,
    envelopes,
    exports,
    imports,
    keys,
    organizations,
    schedules,
    stack,
    status,
    upgrade,
)
from worker.errors import SyncError

# No pretty tracebacks: they print local variables, and these hold bodies and secrets.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

_WRONG_USAGE = 2  #: exit code of the parser


def main() -> NoReturn:
    """Run a command and exit; an error that the operator can correct is printed as one line, with exit code 1.

    With ``--json`` the error is a document on stdout, too.
    """
    logs.configure(least=logging.WARNING)  # what a command does it tells in its result
    try:
        app()
    except SyncError as error:
        _fail(str(error))
    except OperationalError as error:
        _fail(f"the database does not answer: {type(error.orig).__name__}")
    except ProgrammingError:
        _fail("the database is not at this version; run: contactsync migrate")
    except SystemExit as end:  # the parser has told on stderr what is wrong with the command
        if end.code == _WRONG_USAGE:
            _print_error("the command is not understood; see stderr")
        raise
    sys.exit(0)


app.add_typer(stack.app)
app.add_typer(upgrade.app)
app.add_typer(status.app)
app.add_typer(envelopes.app)
app.add_typer(exports.app)
app.add_typer(imports.app)
app.add_typer(organizations.app, name="organizations")
app.add_typer(keys.app, name="keys")
app.add_typer(connections.app, name="connections")
app.add_typer(channels.app, name="channels")
app.add_typer(backfill.app, name="backfill")
app.add_typer(schedules.app, name="schedules")
app.add_typer(connectors.app, name="connectors")


def _fail(message: str) -> NoReturn:
    print(f"contactsync: {message}", file=sys.stderr)
    _print_error(message)
    sys.exit(1)


def _print_error(message: str) -> None:
    if "--json" in sys.argv[1:]:
        print(orjson.dumps({"error": message}).decode())


if __name__ == "__main__":
    main()
