"""The commands of `contactsync`, one module for each noun; `worker.cli` puts them together.

A module of this folder describes its commands, and imports at its top only what their help needs. What a command works
with is imported when it runs: SQLAlchemy, Celery, the settings and the HTTP client take most of a second.
"""

import sys
from types import TracebackType


def _uncaught(type_: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    from worker import logs

    if isinstance(error, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        return
    sys.excepthook = sys.__excepthook__  # logs leave a hook of somebody else where it is
    logs.take_over_hooks()
    sys.excepthook(type_, error, traceback)


# Here, for the time before a command runs: Ctrl-C then shall show no traceback either.
if sys.excepthook is sys.__excepthook__:
    sys.excepthook = _uncaught
