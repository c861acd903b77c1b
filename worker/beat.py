"""The sweeper as a Celery beat scheduler: it ticks in its own process and needs no broker.

Any number of beats may run. None of them holds a schedule, because the schedules are in Postgres.
"""

from typing import Any

import structlog
from celery.beat import Scheduler
from sqlalchemy.exc import DBAPIError

from worker.errors import TransientError
from worker.settings import settings
from worker.stack.breaker import Breaker
from worker.store import db
from worker.tasks import stand_ins, tick

log = structlog.get_logger()

#: A tick takes milliseconds. What it waits for in the database for longer than this has failed.
_LONGEST_S = 45.0


class SweepScheduler(Scheduler):
    """Calls ``tick`` every ``sweep_interval_s``, also while the broker is away."""

    _breaker: Breaker | None = None

    def tick(self, *_: Any, **__: Any) -> float:
        """Run one sweep; return the seconds until the next."""
        try:
            self._breaker = self._breaker or Breaker(db.engine())
            with self._breaker.after(_LONGEST_S):
                tick()
        except (DBAPIError, TransientError) as error:
            log.warning("sweep_failed", error=error)
            return 1.0
        except Exception as error:
            log.error("sweep_failed", exc_info=error)
            return 5.0
        return float(settings().sweep_interval_s)

    def setup_schedule(self) -> None:
        """Do nothing: the schedules are in Postgres."""

    def sync(self) -> None:
        """Do nothing: there is no state to save."""

    def close(self) -> None:
        """End the stand-ins."""
        stand_ins.close()

    @property
    def info(self) -> str:
        """Return a line for Celery's banner."""
        return "    . schedule -> Postgres"
