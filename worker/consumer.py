"""Consumer: Celery's, whose messages about what it cannot take quote nothing.

``worker/broker.py`` lets nothing of that kind through. This is the second wall, and the first where the broker is
another one than Redis or Valkey.
"""

import logging
from typing import Any

from celery.worker import consumer

from worker.broker import dropped

_log = logging.getLogger(__name__)


class Consumer(consumer.Consumer):  # type: ignore[misc] # Celery has no types
    """Drops what it cannot take, with a line in the log that names the reason."""

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
