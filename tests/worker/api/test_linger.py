"""The end of a refused request."""

import asyncio
import time

import pytest

from worker.api import linger


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(linger, "_S", 0.1)


def sender(*messages):
    waiting, taken = list(messages), []

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        taken.append(waiting.pop(0))
        return taken[-1]

    return receive, taken


def piece(size, *, more=True):
    return {"type": "http.request", "body": b"a" * size, "more_body": more}


@pytest.mark.parametrize("last", [piece(1, more=False), {"type": "http.disconnect"}])
def test_it_ends_with_the_body_or_the_sender(last):
    receive, taken = sender(piece(1), last, piece(1))

    asyncio.run(linger.linger(receive))

    assert taken[-1] is last


def test_it_ends_after_a_moment_although_nothing_ends():
    began = time.monotonic()

    asyncio.run(linger.linger(sender(piece(1))[0]))

    assert time.monotonic() - began < 5


def test_it_takes_a_bounded_number_of_bytes():
    receive, taken = sender(*[piece(100_000)] * 100)

    asyncio.run(linger.linger(receive))

    assert len(taken) * 100_000 < 2 * linger._BYTES
