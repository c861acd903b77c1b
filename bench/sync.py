"""Sync: a backlog of events through the real workers, beside a Celery task per event."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import orjson
import redis
from sqlalchemy import TextClause, text

from bench.events import DOMAIN, SECRET, events
from bench.stack import Stack, until
from connectors.shopify.simulator import signed
from worker.ingest import accept
from worker.nudge import publish_once
from worker.store import envelopes
from worker.store.envelopes import Incoming

#: events that go through before the clock starts: imports, caches, connections
_WARM_UP = 1000
_BASELINE_WARM_UP = 40
_FAR_AWAY = 5_000_000  #: numbers of the people of the warm-up
_START_S = 30.0
_FILL = 200

_IS_CLAIMED = text("""
    SELECT coalesce((SELECT lease_token IS NOT NULL FROM ready WHERE lane = :lane
                      ORDER BY lane, next_run_at, envelope_id LIMIT 1), true)
""")
_IS_EMPTY = text("SELECT NOT EXISTS (SELECT 1 FROM ready WHERE lane = :lane)")
_LEFT = text("SELECT count(*) FROM ready WHERE lane = :lane")


@dataclass(frozen=True)
class Measured:
    """How many events took how long."""

    events: int
    seconds: float

    @property
    def per_s(self) -> float:
        """Events per second."""
        return self.events / self.seconds


def drained(stack: Stack, n: int, *, workers: int, seconds: float) -> Measured:
    """Let the real worker drain ``n`` envelopes; from the first claim until the queue is empty, or the time is up."""
    stack.empty()
    lane = stack.source.id.int % envelopes.LANES

    def see(statement: TextClause) -> Callable[[], bool]:
        def look() -> bool:
            with stack.engine.connect() as conn:
                return bool(conn.execute(statement, {"lane": lane}).scalar_one())

        return look

    command = stack.program("worker", workers=workers)
    with stack.running("worker", command) as process:
        _keep(stack, _incoming(stack, _WARM_UP, start=_FAR_AWAY))
        for _ in range(workers):
            publish_once(lane)
        until(see(_IS_EMPTY), seconds=_START_S)
        stack.check(process, "worker")
        incoming = _incoming(stack, n)
        _keep(stack, incoming)
        for _ in range(workers):
            publish_once(lane)
        if not until(see(_IS_CLAIMED), seconds=_START_S, every_s=0.001):
            raise SystemExit("the worker takes nothing")
        began = time.perf_counter()
        until(see(_IS_EMPTY), seconds=seconds)
        elapsed = time.perf_counter() - began
    with stack.engine.connect() as conn:
        left = int(conn.execute(_LEFT, {"lane": lane}).scalar_one())
        parked = conn.execute(text("SELECT count(*) FROM parked")).scalar_one()
    if parked:
        raise SystemExit(f"{parked} envelopes were parked")
    return Measured(n - left, elapsed)


def baseline(stack: Stack, n: int, *, workers: int, seconds: float) -> Measured:
    """Let the baseline's worker do ``n`` tasks; from the first one taken until the last one is acknowledged."""
    from bench.baseline import tasks  # noqa: PLC0415 - reads the environment of a stack that is up

    stack.empty()
    tasks.Base.metadata.drop_all(tasks.engine)
    tasks.Base.metadata.create_all(tasks.engine)
    with tasks.app.producer_pool.acquire(block=True) as producer:
        for first, count in ((_FAR_AWAY, _BASELINE_WARM_UP), (0, n)):
            for delivery_id, body in events(count, start=first):
                tasks.sync.apply_async((delivery_id, body), producer=producer)
    flags = "--loglevel ERROR --without-gossip --without-mingle --hostname baseline@%h"
    command = (sys.executable, "-m", "celery", "-A", "bench.baseline.tasks", "worker", "-c", str(workers))
    with (
        redis.Redis.from_url(stack.baseline_broker_url) as broker,
        stack.running("baseline", (*command, *flags.split())) as process,
    ):

        def left() -> int:
            return cast("int", broker.llen("celery")) + cast("int", broker.hlen("unacked"))

        if not until(lambda: left() < n or process.poll() is not None, seconds=_START_S):
            raise SystemExit("the baseline's worker takes nothing")
        stack.check(process, "baseline")
        began, before = time.perf_counter(), left()
        until(lambda: left() == 0, seconds=seconds, every_s=0.02)
        return Measured(before - left(), time.perf_counter() - began)


def _incoming(stack: Stack, n: int, *, start: int = 0) -> list[Incoming]:
    incoming = []
    for delivery_id, body in events(n, start=start):
        sent_at = "2026-11-01T00:00:00.000000000Z"
        delivery = signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id, sent_at=sent_at)
        incoming.append(accept(stack.source, list(delivery.headers.items()), delivery.body))
    return incoming


def _keep(stack: Stack, incoming: Sequence[Incoming]) -> None:
    for at in range(0, len(incoming), _FILL):
        with stack.engine.begin() as conn:
            envelopes.keep(conn, incoming[at : at + _FILL])
