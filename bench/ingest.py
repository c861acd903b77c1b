"""Ingest: signed webhooks to the real web process, beside requests to empty routes of the same server."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from sqlalchemy import text

from bench import load
from bench.events import DOMAIN, SECRET, events
from bench.stack import Stack
from connectors.shopify.simulator.shop import signed
from worker import ids

CONNECTIONS = 32
_WARM_UP = 1000
_FAR_AWAY = 5_000_000


class Servers:
    """Two web processes, of which only one gets requests at a time; the other one is idle."""

    def __init__(self, stack: Stack, ours: int, empty: int) -> None:
        self._stack = stack
        shown = ids.show(ids.CONNECTION, stack.connection_id)
        self._paths = {"ours": f"/webhooks/{shown}", "empty": "/empty", "bare": "/bare"}
        self._ports = {"ours": ours, "empty": empty, "bare": empty}
        self._round = 0
        for which in self._ports:
            self.measure(which, _WARM_UP, seconds=10)

    def measure(self, which: str, n: int, *, seconds: float) -> dict[str, Any]:
        """Send ``n`` new webhooks, or as many as fit into ``seconds``."""
        if which == "ours":
            self._stack.empty()
        self._round += 1
        figures = load.send(
            self._ports[which],
            self._requests(which, n),
            connections=CONNECTIONS,
            seconds=seconds,
            file=self._stack.directory / "requests",
        )
        if which == "ours":
            self._check_kept(figures["requests"])
        return figures

    def _requests(self, which: str, n: int) -> Iterator[bytes]:
        for delivery_id, body in events(n, start=self._round * _FAR_AWAY):
            delivery = signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id)
            yield load.request(self._paths[which], delivery.headers, delivery.body)

    def _check_kept(self, n: int) -> None:
        """Exit if a webhook was answered with 200 and is not stored."""
        with self._stack.engine.connect() as conn:
            kept = conn.execute(text("SELECT count(*) FROM envelopes")).scalar_one()
        if kept < n:
            raise SystemExit(f"{n} requests were acknowledged and {kept} kept")


@contextmanager
def servers(stack: Stack) -> Iterator[Servers]:
    """Start both servers and warm them up."""
    with stack.web("web") as ours, stack.web("empty", app="bench.empty:app") as empty:
        yield Servers(stack, ours, empty)
