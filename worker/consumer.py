"""Consumer: Celery's, which waits for its broker as long as it takes, and obeys nothing but our own messages.

While the broker is away, or refuses what a worker needs, a stand-in of this worker drains the inbox: a worker needs no
broker for its work, only to be told of it at once. ``worker/broker.py`` lets no message through that is not ours, and
builds each anew; for RabbitMQ and SQS that happens here.
"""

import base64
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from celery.worker import consumer
from celery.worker.state import maybe_shutdown

from worker.broker import NotOursError, dropped, rebuilt
from worker.broker_urls import is_redis
from worker.settings import settings
from worker.stack.stand_ins import StandIns
from worker.stand_in import DRAIN

_log = logging.getLogger(__name__)
log = structlog.get_logger()

#: between two attempts to connect, the first and the longest; so a broker is found soon after it is back
_PAUSE_S, _LONGEST_PAUSE_S = 1, 5
#: a connection that breaks sooner does not count as one: the next attempt waits longer
_SOUND_S = 10.0


class Consumer(consumer.Consumer):  # type: ignore[misc] # Celery has no types
    """Waits for its broker; drops what it cannot take, with a line in the log that names the reason."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stand_ins = StandIns.without_broker()
        self._connected_at: float | None = None
        self._failures = 0
        self._watching: Any = None

    def start(self) -> None:
        """Consume until the worker is told to end."""
        try:
            super().start()
        finally:
            self._stand_ins.close()

    def ensure_connected(self, conn: Any) -> Any:
        """Connect, however long that takes; drain meanwhile."""
        errors = conn.connection_errors + conn.channel_errors  # RabbitMQ refuses a password with one of a channel
        while True:
            try:
                conn.ensure_connection(max_retries=0, reraise_as_library_errors=False)
            except errors as error:
                conn.maybe_switch_next()
                self._note(error)
                self._wait()
            else:
                self._connected_at = time.monotonic()
                self.first_connection_attempt = False
                return conn

    def on_connection_error_before_connected(self, exc: BaseException) -> None:
        """Wait before the next attempt: something between connecting and consuming failed."""
        self._note(exc)
        self._wait()

    def on_connection_error_after_connected(self, exc: BaseException) -> None:
        """Let go of the connection; wait before the next one if this one did not last."""
        self._note(exc)
        super().on_connection_error_after_connected(exc)
        self._wait()

    def on_ready(self) -> None:
        """Have the stand-ins of the time without a broker watched, and sent away once the connection has lasted."""
        super().on_ready()
        if self._watching is None and self.timer is not None:
            self._watching = self.timer.call_repeatedly(1.0, self._watch)

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        """Return what takes a message; one that did not come through our transport for Redis is checked first."""
        handler: Callable[[Any], Any] = super().create_task_handler(*args, **kwargs)
        if is_redis(settings().celery_broker):
            return handler

        def take(message: Any) -> Any:
            try:
                _rebuild(message)
            except NotOursError as error:
                return self._drop(str(error), message)
            return handler(message)

        return take

    def on_unknown_message(self, _body: Any, message: Any) -> None:
        """Drop a message that is no task."""
        self._drop("not a task", message)

    def on_unknown_task(self, _body: Any, message: Any, _error: Exception) -> None:
        """Drop a task that we do not have."""
        self._drop("an unknown task", message)

    def on_invalid_task(self, _body: Any, message: Any, _error: Exception) -> None:
        """Drop a task whose message is not as Celery documents it."""
        self._drop("an invalid task", message)

    def on_decode_error(self, message: Any, _error: Exception) -> None:
        """Drop a message whose body cannot be read."""
        self._drop("a body that cannot be read", message)

    def _drop(self, reason: str, message: Any) -> None:
        dropped.tell(reason)
        message.reject_log_error(_log, self.connection_errors)

    def _note(self, error: BaseException) -> None:
        self._connected_at = None
        self._failures += 1
        log.warning("broker_away", error=type(error).__name__, answer=_code(error), failures=self._failures)
        self._work_without()

    def _wait(self) -> None:
        """Wait, the longer the more attempts have failed; go on draining."""
        until = time.monotonic() + min(_PAUSE_S * self._failures, _LONGEST_PAUSE_S)
        while time.monotonic() < until:
            self._work_without()
            time.sleep(0.2)

    def _work_without(self) -> None:
        maybe_shutdown()
        self._stand_ins.watch()
        self._stand_ins.call(DRAIN)

    def _watch(self) -> None:
        self._stand_ins.watch()
        if self._connected_at is not None and time.monotonic() - self._connected_at > _SOUND_S:
            self._failures = 0
            self._stand_ins.dismiss()


def _code(error: BaseException) -> str | None:
    """Return the word that Redis begins an error with (READONLY, MISCONF …); nothing else of it, which may quote."""
    found = re.match(r"[A-Z]{2,20}\b", str(error))
    return found and found.group()


def _rebuild(message: Any) -> None:
    """Leave of a message the call of a task of ours. Raises ``NotOursError`` if it is none."""
    body = message.body if isinstance(message.body, str) else bytes(message.body).decode("utf-8", "replace")
    given = {"content-type": message.content_type, "headers": message.headers, "body": body, "properties": {}}
    kept = rebuilt(given, "")
    message.headers, message.properties = kept["headers"], {"priority": 0}
    message.content_type, message.content_encoding = kept["content-type"], kept["content-encoding"]
    message.body = base64.b64decode(kept["body"])
