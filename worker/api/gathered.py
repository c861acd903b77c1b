"""Look-ups that arrive together share a statement: those of one organization, on the event loop.

A look-up waits for nobody if none of its organization is running. Otherwise it waits for the next statement, with all
that come meanwhile. So the busier a process is, the less a look-up costs. No statement is about two organizations:
row-level security holds for each.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from uuid import UUID

from worker.errors import TransientError

Asked = TypeVar("Asked")
Found = TypeVar("Found")

_MOST_TOGETHER = 100
#: Look-ups of one organization that may wait. Those beyond are answered 503.
_MOST_WAITING = 2_000


@dataclass(slots=True)
class _Queue(Generic[Asked, Found]):
    waiting: list[tuple[Asked, "asyncio.Future[Found]"]] = field(default_factory=list)
    running: int = 0


class Gathered(Generic[Asked, Found]):
    """Loads what requests ask for, together; ``load`` answers in the order that it was asked.

    Of one organization, ``at_once`` calls run at the same time.
    """

    def __init__(self, load: Callable[[UUID, list[Asked]], Awaitable[Sequence[Found]]], *, at_once: int) -> None:
        self._load = load
        self._at_once = at_once
        self._queues: dict[UUID, _Queue[Asked, Found]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def find(self, organization_id: UUID, asked: Asked) -> Found:
        """Return what was found; raises what ``load`` raised, and TransientError if too many wait."""
        queue = self._queues.get(organization_id)
        if queue is None:
            queue = self._queues[organization_id] = _Queue()
        if len(queue.waiting) >= _MOST_WAITING:
            raise TransientError("too many look-ups of this organization wait")
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        queue.waiting.append((asked, future))
        if queue.running < self._at_once:
            queue.running += 1
            task = asyncio.create_task(self._work(organization_id, queue))
            self._tasks.add(task)  # The event loop itself keeps no task from being collected.
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _work(self, organization_id: UUID, queue: "_Queue[Asked, Found]") -> None:
        try:
            while queue.waiting:
                batch, queue.waiting = queue.waiting[:_MOST_TOGETHER], queue.waiting[_MOST_TOGETHER:]
                # Who has hung up meanwhile has a future that is done.
                await self._answer(organization_id, [(asked, future) for asked, future in batch if not future.done()])
        finally:
            queue.running -= 1
            if queue.running == 0 and not queue.waiting:
                self._queues.pop(organization_id, None)

    async def _answer(self, organization_id: UUID, batch: "list[tuple[Asked, asyncio.Future[Found]]]") -> None:
        if not batch:
            return
        try:
            found = await self._load(organization_id, [asked for asked, _ in batch])
        except Exception as error:  # noqa: BLE001 - whoever asked raises it
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), one in zip(batch, found, strict=True):
            if not future.done():
                future.set_result(one)
