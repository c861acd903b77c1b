"""Sync: the real workers drain a backlog of events, beside a baseline with a Celery task per event."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import cast

import orjson
import redis
from sqlalchemy import TextClause, text

from bench.events import DOMAIN, SECRET, events
from bench.stack import Stack, until
from connectors.shopify.simulator.shop import signed
from worker.inbox.ingest import accept
from worker.inbox.nudge import publish_once
from worker.store import envelopes
from worker.store.lanes import lane_of

#: events that are drained before the clock starts, so that imports, caches and connections exist
_WARM_UP = 1000
_BASELINE_WARM_UP = 40
_FAR_AWAY = 5_000_000  #: where the numbers of the customers of the warm-up begin
_START_S = 30.0
_AT_ONCE = 200  #: envelopes in one insert

_IS_LEASED = text("""
    SELECT coalesce((SELECT lease_token IS NOT NULL FROM ready WHERE lane = :lane
                      ORDER BY lane, next_run_at, envelope_id LIMIT 1), true)
""")
_KEPT_AND_SETTLED = text("""
    SELECT (SELECT count(*) FROM envelopes), (SELECT count(*) FROM outcomes WHERE outcome = 'settled')
""")
_IS_EMPTY = text("SELECT NOT EXISTS (SELECT 1 FROM ready WHERE lane = :lane)")


@dataclass(frozen=True)
class Measured:
    """How many events were done, and in how many seconds."""

    events: int
    seconds: float

    @property
    def per_s(self) -> float:
        """How many events were done in a second."""
        return self.events / self.seconds


class Workers:
    """The real worker, which the supervisor's command starts. It is warm, and idle between measurements."""

    def __init__(self, stack: Stack, processes: int) -> None:
        self._stack = stack
        self._processes = processes
        self.lane = lane_of(stack.connection_id)
        stack.empty()
        self._fill(_WARM_UP, start=_FAR_AWAY)
        self.nudge()
        if not until(lambda: self._holds(_IS_EMPTY), seconds=_START_S):
            raise stack.failure("worker", f"did not drain {_WARM_UP} envelopes in {_START_S:.0f} s")

    def drain(
        self, n: int, *, seconds: float, beside: Callable[[], AbstractContextManager[object]] = nullcontext
    ) -> Measured:
        """Drain ``n`` envelopes. The clock runs from the first lease until the queue is empty or the time is up.

        ``beside`` is entered before the nudge.
        """
        self._stack.empty()
        self._fill(n)
        with beside():
            self.nudge()
            if not until(lambda: self._holds(_IS_LEASED), seconds=_START_S, every_s=0.001):
                raise self._stack.failure("worker", f"leased nothing in {_START_S:.0f} s")
            began = time.perf_counter()
            until(lambda: self._holds(_IS_EMPTY), seconds=seconds)
            elapsed = time.perf_counter() - began
        with self._stack.engine.connect() as conn:
            left = int(conn.execute(text("SELECT count(*) FROM ready")).scalar_one())
            settled = int(conn.execute(text("SELECT count(*) FROM outcomes WHERE outcome = 'settled'")).scalar_one())
        if left + settled < n:
            raise SystemExit(f"of {n} envelopes {settled} settled and {left} are left")
        return Measured(n - left, elapsed)

    def finish(self, *, seconds: float) -> None:
        """Wait until the queue is empty, and exit if an envelope did not settle."""
        with self._stack.engine.connect() as conn:
            # Every query here costs time on the machine that we measure, so it is a single message, sent seldom.
            conn.execution_options(isolation_level="AUTOCOMMIT")
            is_empty = partial(conn.execute, _IS_EMPTY, {"lane": self.lane})
            if not until(lambda: is_empty().scalar_one() is True, seconds=seconds, every_s=0.02):
                raise self._stack.failure("worker", f"did not empty the queue in {seconds:.0f} s")
            kept, settled = conn.execute(_KEPT_AND_SETTLED).one()
        if kept != settled:
            raise SystemExit(f"of {kept} envelopes {settled} settled")

    def _fill(self, n: int, *, start: int = 0) -> None:
        """Put envelopes into the inbox. Without a nudge, no worker takes them yet."""
        incoming = []
        for delivery_id, body in events(n, start=start):
            delivery = signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id)
            incoming.append(accept(self._stack.source, list(delivery.headers.items()), delivery.body))
        for at in range(0, n, _AT_ONCE):
            with self._stack.engine.begin() as conn:
                envelopes.keep(conn, incoming[at : at + _AT_ONCE])

    def nudge(self) -> None:
        """Send a nudge to every process of the worker."""
        for _ in range(self._processes):
            if not publish_once(self.lane):
                raise SystemExit("the broker takes no nudge")

    def _holds(self, statement: TextClause) -> bool:
        with self._stack.engine.connect() as conn:
            return bool(conn.execute(statement, {"lane": self.lane}).scalar_one())


@contextmanager
def workers(stack: Stack, processes: int) -> Iterator[Workers]:
    """Run the real worker with this number of processes."""
    with stack.running("worker", stack.program("worker", workers=processes)):
        yield Workers(stack, processes)


def baseline(stack: Stack, n: int, *, workers: int, seconds: float) -> Measured:
    """Let the baseline do ``n`` tasks. The clock runs from the first task taken to the last one acknowledged."""
    from bench.baseline import tasks  # noqa: PLC0415 - needs the environment of a running stack

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
        stack.running("baseline", (*command, *flags.split())),
    ):

        def left() -> int:
            return cast("int", broker.llen("celery")) + cast("int", broker.hlen("unacked"))

        if not until(lambda: left() < n, seconds=_START_S):
            raise stack.failure("baseline", f"took nothing in {_START_S:.0f} s")
        began, before = time.perf_counter(), left()
        until(lambda: left() == 0, seconds=seconds, every_s=0.05)
        return Measured(before - left(), time.perf_counter() - began)
