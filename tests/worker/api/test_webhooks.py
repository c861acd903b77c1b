"""The webhook route's bounds: what an unsigned request can cost."""

import asyncio
from uuid import UUID

import orjson
import pytest
from structlog.testing import capture_logs

from worker import ids, logs
from worker.api import linger, webhooks
from worker.api.bodies import Bodies
from worker.api.webhooks import Inbox, Sources
from worker.inbox.ingest import Source
from worker.store.envelopes import Kept

SOURCE = Source(UUID(int=1), UUID(int=2), "shopify", ("secret",))


class Known:
    """Connections, all of which are known; counts how often it was asked."""

    def __init__(self):
        self.asked = 0

    async def find(self, shown_id):
        self.asked += 1
        return SOURCE


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(webhooks, "sources", Known())
    monkeypatch.setattr(linger, "_S", 0.01)
    return webhooks.sources


async def post(*pieces, ends=True, **headers):
    """Post a body in pieces; return the status, the answer and its headers."""
    waiting, sent = list(pieces), []

    async def receive():
        if not waiting:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not ends}

    async def send(message):
        sent.append(message)

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": "/webhooks/con_x", "headers": named}
    await webhooks.receive(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], orjson.loads(body), dict(sent[0]["headers"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"content_length": "5242881"}, 413), ({"content_encoding": "gzip"}, 415)],
)
def test_what_the_head_rules_out_costs_no_look_up(known, headers, status):
    answered, _, answer_headers = asyncio.run(post(b"a", **headers))

    assert answered == status
    assert answer_headers[b"connection"] == b"close"
    assert known.asked == 0


def test_a_body_that_grows_beyond_the_limit_is_refused(known):
    assert asyncio.run(post(*[b"a" * 1_000_000] * 6))[0] == 413


def test_of_too_many_unfinished_bodies_the_oldest_is_given_up(known, monkeypatch):
    monkeypatch.setattr(webhooks, "bodies", Bodies(10_000_000))
    monkeypatch.setattr(webhooks, "_seldom", logs.Seldom())

    async def story():
        unfinished = [asyncio.create_task(post(b"a" * 900_000, ends=False)) for _ in range(15)]
        done, pending = await asyncio.wait(unfinished, timeout=0.5)
        for task in pending:
            task.cancel()
        return [task in done for task in unfinished], [task.result() for task in done]

    with capture_logs() as lines:
        is_done, answers = asyncio.run(story())

    assert is_done == [True] * 4 + [False] * 11
    assert {(status, headers[b"retry-after"]) for status, _, headers in answers} == {(503, b"5")}
    assert [line["event"] for line in lines] == ["ingest_unavailable"]  # no line for each


def test_invented_connections_share_look_ups_and_known_ones_do_not_wait(monkeypatch):
    batches = []

    def load(ids_):
        batches.append(ids_)
        return [SOURCE if id_ == SOURCE.id else None for id_ in ids_]

    monkeypatch.setattr(webhooks, "_load", load)
    monkeypatch.setattr(webhooks, "_CACHE_S", 0)
    shown = ids.show(ids.CONNECTION, SOURCE.id)

    async def story():
        sources = Sources()
        assert await sources.find(shown) == SOURCE
        invented = [asyncio.create_task(sources.find(ids.show(ids.CONNECTION, UUID(int=100 + n)))) for n in range(300)]
        await asyncio.sleep(0)
        for _ in range(3):
            assert await sources.find(shown) == SOURCE
        assert not any(task.done() for task in invented)  # They wait for their turn.
        assert set(await asyncio.gather(*invented)) == {None}
        return sources

    sources = asyncio.run(story())

    assert len(batches) <= 6
    assert set(sources._known) == {shown}


def test_an_insert_has_a_limit_in_bytes():
    inserts = []

    class Incoming:
        connection_id, lane = SOURCE.id, 1

        def __init__(self, size):
            self.body = b"a" * size

    async def write(batch):
        inserts.append([len(incoming.body) for incoming in batch])
        return [Kept(UUID(int=1), is_duplicate=True, is_mismatch=False) for _ in batch]

    async def story():
        inbox = Inbox(write)
        inbox._storing_figures = asyncio.create_task(asyncio.sleep(0))  # nobody stores figures here
        sizes = [9_000_000, 10, 20, 5_000_000, 5_000_000, 30]
        await asyncio.gather(*(inbox.keep(Incoming(size)) for size in sizes))
        return inbox

    inbox = asyncio.run(story())

    assert inserts == [[9_000_000], [10, 20, 5_000_000, 5_000_000], [30]]
    assert inbox._waiting_bytes == 0
