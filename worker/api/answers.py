"""Answers: counts the answers of the webhook route, and adds them to the counters in Postgres about once a second."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from worker import metrics
from worker.store import counts, db

#: A process that is killed loses what it counted in this time.
_TELL_AFTER_S = 1.0


class Answers:
    """What a process has answered and not stored yet. Each process has one, on its event loop."""

    def __init__(self) -> None:
        self._untold: dict[int, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def count(self, status: int) -> None:
        """Count an answer by its HTTP status."""
        self._untold[status] = self._untold.get(status, 0) + 1
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_later())

    async def tell(self) -> None:
        """Store what was counted; while Postgres is away it is kept, and this raises SQLAlchemyError."""
        told, self._untold = self._untold, {}
        if not told:
            return
        try:
            await asyncio.to_thread(_add, told)
        except SQLAlchemyError:
            for status, number in told.items():
                self._untold[status] = self._untold.get(status, 0) + number
            raise

    async def _tell_later(self) -> None:
        try:
            await asyncio.sleep(_TELL_AFTER_S)
        finally:
            self._telling = None
        with suppress(SQLAlchemyError):  # the next answer tries again, and what is lost meanwhile others log
            await self.tell()


def _add(told: Mapping[int, int]) -> None:
    with db.engine().begin() as conn:
        counts.add(conn, metrics.of_answers(told))


answers = Answers()
