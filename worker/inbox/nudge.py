"""Nudges: tell the workers, off the request path, that there is work. They may get lost."""

import threading
import time

import structlog

from worker.store.envelopes import LANES

log = structlog.get_logger()

#: beside the lanes of the inbox: there is a provider to be read
READING = LANES
#: between two publications: what arrives meanwhile shares the next nudge, and a drain at work needs none
_PAUSE_S = 0.05
#: nudges older than this are stale: the sweeper has seen to it
_EXPIRES_S = 30
#: after a failure the broker is left alone for this long; the sweeper drains meanwhile
_BREAK_S = 1.0


def publish(lane: int) -> None:
    """Publish one nudge; raises whatever the broker raises. By name: the tasks import this module."""
    from worker.app import app  # noqa: PLC0415 - a process that never nudges needs no broker

    name = "worker.tasks.read" if lane == READING else "worker.tasks.drain"
    app.send_task(name, args=[lane], expires=_EXPIRES_S, retry=False)


class Nudger:
    """One thread that publishes at most one nudge a lane at a time.

    Publishing blocks for seconds on a frozen broker, so callers only set a flag.
    """

    def __init__(self) -> None:
        self._lanes: set[int] = set()
        self._flag = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def nudge(self, lanes: set[int]) -> None:
        """Ask for these lanes to be drained; returns at once."""
        with self._lock:
            self._lanes |= lanes
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="nudger", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:  # no more threads; the sweeper finds what waits
                    log.warning("nudge_failed", error=type(error).__name__)
                    return
                self._thread = thread
        self._flag.set()

    def _run(self) -> None:
        while True:
            self._flag.wait()
            self._flag.clear()
            with self._lock:
                lanes, self._lanes = self._lanes, set()
            try:
                for lane in lanes:
                    publish(lane)
            except Exception as error:  # noqa: BLE001 - whatever a broker does, nothing is lost by it
                log.warning("nudge_failed", error=type(error).__name__)
                time.sleep(_BREAK_S)
            time.sleep(_PAUSE_S)


nudger = Nudger()


def publish_once(lane: int) -> bool:
    """Publish one nudge now, from a command; False if the broker does not take it."""
    from kombu.exceptions import OperationalError  # noqa: PLC0415 - only commands need it

    try:
        publish(lane)
    except (OperationalError, OSError):
        return False
    return True
