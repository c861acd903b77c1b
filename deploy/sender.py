"""Sends what a shop would, and asks all the while whether web answers."""

import asyncio
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

import httpx

from connectors.simulation.deliveries import Delivery

_SENDERS = 8
_ATTEMPTS = 120
_PAUSE_S = 0.5


Steps = dict[int, Callable[[], None]]


def send(deliveries: Iterable[tuple[str, Delivery]], *, at: Steps | None = None) -> Counter[str]:
    """Post each delivery until it is answered 200; count the answers. ``at`` says what to do after so many answers."""
    answers: Counter[str] = Counter()
    todo = dict(at or {})

    async def post(client: httpx.AsyncClient, waiting: "asyncio.Queue[tuple[str, Delivery]]") -> None:
        while not waiting.empty():
            url, delivery = waiting.get_nowait()
            for _ in range(_ATTEMPTS):
                try:
                    answer = await client.post(url, content=delivery.body, headers=delivery.headers)
                except httpx.TransportError:
                    answers["no answer"] += 1
                else:
                    answers[str(answer.status_code)] += 1
                    if answer.status_code == httpx.codes.OK:
                        break
                await asyncio.sleep(_PAUSE_S)
            else:
                answers["given up"] += 1
            if step := todo.pop(answers["200"], None):
                await asyncio.to_thread(step)

    async def main() -> None:
        waiting: asyncio.Queue[tuple[str, Delivery]] = asyncio.Queue()
        for pair in deliveries:
            waiting.put_nowait(pair)
        # No check of the name: behind the proxy it is one that its own authority signed.
        async with httpx.AsyncClient(timeout=10, trust_env=False, verify=False) as client:
            await asyncio.gather(*(post(client, waiting) for _ in range(_SENDERS)))

    asyncio.run(main())
    return answers


class Watch:
    """Asks a web process for a sign of life, until the block ends; knows for how long there was none."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self.longest_s = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        answered_at = time.monotonic()
        while True:
            is_last = self._is_over.is_set()
            if alive(self._address.hostname or "", self._address.port or 80) or is_last:
                self.longest_s = max(self.longest_s, time.monotonic() - answered_at)
                answered_at = time.monotonic()
            if is_last:
                return
            time.sleep(0.05)


def alive(host: str, port: int) -> bool:
    """Return whether a web process answers."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    with suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    return False
