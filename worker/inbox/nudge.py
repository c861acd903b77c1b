"""Nudge: tell the workers, off the request path, that there is work.

A nudge is a Celery task, published by its name, with a lane and nothing else. It may get lost, because the sweeper
finds all work in Postgres.
"""

import threading
import time
from contextlib import suppress
from typing import Any

import structlog

from worker.errors import ConfigError
from worker.store.lanes import LANES

log = structlog.get_logger()

#: a lane beside those of the inbox: a nudge for it says that a provider is to be read
READING = LANES
#: between two publications; envelopes that arrive meanwhile share the next nudge
_PAUSE_S = 0.05
#: a nudge that waited longer in the broker is dropped: the sweeper has done its work by then
_EXPIRES_S = 30
#: pause after the broker failed; the sweeper sees to the work meanwhile
_BREAK_S = 1.0


def publish(lane: int) -> None:
    """Publish one nudge. Raises whatever the broker raises.

    The task is named, not imported, because ``tasks`` imports this module.
    """
    from worker.app import app  # noqa: PLC0415 - a process that never nudges needs no broker

    name = "worker.tasks.read" if lane == READING else "worker.tasks.drain"
    # Workers drop what is older, and RabbitMQ what nobody has taken by then.
    app.send_task(name, args=[lane], expires=_EXPIRES_S, expiration=_EXPIRES_S, retry=False)


class Nudger:
    """One thread that publishes at most one nudge a lane at a time.

    Publishing to a frozen broker blocks for seconds, so callers only add to a set and raise a flag.
    """

    def __init__(self) -> None:
        self._lanes: set[int] = set()
        self._flag = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def nudge(self, lanes: set[int]) -> None:
        """Have these lanes worked on; return at once."""
        with self._lock:
            self._lanes |= lanes
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads; the sweeper finds what waits
                    log.warning("nudge_failed", error=error)
                    return
                self._thread = thread
        self._flag.set()

    def _run(self) -> None:
        while True:
            self._flag.wait()
            self._flag.clear()
            with self._lock:
                lanes, self._lanes = self._lanes, set()
            used: list[Any] = []
            try:
                used = _connections()
                for lane in lanes:
                    publish(lane)
            except Exception as error:  # noqa: BLE001 - whatever the broker does, only nudges are lost
                log.warning("nudge_failed", error=error)
                with suppress(Exception):  # the name of the broker may mean another server by now: connect anew
                    for pool in used:
                        pool.force_close_all(close_pool=False)
                time.sleep(_BREAK_S)
            time.sleep(_PAUSE_S)


def _connections() -> list[Any]:
    """Return what this process publishes through: Celery's pools."""
    from worker.app import app  # noqa: PLC0415 - see publish

    return [app.pool, app.amqp.producer_pool]


nudger = Nudger()


def publish_once(lane: int) -> bool:
    """Publish one nudge from a command, which waits for it; return False if the broker does not take it.

    Raises ConfigError if no broker can be at its URL.
    """
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - only commands need it

    try:
        publish(lane)
    except (OperationalError, OSError):
        return False
    except (KeyError, ValueError):  # Kombu's, with the URL in it
        raise ConfigError("BROKER_URL or REDIS_URL: expected a URL such as redis://:password@host:6379/0") from None
    return True


def nudge_all() -> None:
    """Nudge the workers of every lane; without a broker the sweeper finds the work."""
    for lane in range(LANES):
        if not publish_once(lane):
            return
