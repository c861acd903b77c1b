"""A witness: a process that sends signed webhooks all the time, half of them on new connections, and tells their times.

It is a process of its own, so that an attacker that keeps Python busy does not make the web process look slow.
"""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import uuid4

from connectors.shopify.simulator.shop import signed

_SENDERS, _PAUSE_S = 4, 0.05


@dataclass
class Testimony:
    """What the witness saw, once it has come back."""

    times_ms: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)

    def p99_ms(self) -> float:
        ordered = sorted(self.times_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] if ordered else float("inf")

    def all_kept(self) -> bool:
        return set(self.statuses) == {"200"}


@contextmanager
def witness(url: str, secret: str, domain: str):
    """Send webhooks while the block runs; the testimony is there after it."""
    testimony = Testimony()
    command = [sys.executable, "-m", "tests.attack.witness", url, secret, domain]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    try:
        yield testimony
    finally:
        told, _ = process.communicate(b"", timeout=60)
        seen = json.loads(told)
        testimony.times_ms, testimony.statuses = seen["times_ms"], Counter(seen["statuses"])


def _main(url: str, secret: str, domain: str) -> None:
    ended = threading.Event()
    times_ms: list[float] = []
    statuses: Counter[str] = Counter()
    senders = [
        threading.Thread(target=_send, args=(url, secret, domain, ended, times_ms, statuses, bool(number % 2)))
        for number in range(_SENDERS)
    ]
    for sender in senders:
        sender.start()
    print("ready", flush=True)  # noqa: T201 - tells the parent
    sys.stdin.read()
    ended.set()
    for sender in senders:
        sender.join()
    print(json.dumps({"times_ms": times_ms, "statuses": statuses}))  # noqa: T201 - tells the parent


def _send(url, secret, domain, ended, times_ms, statuses, keeps) -> None:
    to = urlsplit(url)
    connection = None
    while not ended.wait(_PAUSE_S):
        body = {"id": uuid4().int % 10**12, "email": f"{uuid4().hex}@example.com", "updated_at": "2026-11-01T00:00:00Z"}
        delivery = signed(body, secret, domain=domain, webhook_id=uuid4().hex)
        began = time.perf_counter()
        try:
            if connection is None:
                connection = http.client.HTTPConnection(to.hostname, to.port, timeout=10)
            connection.request("POST", to.path, delivery.body, delivery.headers)
            answer = connection.getresponse()
            answer.read()
            statuses[str(answer.status)] += 1
        except (OSError, http.client.HTTPException) as error:
            statuses[type(error).__name__] += 1
            keeps_now = False
        else:
            keeps_now = keeps
        times_ms.append((time.perf_counter() - began) * 1000)
        if connection is not None and not keeps_now:
            connection.close()
            connection = None


if __name__ == "__main__":
    _main(*sys.argv[1:])
