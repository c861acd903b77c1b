"""Look-ups in batches: whatever the number of requests, one statement at a time and so many a second."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_MAX_BATCH = 500
#: So many requests are woken in one turn of the event loop, so that a flood's answers do not hold up all others.
_WOKEN_AT_ONCE = 16


Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Lookups(Generic[Asked, Found]):
    """Loads what requests ask for, together; ``load`` runs in a thread and answers in the order that it was asked.

    A batch begins at least ``every_s`` seconds after the one before. Requests that come meanwhile wait for the next,
    so nobody is turned away because others ask a lot.
    """

    def __init__(self, load: Callable[[list[Asked]], Sequence[Found]], *, every_s: float = 0.0) -> None:
        self._load = load
        self._every_s = every_s
        self._waiting: list[tuple[Asked, asyncio.Future[Found]]] = []
        self._working: asyncio.Task[None] | None = None
        self._next_at = 0.0

    async def find(self, asked: Asked) -> Found:
        """Return what was found; raises what ``load`` raised."""
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        try:
            while self._waiting:
                pause_s = self._next_at - time.monotonic()
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
                batch, self._waiting = self._waiting[:_MAX_BATCH], self._waiting[_MAX_BATCH:]
                self._next_at = time.monotonic() + self._every_s
                # Who has hung up or timed out meanwhile has a future that is done.
                await self._answer([(asked, future) for asked, future in batch if not future.done()])
        except asyncio.CancelledError:
            self._waiting.clear()  # The event loop ends.
            raise
        finally:
            self._working = None

    async def _answer(self, batch: list[tuple[Asked, "asyncio.Future[Found]"]]) -> None:
        if not batch:
            return
        try:
            found = await asyncio.to_thread(self._load, [asked for asked, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for n, ((_, future), one) in enumerate(zip(batch, found, strict=True), start=1):
            if not future.done():
                future.set_result(one)
            if n % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
