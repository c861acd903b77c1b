"""Lines: operations of an organization wait here while others of it are applied, and are applied together after that.

A request that finds nobody at work begins at once. What arrives meanwhile is the next group, so the groups are as large
as the load makes them. A line lives on one event loop; several processes have lines of their own.
"""

import asyncio
import time
from collections import deque
from collections.abc import Hashable, Sequence
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from anyio.lowlevel import RunVar
from fastapi import Response

from worker.api.errors import ApiError
from worker.api.operation import Member, Operation, RequestInfo
from worker.api.operation_group import carry_out
from worker.store import db
from worker.store.api_keys import Key

#: Groups at the same time in one process. The other half of the connections is for requests that only load.
MAX_CONCURRENT_OPERATIONS = db.OPERATION_CONNECTIONS
#: An organization may use three quarters of them.
_MOST_AT_ONCE = MAX_CONCURRENT_OPERATIONS * 3 // 4
#: A second group begins beside the first only if that takes so long: somebody may hold its locks.
_SLOW_S = 0.1
_MOST_TOGETHER = 64
_MOST_OF_A_BLOCK = 250
_MOST_BYTES_TOGETHER = 1024 * 1024
#: How long a request waits for its turn, and how many requests wait so.
_PATIENCE_S = 5.0
_MOST_WAITING = 200
#: Those who were answered together come back together. The next group waits for them, for a part of the time that the
#: last one took: a small group costs nearly as much as a large one.
_LINGER, _LONGEST_LINGER_S = 0.25, 0.02


async def perform(key: Key, request: RequestInfo, operation: Operation) -> Response:
    """Carry out an operation and return its answer.

    Repeated under the same ``Idempotency-Key``, the same request gets the stored answer and changes nothing.
    Raises ApiError: 409 if the key was used for another request, 429 if the organization has too many requests under
    way, and what the operation raises to refuse it.
    """
    member = Member(key, request, operation, is_alone=operation.is_alone)
    await _line_of(key.organization_id).wait([member], is_block=False)
    return member.result()


async def perform_all(members: Sequence[Member]) -> None:
    """Carry out the operations of one request, in their order where they are about the same people.

    Each is answered or refused by itself. Raises ApiError (429) like ``perform``, but only before it begins.
    """
    await _line_of(members[0].key.organization_id).wait(members, is_block=True)


class _Waiting:
    """A request in the line, with those of its operations that are not carried out yet."""

    __slots__ = ("done", "expiry", "is_block", "members")

    def __init__(self, members: Sequence[Member], *, is_block: bool) -> None:
        loop = asyncio.get_running_loop()
        self.members = list(members)
        self.is_block = is_block  #: its operations share their groups with nobody
        self.done: asyncio.Future[None] = loop.create_future()
        self.expiry = loop.call_later(_PATIENCE_S, self._expire)

    def _expire(self) -> None:
        self.settle(_too_many())

    def settle(self, error: BaseException | None = None) -> None:
        """Wake the request."""
        self.expiry.cancel()
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            self.done.cancel()
        else:
            self.done.set_exception(error)


class _Draft:
    """A group that is being put together."""

    def __init__(self) -> None:
        self.waiting: list[_Waiting] = []
        self.members: list[Member] = []
        self.is_full = False
        self._named: set[Hashable] = set()
        self._size = 0

    def add(self, waiting: _Waiting) -> None:
        """Add a request with one operation, or the part of a block that has room and names nobody twice."""
        left = []
        most = _MOST_OF_A_BLOCK if waiting.is_block else _MOST_TOGETHER
        for member in waiting.members:
            about = member.operation.about
            if self.is_full or not self._named.isdisjoint(about) or (member.is_alone and self.members):
                left.append(member)
            else:
                self.members.append(member)
                self._size += member.request.size
                self.is_full = member.is_alone or len(self.members) >= most or self._size >= _MOST_BYTES_TOGETHER
            self._named.update(about)  # Who comes later waits for it, also if it waits itself.
        if len(left) < len(waiting.members):
            waiting.expiry.cancel()
            waiting.members = left
            self.waiting.append(waiting)
            self.is_full = self.is_full or waiting.is_block

    def settle(self, error: BaseException) -> None:
        """Wake all requests with an error."""
        for one in self.waiting:
            one.settle(error)


class Line:
    """The operations of one organization."""

    def __init__(self, organization_id: UUID) -> None:
        self._organization_id = organization_id
        self._waiting: deque[_Waiting] = deque()
        self._running: dict[asyncio.Task[None], float] = {}  #: since when
        self._alarm: asyncio.TimerHandle | None = None
        self._last_size = 0  #: operations of the last group
        self._linger_until = 0.0
        self._arrived = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits and nothing runs."""
        return not self._waiting and not self._running

    async def wait(self, members: Sequence[Member], *, is_block: bool) -> None:
        """Wait until operations are carried out; raises ApiError (429) if they are not begun in time."""
        if len(self._waiting) >= _MOST_WAITING:
            raise _too_many()
        one = _Waiting(members, is_block=is_block)
        self._waiting.append(one)
        self._arrived.set()
        self._begin_if_due()
        await one.done

    def _begin_if_due(self) -> None:
        """Begin the next group, if it need not wait for those that run."""
        if not self._waiting or len(self._running) >= _MOST_AT_ONCE:
            return
        now = time.monotonic()
        latest = max(self._running.values(), default=0.0)
        if self._running and now - latest < _SLOW_S:
            if self._alarm is None:
                self._alarm = asyncio.get_running_loop().call_later(latest + _SLOW_S - now, self._ring)
            return
        task = asyncio.get_running_loop().create_task(self._run())
        self._running[task] = now
        task.add_done_callback(self._end)

    def _ring(self) -> None:
        self._alarm = None
        self._begin_if_due()

    def _end(self, task: "asyncio.Task[None]") -> None:
        del self._running[task]
        self._begin_if_due()

    async def _run(self) -> None:
        await self._linger()
        group, began, task = self._take(), time.monotonic(), asyncio.current_task()
        if not group.members:
            return
        if group.waiting[0].is_block and task is not None:  # It takes long, so the next group does not wait for it.
            self._running[task] = 0.0
            self._begin_if_due()
        try:
            await to_thread.run_sync(
                carry_out, db.tenant_engine(), self._organization_id, group.members, limiter=_threads()
            )
        except Exception as error:  # noqa: BLE001 - every request has to be answered
            group.settle(error)
            return
        except asyncio.CancelledError as error:  # the event loop ends
            group.settle(error)
            raise
        ended = time.monotonic()
        self._last_size = len(group.members)
        self._linger_until = ended + min(_LINGER * (ended - began), _LONGEST_LINGER_S)
        self._give_back(group)

    async def _linger(self) -> None:
        """Wait a moment for those who were answered together a moment ago."""
        while 0 < len(self._waiting) < self._last_size and not self._waiting[0].is_block:
            left = self._linger_until - time.monotonic()
            if left <= 0:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(left):
                    await self._arrived.wait()
            except TimeoutError:
                return

    def _take(self) -> _Draft:
        """Take the next group out of the line. What names somebody that an earlier one names stays where it is."""
        group = _Draft()
        kept = []
        while self._waiting and not group.is_full:
            one = self._waiting.popleft()
            if one.done.done():  # it has waited too long, or its client is gone
                continue
            if not (one.is_block and group.members):
                group.add(one)
            if one not in group.waiting[-1:]:
                kept.append(one)
        self._waiting.extendleft(reversed(kept))
        return group

    def _give_back(self, group: _Draft) -> None:
        """Wake requests whose operations are all carried out, and put the others back into the line.

        Who met another goes before all that came later. A block goes behind all, so that it keeps nobody waiting.
        """
        late = [member for member in group.members if member.is_late]
        for member in late:
            member.is_late = False
        if group.waiting[0].is_block:
            (block,) = group.waiting
            block.members = late + block.members
            if block.members:
                self._waiting.append(block)
            else:
                block.settle()
            return
        again = []
        for one, member in zip(group.waiting, group.members, strict=True):
            if member in late:
                one.members = [member]
                again.append(one)
            else:
                one.settle()
        self._waiting.extendleft(reversed(again))


def _too_many() -> ApiError:
    return ApiError(429, "too many requests of this organization at once", headers={"Retry-After": "5"})


_lines: RunVar[dict[UUID, Line]] = RunVar("lines")
_limiter: RunVar[CapacityLimiter] = RunVar("threads_of_operations")


def _line_of(organization_id: UUID) -> Line:
    """Return the line of an organization on this event loop."""
    try:
        lines = _lines.get()
    except LookupError:
        lines = {}
        _lines.set(lines)
    line = lines.get(organization_id)
    if line is None:
        for id_ in [id_ for id_, known in lines.items() if known.is_idle]:
            del lines[id_]
        line = lines[organization_id] = Line(organization_id)
    return line


def _threads() -> CapacityLimiter:
    try:
        return _limiter.get()
    except LookupError:
        limiter = CapacityLimiter(MAX_CONCURRENT_OPERATIONS)
        _limiter.set(limiter)
        return limiter
