"""The sweeper as a Celery beat scheduler: it ticks in its own process and needs no broker.

Any number of beats may run, and none holds a schedule of its own: what is due stands in Postgres.
"""

from typing import Any

import structlog
from celery.beat import Scheduler
from sqlalchemy.exc import DBAPIError

from worker.errors import TransientError
from worker.settings import settings
from worker.tasks import tick

log = structlog.get_logger()


class SweepScheduler(Scheduler):
    """Calls ``tick`` every ``sweep_interval_s``, whatever state the broker is in."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Run one sweep; return the seconds until the next."""
        try:
            tick()
        except (DBAPIError, TransientError) as error:
            log.warning("sweep_failed", error=type(error).__name__)
            return 1.0
        except Exception as error:
            log.error("sweep_failed", exc_info=error)
            return 5.0
        return float(settings().sweep_interval_s)

    def setup_schedule(self) -> None:
        """Nothing to set up: the schedule is in Postgres."""

    def sync(self) -> None:
        """Nothing to save."""

    def close(self) -> None:
        """Nothing to close."""

    @property
    def info(self) -> str:
        """One line for Celery's banner."""
        return "    . schedule -> Postgres"
