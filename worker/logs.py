"""Logs: one line for each event, with a constant name and ids; never a person's name, an address or a body.

Every line is a JSON object on stderr: ours, those of libraries (they have a ``logger``), uncaught exceptions, warnings,
and what somebody prints (``worker/printed.py``). An exception is shown by its types and places only, because its
message may quote anything; the SQLSTATE of a database error and the name of an ``errno`` quote nothing, and are shown.
With LOG_LEVEL=DEBUG the places that an exception came through follow, without messages and values.
"""

import errno
import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import structlog

from worker import printed
from worker.errors import ConfigError, SyncError, sqlstate_behind
from worker.settings import settings

log = structlog.get_logger()

#: libraries whose INFO quotes values
_NOISY = ("httpx", "sqlalchemy", "celery.beat", "uvicorn.access")
#: loggers to which uvicorn gives handlers of its own, one of them on stdout
_UVICORN = ("uvicorn", "uvicorn.error", "uvicorn.access")
_DEEPEST = 20  #: exceptions in a chain
#: how ``warnings.formatwarning`` begins
_WARNING = re.compile(r"(?P<place>[^\s'\"(][^\n]*?:\d+): (?P<category>\w+): ")


def configure(*, least: int = logging.NOTSET) -> None:
    """Set up logging for a process, on stderr; library loggers stay at WARNING, because below it they quote values.

    ``least`` is a level below which nothing is logged, whatever the settings say.
    """
    level = max(least, logging.getLevelNamesMapping().get(settings().log_level.upper(), logging.INFO))
    root = logging.getLogger()
    if not any(isinstance(handler, _Handler) for handler in root.handlers):
        root.addHandler(_Handler())
    root.setLevel(max(level, logging.WARNING))
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _UVICORN:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, *_PROCESSORS],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.WriteLogger(_OUT),
        cache_logger_on_first_use=False,
    )


class _Out:
    """The stderr of now, which may be another than that of the start; a log that cannot be written ends nothing."""

    def write(self, text: str) -> None:
        """Write a line with its end at once, because other processes write to the same pipe."""
        # RuntimeError: a signal came while a line was being written, and its handler logs.
        with suppress(OSError, ValueError, RuntimeError, AttributeError):
            stream = printed.behind(sys.stderr)
            stream.write(text)
            stream.flush()

    def flush(self) -> None:
        """Do nothing; each line is flushed."""


_OUT: Any = _Out()


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


def begin() -> None:
    """Set up a process that serves, and is nobody's terminal: whatever happens in it is a line.

    If the settings are wrong, the process ends with a line that says so.
    """
    try:
        configure()
    except ConfigError as error:
        fail(error)
    take_over_hooks()
    printed.take_over(_printed)


def is_program(*names: str) -> bool:
    """Return whether this process is one of these programs, started by its script or as ``python -m``."""
    path = Path(sys.argv[0] if sys.argv else "")
    return (path.parent.name if path.name == "__main__.py" else path.name) in names


def fail(error: ConfigError) -> NoReturn:
    """End a process that cannot start, with a line that says what the operator has to do."""
    _line("critical", "not_started", reason=str(error), error=error)
    sys.exit(1)


def tell_failure(reason: str) -> None:
    """Log why a command failed, in words that quote nobody."""
    _line("critical", "command_failed", reason=" ".join(reason.split()))


def _printed(stream: str, place: str, characters: int, text: str | None) -> None:
    shown = {} if text is None else {"text": text}
    _line("warning", "printed", stream=stream, place=place, characters=characters, **shown)


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


def _shown(error: BaseException) -> dict[str, Any]:
    """Reduce an exception to what quotes nobody."""
    shown: dict[str, Any] = {"type": type(error).__name__, "place": _place(error.__traceback__), **_codes(error)}
    if _is_debug():
        shown["way"] = list(_way(error))
    return shown


def _codes(error: BaseException) -> dict[str, str]:
    codes = {}
    if state := sqlstate_behind(error):
        codes["sqlstate"] = state
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        codes["errno"] = errno.errorcode[error.errno]
    return codes


def _without_messages(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Show the exceptions of a line without their messages: ``error`` by its type, ``exc_info`` with its place."""
    error = event.get("error")
    if isinstance(error, BaseException):
        event["error"] = type(error).__name__
        event.update(_codes(error))
    raised = event.pop("exc_info", None)
    if isinstance(raised, BaseException):
        event["exception"] = _shown(raised)
    return event


_PROCESSORS: tuple[Any, ...] = (
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _without_messages,
    structlog.processors.JSONRenderer(default=lambda value: type(value).__name__),
)


def _line(level: str, event: str, **fields: Any) -> None:
    """Write a line whatever is set up, and whatever level is asked for."""
    found: Any = {**fields, "level": level, "event": event}
    for process in _PROCESSORS:
        found = process(None, "", found)
    _OUT.write(f"{found}\n")


class _Handler(logging.Handler):
    """Prints records of libraries, one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(_Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        try:
            _OUT.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001 - as logging asks for
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Say that a record could not be printed; Python would quote its arguments."""
        _line("error", "line_not_printed", logger=record.name, error=sys.exception())


class _Formatter(logging.Formatter):
    """Shows what a library logs without what it quotes: exceptions by type, and of values only numbers and text."""

    def format(self, record: logging.LogRecord) -> str:
        """Return a record as our lines are."""
        fields: dict[str, Any] = {"logger": record.name, "level": record.levelname.lower()}
        if record.name == "py.warnings":  # Celery has warnings logged, with their text and the line of code
            fields |= _of_warning(str(record.args))
        elif isinstance(record.msg, BaseException):  # uvicorn's way to say that it cannot listen
            fields["event"] = type(record.msg).__name__
            fields |= _codes(record.msg)
        else:
            fields["event"] = _text(record)
        if record.exc_info and record.exc_info[1] is not None:
            fields["exc_info"] = record.exc_info[1]
        found: Any = fields
        for process in _PROCESSORS:
            found = process(None, "", found)
        return str(found)


def _of_warning(text: str) -> dict[str, str]:
    found = _WARNING.search(text)
    return {"event": "warning", **({} if found is None else found.groupdict())}


def _text(record: logging.LogRecord) -> str:
    message = str(record.msg)
    if record.name == "asyncio":  # its other lines show tasks with their exceptions
        message = message.partition("\n")[0]
    args: Any = _safe(record.args)
    if record.name == "celery.app.trace" and isinstance(args, dict):
        args |= {"exc": "", "traceback": "", "args": "", "kwargs": "", "return_value": ""}
    with suppress(TypeError, ValueError):  # it wants to format a value that is not shown
        message = message % args if args else message
    return " ".join(message.split())


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
    if isinstance(error, KeyboardInterrupt):
        _line("warning", "interrupted")
    elif isinstance(error, SyncError):  # What we raise on purpose tells what to do, and quotes nobody.
        _line("critical", "uncaught", reason=str(error), error=error)
    else:
        _line("critical", "uncaught", exc_info=error)


def _unraisable(hooked: "sys.UnraisableHookArgs") -> None:
    _line("error", "ignored", exc_info=hooked.exc_value)


def _uncaught_in_thread(hooked: threading.ExceptHookArgs) -> None:
    if hooked.exc_value is not None and hooked.exc_type is not SystemExit:
        thread = None if hooked.thread is None else hooked.thread.name
        _line("error", "uncaught_in_thread", thread=thread, exc_info=hooked.exc_value)


def _warned(message: object, category: type[Warning], filename: str, lineno: int, *_: object, **__: object) -> None:  # noqa: ARG001 - its name is given
    _line("warning", "warning", category=category.__name__, place=f"{filename}:{lineno}")
