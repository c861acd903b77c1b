"""The command line: start the stack, set up connections and keys, see what happens, put it right.

Every command finds its stack by ``--data-dir``, else by DATABASE_URL and REDIS_URL, else in ``.contactsync``.
With ``--json`` a command prints one JSON document and nothing else on stdout.
"""

import logging
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

import orjson
import typer

from worker.commands import (
    backfill,
    connections,
    connectors,
    envelopes,
    exports,
    imports,
    keys,
    organizations,
    schedules,
    secrets,
    stack,
    status,
    upgrade,
)
from worker.commands.groups import group, later
from worker.errors import SyncError
from worker.shown import plain

# No pretty tracebacks: they print local variables, and these hold bodies and secrets.
app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

_WRONG_USAGE = 2  #: exit code of the parser
_INTERRUPTED = 130  #: exit code after Ctrl-C
_BUG = 70  #: exit code of an error that nobody expected (EX_SOFTWARE)


def main() -> NoReturn:
    """Run a command and exit; an error that the operator can correct is printed as one line, with exit code 1.

    An error that nobody expected is one line too, with its type and place and exit code 70: its text could quote
    anybody. With ``--json`` the error is a document on stdout, too.
    """
    if sys.stdout is None:  # the shell closed it: `>&-`
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if isinstance(sys.stdout, TextIOWrapper):  # a terminal that cannot show a letter is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app(obj=_prepare)
    except SystemExit as end:  # the parser has told on stderr what is wrong with the command
        _finish(end.code)
    except KeyboardInterrupt:
        _finish(_INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - none may reach the terminal as it is
        from worker import logs  # noqa: PLC0415 - as below

        told = _told(error)
        _fail(told or f"unexpected error: {logs.described(error)}", code=1 if told else _BUG)
    _finish(0)


def _prepare() -> None:
    """Set up the logs for a command that runs."""
    from worker import logs  # noqa: PLC0415 - the help of a command does not wait for it

    logs.take_over_hooks()
    logs.configure(least=logging.WARNING)  # what a command does it tells in its result


def _told(error: Exception) -> str | None:  # noqa: PLR0911 - a table
    """Return what an operator can do about an error; None if nobody expected it."""
    if isinstance(error, SyncError):
        return str(error)
    from sqlalchemy.exc import DBAPIError, OperationalError  # noqa: PLC0415 - takes a while to import

    from worker.store import sqlstates  # noqa: PLC0415 - as above

    if sqlstates.is_setup_fault(error):
        return sqlstates.reason(error)
    if isinstance(error, DBAPIError) and sqlstates.is_for_an_operator(error):
        return f"the database refuses it: {type(error.orig).__name__} (SQLSTATE {sqlstates.sqlstate(error)})"
    if isinstance(error, OperationalError):
        return f"the database does not answer: {type(error.orig).__name__}"
    if isinstance(error, UnicodeEncodeError):
        return "an argument is no valid text; expected UTF-8"
    if isinstance(error, OSError):
        return f"{error.filename or type(error).__name__}: {error.strerror or 'failed'}"
    return None


app.add_typer(stack.app)
app.add_typer(upgrade.app)
app.add_typer(status.app)
app.add_typer(envelopes.app)
app.add_typer(exports.app)
app.add_typer(imports.app)
app.add_typer(organizations.app, name="organizations")
app.add_typer(keys.app, name="keys")
app.add_typer(connections.app, name="connections")
app.add_typer(
    group("Channels: accounts on messaging platforms, for looking up profiles."),
    cls=later("worker.commands.channels"),
    name="channels",
)
app.add_typer(secrets.app, name="secrets")
app.add_typer(backfill.app, name="backfill")
app.add_typer(schedules.app, name="schedules")
app.add_typer(connectors.app, name="connectors")


def _finish(code: int | str | None) -> NoReturn:
    if code == _WRONG_USAGE:
        _print_error("the command is not understood; see stderr")
    elif code == _INTERRUPTED:
        _print_error("interrupted")
    try:
        sys.stdout.flush()
    except OSError:  # nobody reads any more, as behind `head`; Python would complain when it flushes once more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or 1
    sys.exit(code)


def _fail(message: str, *, code: int = 1) -> NoReturn:
    if sys.argv[1:2] == ["migrate"] and not sys.stderr.isatty():  # a step of a deployment, whose output is a log
        from worker import logs  # noqa: PLC0415 - see _prepare

        logs.tell_failure(message)
    else:
        print(*map(plain, f"contactsync: {message}".splitlines()), sep="\n", file=sys.stderr)
    _print_error(message)
    _finish(code)


def _print_error(message: str) -> None:
    if "--json" in sys.argv[1:]:
        with suppress(OSError):
            print(orjson.dumps({"error": message}).decode())


if __name__ == "__main__":
    main()
