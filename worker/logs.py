"""Logs: one line for each event, with a constant name and ids; never a person's name, an address or a body.

Everything goes to stderr. An exception is shown by its types and places only, because its message may quote anything;
that holds for lines of libraries, for uncaught exceptions and for warnings too. With LOG_LEVEL=DEBUG the places that an
exception came through follow, without messages and values.
"""

import logging
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TextIO

import structlog

from worker.errors import ConfigError, SyncError
from worker.settings import settings

log = structlog.get_logger()

#: libraries whose INFO quotes values
_NOISY = ("httpx", "sqlalchemy", "celery.beat", "uvicorn.access")
#: loggers to which uvicorn gives handlers of its own, one of them on stdout
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")
_DEEPEST = 20  #: exceptions in a chain


def configure(*, least: int = logging.NOTSET) -> None:
    """Set up logging for a process, on stderr; library loggers stay at WARNING, because below it they quote values.

    ``least`` is a level below which nothing is logged, whatever the settings say.
    """
    level = max(least, logging.getLevelNamesMapping().get(settings().log_level.upper(), logging.INFO))
    root = logging.getLogger()
    if not any(isinstance(handler, _Handler) for handler in root.handlers):
        root.addHandler(_Handler())
    root.setLevel(logging.WARNING)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_without_message,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is then: tests give it another stream
        cache_logger_on_first_use=False,
    )


class Seldom:
    """Logs at most one line a second and counts the others, for lines that a stranger can cause."""

    def __init__(self) -> None:
        self._next_at = 0.0
        self._left_out = 0

    def log(self, write: Callable[..., object], event: str, **fields: object) -> None:
        """Log a line with ``write``, or count it; the next line says how many were left out before it."""
        if time.monotonic() < self._next_at:
            self._left_out += 1
            return
        self._next_at = time.monotonic() + 1
        left_out, self._left_out = self._left_out, 0
        write(event, **fields, **({"left_out": left_out} if left_out else {}))


def take_over_hooks() -> None:
    """Show uncaught exceptions and warnings of this process as ``described``; hooks that somebody else has set stay.

    For processes of ours, not for programs that only use our modules.
    """
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _uncaught
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _unraisable
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = _uncaught_in_thread
    if warnings.showwarning.__module__ == "warnings" and not sys.warnoptions:
        warnings.showwarning = _warned


def described(error: BaseException) -> str:
    """Return the type and place of an exception; with LOG_LEVEL=DEBUG also the way to it, a line for each frame."""
    type_, place = type(error).__name__, _place(error.__traceback__)
    short = type_ if place is None else f"{type_} at {place}"
    return "\n".join([short, *_way(error)]) if _is_debug() else short


def _is_debug() -> bool:
    try:
        return settings().log_level.upper() == "DEBUG"
    except ConfigError:  # the settings may be what is wrong
        return False


def _place(traceback: TracebackType | None) -> str | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return None if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def _way(error: BaseException) -> Iterator[str]:
    cause: BaseException | None = error
    for _ in range(_DEEPEST):
        if cause is None:
            return
        yield f"  {type(cause).__module__}.{type(cause).__qualname__}"
        traceback = cause.__traceback__
        while traceback is not None:
            code = traceback.tb_frame.f_code
            yield f"    {code.co_filename}:{traceback.tb_lineno} {code.co_qualname}"
            traceback = traceback.tb_next
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _exception_without_message(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Reduce an exception to its type and place, because its message may quote personal data."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["exception"] = {"type": type(error).__name__, "place": _place(error.__traceback__)}
        if _is_debug():
            event["exception"]["way"] = list(_way(error))
    return event


class _Handler(logging.StreamHandler):  # type: ignore[type-arg] # the stream is stderr
    """Prints records of libraries, one line each."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)  # that of StreamHandler would set the stream
        self.setFormatter(_Formatter())

    @property
    def stream(self) -> TextIO:
        """The stderr of now, which may be another than that of the start."""
        return sys.stderr

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say that a record could not be printed; Python would quote its arguments."""
        sys.stderr.write(f"ERROR {record.name} a line could not be printed: {type(sys.exception()).__name__}\n")


class _Formatter(logging.Formatter):
    """Shows what a library logs without what it quotes: exceptions by type, and of values only numbers and text."""

    def format(self, record: logging.LogRecord) -> str:
        message = str(record.msg)
        if record.name == "asyncio":  # its other lines show tasks with their exceptions
            message = message.partition("\n")[0]
        args: Any = _safe(record.args)
        if record.name == "celery.app.trace" and isinstance(args, dict):
            args |= {"exc": "", "traceback": "", "args": "", "kwargs": "", "return_value": ""}
        with suppress(TypeError, ValueError):  # it wants to format a value that is not shown
            message = message % args if args else message
        text = " ".join(message.split())
        error = record.exc_info[1] if record.exc_info else None
        shown = "" if error is None else f": {described(error)}"
        return f"{record.levelname} {record.name} {text}{shown}"


def _safe(args: Any) -> Any:
    if isinstance(args, Mapping):
        return {name: _safe_value(value) for name, value in args.items()}
    return tuple(map(_safe_value, args)) if isinstance(args, tuple) else args


def _safe_value(value: Any) -> Any:
    return value if isinstance(value, str | int | float | None) else _Named(type(value).__name__)


class _Named:
    """A value of which a log shows the type."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


def _uncaught(_type: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    # What we raise on purpose tells what to do, and quotes nobody.
    told = str(error) if isinstance(error, SyncError) else described(error)
    sys.stderr.write("interrupted\n" if isinstance(error, KeyboardInterrupt) else f"uncaught: {told}\n")


def _unraisable(hooked: "sys.UnraisableHookArgs") -> None:
    shown = "nothing" if hooked.exc_value is None else described(hooked.exc_value)
    sys.stderr.write(f"ignored: {shown}\n")


def _uncaught_in_thread(hooked: threading.ExceptHookArgs) -> None:
    if hooked.exc_value is not None and hooked.exc_type is not SystemExit:
        sys.stderr.write(f"uncaught in a thread: {described(hooked.exc_value)}\n")


def _warned(message: object, category: type[Warning], filename: str, lineno: int, *_: object, **__: object) -> None:  # noqa: ARG001 - its name is given
    sys.stderr.write(f"warning: {category.__name__} at {filename}:{lineno}\n")
