"""Look-ups in batches."""

import asyncio
import time

import pytest

from worker.api.lookups import Lookups


class Loading:
    """Doubles numbers, and remembers what it was asked together."""

    def __init__(self):
        self.batches = []

    def __call__(self, numbers):
        self.batches.append(numbers)
        time.sleep(0.01)
        if 13 in numbers:
            raise ZeroDivisionError
        return [2 * number for number in numbers]


def test_what_is_asked_meanwhile_is_asked_together():
    loading = Loading()

    async def ask():
        lookups = Lookups(loading)
        return await asyncio.gather(*(lookups.find(number) for number in range(100, 200)))

    assert asyncio.run(ask()) == [2 * number for number in range(100, 200)]
    assert len(loading.batches) <= 2


def test_a_flood_costs_so_many_statements_a_second():
    loading = Loading()

    async def ask(lookups, number):
        for _ in range(10):
            await lookups.find(number)

    async def flood():
        lookups = Lookups(loading, every_s=0.05)
        await asyncio.gather(*(ask(lookups, number) for number in range(10)))

    began = time.monotonic()
    asyncio.run(flood())

    assert len(loading.batches) <= (time.monotonic() - began) / 0.05 + 1


def test_who_asks_raises_what_the_load_raised_and_the_next_is_answered():
    async def ask():
        lookups = Lookups(Loading())
        with pytest.raises(ZeroDivisionError):
            await lookups.find(13)
        return await lookups.find(1)

    assert asyncio.run(ask()) == 2


def test_one_who_gives_up_takes_nothing_from_the_others():
    async def ask():
        lookups = Lookups(Loading())
        first, second = asyncio.create_task(lookups.find(1)), asyncio.create_task(lookups.find(2))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(ask()) == 4


def test_it_works_on_the_next_event_loop():
    lookups = Lookups(Loading(), every_s=0.2)

    async def give_up():
        await lookups.find(1)
        asyncio.create_task(lookups.find(2))  # noqa: RUF006 - the loop ends while it waits
        await asyncio.sleep(0.05)

    asyncio.run(give_up())

    assert asyncio.run(lookups.find(3)) == 6
