"""Look-ups that arrive together share a call; one alone waits for nobody."""

import asyncio
from uuid import uuid4

import pytest

from worker.api import gathered, reads
from worker.api.gathered import Gathered
from worker.errors import TransientError
from worker.store import db

ONE, OTHER = uuid4(), uuid4()


class Store:
    """Answers a call when it is told to."""

    def __init__(self):
        self.calls = []
        self.gates = []

    async def load(self, organization_id, asked):
        self.calls.append((organization_id, list(asked)))
        gate = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        await gate
        return [one * 10 for one in asked]


async def started(store, calls):
    while len(store.calls) < calls:  # noqa: ASYNC110 - the loop has nothing else to do
        await asyncio.sleep(0)


def test_one_alone_starts_at_once_and_those_that_come_meanwhile_share_the_next():
    async def story():
        store = Store()
        look_ups = Gathered(store.load, at_once=2)
        first = [asyncio.create_task(look_ups.find(ONE, number)) for number in (1, 2)]
        await started(store, 1)
        later = [asyncio.create_task(look_ups.find(ONE, number)) for number in (3, 4, 5)]
        await started(store, 2)
        for gate in store.gates:
            gate.set_result(None)
        return store.calls, await asyncio.gather(*first, *later)

    calls, answers = asyncio.run(story())

    assert answers == [10, 20, 30, 40, 50]
    assert [asked for _, asked in calls] == [[1, 2], [3, 4, 5]]


def test_no_call_is_about_two_organizations():
    async def story():
        store = Store()
        look_ups = Gathered(store.load, at_once=2)
        tasks = [asyncio.create_task(look_ups.find(who, 1)) for who in (ONE, OTHER, ONE, OTHER)]
        await started(store, 2)
        for gate in store.gates:
            gate.set_result(None)
        await asyncio.gather(*tasks)
        return store.calls

    assert sorted(asyncio.run(story()), key=str) == sorted([(ONE, [1, 1]), (OTHER, [1, 1])], key=str)


def test_an_error_reaches_all_who_share_the_call_and_none_of_the_next():
    async def story():
        calls = []

        async def load(_, asked):
            calls.append(asked)
            if len(calls) == 1:
                raise ValueError("the first")
            return asked

        look_ups = Gathered(load, at_once=2)
        failed = await asyncio.gather(*(look_ups.find(ONE, n) for n in (1, 2)), return_exceptions=True)
        return failed, await look_ups.find(ONE, 3)

    failed, after = asyncio.run(story())

    assert [type(error) for error in failed] == [ValueError, ValueError]
    assert after == 3


def test_who_hangs_up_takes_nobody_along():
    async def story():
        store = Store()
        look_ups = Gathered(store.load, at_once=2)
        gone, stays = (asyncio.create_task(look_ups.find(ONE, number)) for number in (1, 2))
        await started(store, 1)
        gone.cancel()
        store.gates[0].set_result(None)
        return await stays

    assert asyncio.run(story()) == 20


def test_above_the_most_that_may_wait_the_next_is_told_to_try_again(monkeypatch):
    monkeypatch.setattr(gathered, "_MOST_WAITING", 2)

    async def story():
        store = Store()
        look_ups = Gathered(store.load, at_once=2)
        tasks = []
        for number in range(2):
            tasks.append(asyncio.create_task(look_ups.find(ONE, number)))
            await started(store, number + 1)
        tasks += [asyncio.create_task(look_ups.find(ONE, number)) for number in (2, 3)]
        await asyncio.sleep(0)
        with pytest.raises(TransientError):
            await look_ups.find(ONE, 4)
        for gate in store.gates:
            gate.set_result(None)
        await started(store, 3)
        store.gates[2].set_result(None)
        return await asyncio.gather(*tasks)

    assert asyncio.run(story()) == [0, 10, 20, 30]


def test_nothing_is_kept_of_an_organization_that_asks_no_more():
    async def story():
        async def load(_, asked):
            return asked

        look_ups = Gathered(load, at_once=2)
        await look_ups.find(ONE, 1)
        await asyncio.sleep(0)
        return look_ups._queues

    assert asyncio.run(story()) == {}


def test_one_organization_never_takes_all_connections():
    at_most = reads._CONTACTS_AT_ONCE + reads._VIEWS_AT_ONCE

    assert at_most * 4 <= db.LOOK_UP_CONNECTIONS * 3
