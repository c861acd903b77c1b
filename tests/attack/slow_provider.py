"""Attack reading: providers that send a byte now and then, more of them than there are worker processes."""

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from tests.attack.finding import Finding
from tests.attack.sweeper import Witness
from tests.flows.stack import RunningStack, wait_until

ORGANIZATION = "slow-provider"
#: the reading of another shop ends by then
OTHER_S = 20.0
#: one request to a slow provider is given up by then, however it spreads its bytes
GIVEN_UP_S = 30.0
#: a webhook of another organization is worked off by then
WEBHOOK_S = 15.0

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
_TRICKLES = ((b"", b"H"), (_HEAD, b"x"), (_HEAD + b"Content-Length: 10000000\r\n\r\n", b" "))
_REFUSAL = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Peer:
    """A provider that answers each request in its own way, and notes how many it had at once and for how long."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._at_once = 0
        self.most_at_once = 0
        self.asked = 0
        self.longest_s = 0.0

    @contextmanager
    def serving(self) -> Iterator[str]:
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=self._accept, args=(server,), daemon=True).start()
            yield f"http://127.0.0.1:{server.getsockname()[1]}"

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(server.accept()[0],), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            if not connection.recv(65536):
                return
            began = time.monotonic()
            with self._lock:
                self._at_once += 1
                self.asked += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                self._answer(connection)
            finally:
                with self._lock:
                    self._at_once -= 1
                    self.longest_s = max(self.longest_s, time.monotonic() - began)


def trickle(first: bytes, then: bytes) -> Callable[[socket.socket], None]:
    """Answer with a byte every 200 ms, until the other side hangs up."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(first)
        while True:
            connection.sendall(then)
            if select.select([connection], [], [], 0.2)[0]:  # it hung up
                return

    return answer


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Read from slow providers, twice each at once; meanwhile read another shop, and send webhooks of another."""
    witness = Witness(stack)
    slow = [Peer(trickle(*_TRICKLES[number % 3])) for number in range(6 if full else 3)]
    quick = Peer(lambda connection: connection.sendall(_REFUSAL))
    with ExitStack() as opened:
        added = [_connect(stack, number, opened.enter_context(peer.serving())) for number, peer in enumerate(slow)]
        other = _connect(stack, 99, opened.enter_context(quick.serving()))
        try:
            for connection_id in added:
                for kind in ("full", "increment"):
                    stack.start_run(connection_id, kind, ORGANIZATION)
            wait_until(lambda: sum(peer.asked > 0 for peer in slow) >= 2, 20)
            began = time.monotonic()
            run_id = stack.start_run(other, "full", ORGANIZATION)
            limit_s = 3 * OTHER_S if full else OTHER_S
            with suppress(AssertionError):
                wait_until(lambda: stack.run_state(run_id, ORGANIZATION) != "running", 2 * limit_s)
            took = time.monotonic() - began
            yield Finding(
                f"{len(slow)} providers send a byte every 200 ms, in heads and bodies, and each has two runs",
                f"a run of another shop ends within {limit_s:.0f} s",
                f"{took:.1f} s",
                took < limit_s,
            )
            took = witness.takes_s(2 * WEBHOOK_S)
            yield Finding(
                "the same", f"a webhook is worked off within {WEBHOOK_S:.0f} s", f"{took:.1f} s", took < WEBHOOK_S
            )
            if full:
                wait_until(lambda: sum(peer.asked > 1 for peer in slow) >= 2, 90)
                longest = max(peer.longest_s for peer in slow)
                yield Finding(
                    "the same",
                    f"a request is given up within {GIVEN_UP_S:.0f} s",
                    f"after {longest:.1f} s at most",
                    0 < longest < GIVEN_UP_S,
                )
            most = max(peer.most_at_once for peer in slow)
            yield Finding("the same", "each provider has one request at a time", f"{most} at most", most == 1)
        finally:
            for connection_id in (*added, other):
                stack.remove(connection_id, ORGANIZATION)


def _connect(stack: RunningStack, number: int, url: str) -> str:
    shop = ("--shop-domain", f"slow-{number}.myshopify.com", "--source", f"slow-{number}")
    reading = ("--access-token", "invented", "--api-url", url, "--organization", ORGANIZATION)
    return str(stack.cli("connections", "add", "shopify", *shop, *reading)["connection_id"])
