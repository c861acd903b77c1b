"""Bodies: their limits, one by one and together."""

import asyncio

import pytest

from worker.api.bodies import Bodies, CrowdedError, EndedEarlyError, TooLargeError


def sender(*pieces, ends=True):
    """A sender of these pieces, who then stops, hangs up (``ends=None``), or says nothing more (``ends=False``)."""
    waiting = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if ends:
        waiting[-1]["more_body"] = False
    elif ends is None:
        waiting.append({"type": "http.disconnect"})

    async def receive():
        if not waiting:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        return waiting.pop(0)

    return receive


def test_a_body_is_read_whole():
    bodies = Bodies(100)

    assert asyncio.run(bodies.read(sender(b"a"), 10)) == b"a"
    assert asyncio.run(bodies.read(sender(b"a", b"", b"bc"), 10)) == b"abc"


@pytest.mark.parametrize("pieces", [(b"a" * 11,), (b"a" * 6, b"a" * 5), (b"a",) * 11])
def test_a_body_above_its_limit_is_refused_while_it_comes(pieces):
    with pytest.raises(TooLargeError):
        asyncio.run(Bodies(100).read(sender(*pieces, b"never read", ends=False), 10))


def test_a_sender_who_hangs_up_is_noticed():
    with pytest.raises(EndedEarlyError):
        asyncio.run(Bodies(100).read(sender(b"a", ends=None), 10))


def test_the_oldest_unfinished_body_makes_room():
    bodies = Bodies(24)

    async def read():
        stuck = [asyncio.create_task(bodies.read(sender(b"a" * 10, ends=False), 10)) for _ in range(2)]
        await asyncio.sleep(0.01)
        newest = await bodies.read(sender(b"a" * 5, b"a" * 5), 10)
        with pytest.raises(CrowdedError):
            await stuck[0]
        assert not stuck[1].done()
        stuck[1].cancel()
        return newest

    assert asyncio.run(read()) == b"a" * 10


def test_room_is_given_back():
    bodies = Bodies(25)

    async def read():
        for ends in (True, None):
            for _ in range(10):
                with pytest.raises(EndedEarlyError) if ends is None else pytest.raises(TooLargeError):
                    await bodies.read(sender(b"a" * 10, b"a" * (1 if ends else 0), ends=ends), 10)
        for _ in range(10):
            stuck = asyncio.create_task(bodies.read(sender(b"a" * 10, ends=False), 10))
            await asyncio.sleep(0.01)
            stuck.cancel()
            await asyncio.wait([stuck])

    asyncio.run(read())

    assert bodies._reading_bytes == 0
    assert not bodies._reading


def test_while_whole_bodies_fill_the_room_nobody_new_is_read():
    bodies = Bodies(10)

    with bodies.held(11), pytest.raises(CrowdedError):
        asyncio.run(bodies.read(sender(b"a"), 10))

    assert asyncio.run(bodies.read(sender(b"a"), 10)) == b"a"


def test_a_timeout_of_the_caller_stays_a_timeout():
    async def read():
        async with asyncio.timeout(0.01):
            await Bodies(100).read(sender(b"a", ends=False), 10)

    with pytest.raises(TimeoutError):
        asyncio.run(read())
