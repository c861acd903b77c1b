"""Logs: one line for each event, with a constant name and ids; never a person's name, an address or a body."""

import logging
import sys
import time
from collections.abc import Callable

import structlog

from worker.settings import settings


def configure(*, least: int = logging.NOTSET) -> None:
    """Set up logging for a process, on stderr; library loggers stay at WARNING, because below it they quote values.

    ``least`` is a level below which nothing is logged, whatever the settings say.
    """
    level = max(least, logging.getLevelNamesMapping().get(settings().log_level.upper(), logging.INFO))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for noisy in ("httpx", "sqlalchemy", "celery.beat"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _exception_without_message,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
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


def _exception_without_message(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Reduce an exception to its type and place, because its message may quote personal data."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        last = error.__traceback__
        while last is not None and last.tb_next is not None:
            last = last.tb_next
        place = f"{last.tb_frame.f_code.co_filename}:{last.tb_lineno}" if last is not None else None
        event["exception"] = {"type": type(error).__name__, "place": place}
    return event
