"""Shares: an organization with slow requests leaves threads to the others."""

import asyncio
import threading
from uuid import uuid4

import httpx
import pytest

from worker.api import json_route, shares
from worker.api.errors import ApiError
from worker.api.shares import Shares
from worker.store import contact_lists

MINE, THEIRS = uuid4(), uuid4()


async def run(limited, organization_id, until):
    async with limited.one_of(organization_id):
        await until.wait()


def test_an_organization_takes_its_share_and_others_run():
    async def story():
        limited, until = Shares(2), asyncio.Event()
        mine = [asyncio.create_task(run(limited, MINE, until)) for _ in range(5)]
        await asyncio.sleep(0.01)
        async with limited.one_of(THEIRS):
            assert not any(task.done() for task in mine)
        until.set()
        await asyncio.gather(*mine)
        return limited

    assert asyncio.run(story())._shares == {}


def test_who_waits_too_long_is_told_to_come_back(monkeypatch):
    monkeypatch.setattr(shares, "_PATIENCE_S", 0.01)

    async def story():
        limited, until = Shares(1), asyncio.Event()
        running = asyncio.create_task(run(limited, MINE, until))
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await run(limited, MINE, until)
        until.set()
        await running
        await run(limited, MINE, until)
        return refused.value

    refused = asyncio.run(story())

    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "5"


def test_a_queue_has_an_end(monkeypatch):
    monkeypatch.setattr(shares, "_MAX_WAITING", 1)

    async def story():
        limited, until = Shares(1), asyncio.Event()
        tasks = [asyncio.create_task(run(limited, MINE, until)) for _ in range(3)]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        assert done == {tasks[2]}
        until.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [isinstance(end, ApiError) for end in asyncio.run(story())] == [False, False, True]


def test_slow_queries_of_one_organization_leave_threads_to_another(app, a_key, monkeypatch):
    release, running = threading.Event(), threading.Semaphore(0)
    page = contact_lists.page

    def slow_page(tx, contact_filter, *more):
        if contact_filter.search is not None:
            running.release()
            release.wait(10)
        return page(tx, contact_filter, *more)

    monkeypatch.setattr(contact_lists, "page", slow_page)
    mine, theirs = {"X-Api-Key": a_key()}, {"X-Api-Key": a_key(organization="other")}

    async def story():
        async with app.router.lifespan_context(app), client(app) as caller:
            slow = [asyncio.create_task(caller.get("/v1/contacts?search=slow", headers=mine)) for _ in range(20)]
            for _ in range(json_route._of_loads._most):
                await asyncio.to_thread(running.acquire, timeout=5)
            quick = await asyncio.wait_for(caller.get("/v1/contacts", headers=theirs), 4)
            assert not any(task.done() for task in slow)
            release.set()
            return quick, await asyncio.gather(*slow)

    quick, slow = asyncio.run(story())

    assert quick.status_code == 200
    assert {answer.status_code for answer in slow} == {200}


def client(app):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://contacts", timeout=20)
