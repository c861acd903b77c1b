"""Lines: what arrives together is applied together, and nobody waits without need."""

import asyncio
import threading
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import uuid4

import pytest
from fastapi import Response

from worker.api import lines
from worker.api.errors import ApiError
from worker.api.operation import Member, RequestInfo

HERE, THERE = (SimpleNamespace(id=uuid4(), organization_id=uuid4()) for _ in range(2))


class Operation:
    """Names somebody."""

    def __init__(self, *about, is_alone=False):
        self.about, self.is_alone = about, is_alone


class Store:
    """Stands in for the database: it notes the groups, and answers them when it is let go on."""

    def __init__(self):
        self.groups, self.late, self.go_on = [], set(), threading.Event()
        self.begun = threading.Semaphore(0)
        self.go_on.set()

    def carry_out(self, _engine, _organization_id, members):
        self.groups.append([member.operation.about for member in members])
        self.begun.release()
        assert self.go_on.wait(10)
        for member in members:
            if member.operation.about in self.late:
                self.late.discard(member.operation.about)
                member.is_late = True
            else:
                member.response = Response(str(datetime.now(UTC)))

    async def has_begun(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=10)


@pytest.fixture
def store(monkeypatch):
    store = Store()
    monkeypatch.setattr(lines, "carry_out", store.carry_out)
    monkeypatch.setattr(lines.db, "tenant_engine", lambda: None)
    monkeypatch.setattr(lines, "_SLOW_S", 60)
    return store


def ask(*about, key=HERE, **how):
    return asyncio.create_task(lines.perform(key, RequestInfo("POST", None, b""), Operation(*about, **how)))


async def held(store):
    """Let a first group begin, and hold it."""
    store.go_on.clear()
    first = ask("first")
    await store.has_begun()
    return first


def test_what_arrives_while_a_group_is_applied_is_the_next_group(store):
    async def story():
        first = await held(store)
        rest = [ask(n) for n in range(5)]
        await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.gather(first, *rest)

    asyncio.run(story())

    assert store.groups == [[("first",)], [(n,) for n in range(5)]]


def test_organizations_never_share_a_group_and_do_not_wait_for_each_other(store):
    async def story():
        first = await held(store)
        other = ask("other", key=THERE)
        await store.has_begun()
        store.go_on.set()
        await asyncio.gather(first, other)

    asyncio.run(story())

    assert store.groups == [[("first",)], [("other",)]]


def test_who_names_somebody_that_an_earlier_one_names_comes_in_the_next_group_in_order(store):
    async def story():
        first = await held(store)
        rest = [ask("a"), ask("a", "b"), ask("b"), ask("c")]
        await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.gather(first, *rest)

    asyncio.run(story())

    assert store.groups[1:] == [[("a",), ("c",)], [("a", "b")], [("b",)]]


def test_who_met_another_goes_before_all_that_came_later(store):
    store.late = {("late",)}

    async def story():
        first = await held(store)
        rest = [ask("a"), ask("late")]
        await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.gather(first, *rest)

    asyncio.run(story())

    assert store.groups[1:] == [[("a",), ("late",)], [("late",)]]


def test_some_share_their_group_with_nobody(store):
    async def story():
        first = await held(store)
        rest = [ask("a"), ask("deletion", is_alone=True), ask("b")]
        await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.gather(first, *rest)

    asyncio.run(story())

    assert store.groups[1:] == [[("a",), ("b",)], [("deletion",)]]


def test_a_slow_group_does_not_hold_up_the_next(store, monkeypatch):
    monkeypatch.setattr(lines, "_SLOW_S", 0.01)

    async def story():
        first = await held(store)
        second = ask("second")
        await store.has_begun()
        store.go_on.set()
        await asyncio.gather(first, second)

    asyncio.run(story())

    assert store.groups == [[("first",)], [("second",)]]


def test_who_waits_too_long_is_told_to_come_back(store, monkeypatch):
    monkeypatch.setattr(lines, "_PATIENCE_S", 0.01)

    async def story():
        first = await held(store)
        with pytest.raises(ApiError) as refused:
            await ask("second")
        store.go_on.set()
        await first
        return refused.value

    refused = asyncio.run(story())

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5")
    assert store.groups == [[("first",)]]


def test_a_line_has_an_end(store, monkeypatch):
    monkeypatch.setattr(lines, "_MOST_WAITING", 1)

    async def story():
        first = await held(store)
        waiting, refused = ask("second"), ask("third")
        with pytest.raises(ApiError):
            await refused
        store.go_on.set()
        await asyncio.gather(first, waiting)

    asyncio.run(story())


def test_a_block_keeps_its_order_and_lets_others_between(store, monkeypatch):
    monkeypatch.setattr(lines, "_MOST_OF_A_BLOCK", 2)
    store.late = {("b",)}

    async def story():
        first = await held(store)
        block = [Member(HERE, RequestInfo("POST", None, b""), Operation(name)) for name in "abcd"]
        whole = asyncio.create_task(lines.perform_all(block))
        await asyncio.sleep(0)
        single = ask("single")
        await asyncio.sleep(0)
        store.go_on.set()
        await asyncio.gather(first, whole, single)
        return block

    block = asyncio.run(story())

    assert store.groups[1:] == [[("a",), ("b",)], [("single",)], [("b",), ("c",)], [("d",)]]
    assert all(member.response is not None for member in block)


def test_an_error_of_the_group_wakes_everybody(store, monkeypatch):
    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(lines, "carry_out", broken)

    async def story():
        return await asyncio.gather(ask("a"), ask("b"), return_exceptions=True)

    assert [type(error) for error in asyncio.run(story())] == [RuntimeError, RuntimeError]
