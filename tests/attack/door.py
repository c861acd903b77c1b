"""The unauthenticated surface: what somebody without a key or a signature can make the web process hold.

All the while a witness sends signed webhooks. Bounds of time hold in the full form only, because a machine that runs
the suite has other work too.
"""

import asyncio
import resource
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from tests.attack.finding import Finding
from tests.attack.witness import Testimony, witness
from tests.flows.stack import RunningStack

MOST_MB, MOST_P99_MS = 300, 250
_MB = 1024 * 1024
_SECRET, _DOMAIN = "a secret of the door", "door.myshopify.com"
_GONE = (OSError, EOFError, asyncio.IncompleteReadError)


class Target:
    """The web process under attack."""

    def __init__(self, stack: RunningStack) -> None:
        to = urlsplit(stack.url)
        self.host, self.port, self.pid = to.hostname, to.port, stack.web()
        self.webhook = urlsplit(stack.connect(_DOMAIN, secret=_SECRET, source="door", organization="door"))
        self.key = stack.key("door")

    def rss_mb(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


@contextmanager
def _watched(target: Target) -> Iterator[list[float]]:
    """Measure the memory of the process while the block runs; yield a list that gets the peak in MB."""
    ended, peak = threading.Event(), [0.0]

    def look() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], target.rss_mb())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield peak
    finally:
        ended.set()
        looking.join()


async def _push(target: Target, head: bytes, piece: bytes, total: int) -> tuple[str, float]:
    """Send a head and then ``total`` bytes in pieces, unless cut off; return the status, and how many MB were taken."""
    sent = 0
    async with target.connection() as (reader, writer):
        status = asyncio.create_task(_status(reader))
        with suppress(*_GONE):
            writer.write(head)
            while sent < total and not status.done():
                writer.write(piece)
                await writer.drain()
                sent += len(piece)
        with suppress(TimeoutError):
            return await asyncio.wait_for(status, 15), sent / _MB
    return "none", sent / _MB


async def _status(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readline()).split(b" ")[1].decode()
    except (*_GONE, IndexError):
        return "cut"


async def _together(n: int, attack: Callable[[], Awaitable[tuple[str, float]]]) -> tuple[Counter[str], float]:
    """Attack on ``n`` connections; return the answers, and the MB that the greediest was given."""
    results = await asyncio.gather(*(attack() for _ in range(n)))
    return Counter(status for status, _ in results), max(taken for _, taken in results)


#: What an attack was, what came of it in words, and whether that was right.
Result = tuple[str, str, bool]


async def _heads(target: Target, *, full: bool) -> AsyncIterator[Result]:
    total = 150 * _MB if full else 24 * _MB
    begun = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"
    chunked = _post(target.webhook.path, b"Transfer-Encoding: chunked")
    # What the kernel holds on both sides of a connection (4 MiB to send, 6 to receive, by default) is sent too before
    # the cut is noticed, so less than 10 MiB would tell nothing.
    for name, head, piece, right in (
        ("headers", begun, b"X-A: " + b"a" * 1000 + b"\r\n", {"431", "cut"}),
        ("headers of one letter", begun, b"a:\r\n" * 1000, {"431", "cut"}),
        ("one header without end", begun + b"X-A: ", b"a" * 64_000, {"431", "cut"}),
        ("one path without end", b"GET /", b"a" * 64_000, {"431", "cut"}),
        ("empty lines before a request", b"\r\n", b"\r\n" * 32_000, {"431", "cut"}),
        ("trailers", chunked + b"1\r\na\r\n0\r\n", b"X-A: " + b"a" * 1000 + b"\r\n", {"431", "cut"}),
        ("an extension of a chunk", chunked + b"1;", b"a" * 64_000, {"431", "cut"}),
    ):
        status, taken = await _push(target, head, piece, total)
        yield (
            f"{total // _MB} MiB of {name}",
            f"{status} after {taken:.1f} MiB",
            status in right and taken < total / _MB,
        )


async def _ahead(target: Target, *, full: bool) -> AsyncIterator[Result]:
    n, requests = (50, 20_000) if full else (10, 5_000)

    async def send_ahead() -> tuple[str, float]:
        async with target.connection() as (_, writer):  # and never read an answer
            with suppress(*_GONE, TimeoutError):
                writer.write(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * requests)
                await asyncio.wait_for(writer.drain(), 2)
            await asyncio.sleep(1)
            return "sent", 0.0

    await _together(n, send_ahead)
    yield f"{n} connections send {requests} requests ahead, read nothing", "nothing to answer", True


async def _slow_heads(target: Target, *, full: bool) -> AsyncIterator[Result]:
    if not full:  # takes 10 seconds
        return
    n = 300

    async def drip() -> tuple[str, float]:
        began = time.monotonic()
        async with target.connection() as (reader, writer):
            status = asyncio.create_task(_status(reader))
            with suppress(*_GONE):
                for byte in b"GET /healthz HTTP/1.1\r\nX-Drip: " + b"a" * 200:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    if (await asyncio.wait([status], timeout=0.5))[0]:
                        break
            return await status, time.monotonic() - began

    answers, longest_s = await _together(n, drip)
    yield f"{n} heads, a byte each half second", f"{dict(answers)}, at most {longest_s:.0f} s", longest_s < 13


async def _bodies(target: Target, *, full: bool) -> AsyncIterator[Result]:
    n = 60 if full else 12
    key = b"X-Api-Key: " + target.key.encode()
    webhook, api = target.webhook.path, "/v1/contacts"
    whole, announced, chunked = 10**8, b"Content-Length: 100000000", b"Transfer-Encoding: chunked"
    for name, head, size, right in (
        ("unfinished webhooks of 5 MB", _post(webhook, b"Content-Length: 5000001"), 5_000_000, {"503"}),
        ("unfinished bodies of 2 MB, a key", _post(api, key, b"Content-Length: 2000001"), 2_000_000, {"408", "503"}),
        ("announced bodies of 100 MB, a key", _post(api, key, announced), whole, {"413"}),
        ("bodies of 100 MB in chunks, a key", _post(api, key, chunked), whole, {"413", "503"}),
        ("bodies of 100 MB, no key", _post(api, announced), whole, {"401"}),
        ("bodies of 100 MB in chunks, an unknown connection", _post("/webhooks/con_x", chunked), whole, {"404"}),
    ):
        if not full and "2 MB" in name:  # takes 10 seconds
            continue
        piece = b"%x\r\n" % 65_536 + b"a" * 65_536 + b"\r\n" if b"chunked" in head else b"a" * 50_000

        async def push(head: bytes = head, piece: bytes = piece, size: int = size) -> tuple[str, float]:
            return await _push(target, head, piece, size)

        answers, _ = await _together(n, push)
        yield f"{n} {name}", str(dict(answers)), set(answers) <= right | {"cut"}


async def _idle(target: Target, *, full: bool) -> AsyncIterator[Result]:
    n = 2000 if full else 300
    opened = await asyncio.gather(
        *(asyncio.open_connection(target.host, target.port) for _ in range(n)), return_exceptions=True
    )
    began = time.monotonic()
    readers = [pair[0] for pair in opened if isinstance(pair, tuple)]
    _, left = await asyncio.wait([asyncio.create_task(_status(reader)) for reader in readers], timeout=9)
    took_s = time.monotonic() - began
    for pair in opened:
        if isinstance(pair, tuple):
            pair[1].transport.abort()
    yield f"{n} idle connections", f"{len(left)} left after {took_s:.0f} s", len(readers) == n and not left


async def _strangers(target: Target, *, full: bool) -> AsyncIterator[Result]:
    seconds, n = (10.0, 200) if full else (2.0, 8)
    end = time.monotonic() + seconds
    answers: Counter[str] = Counter()

    async def knock(number: int) -> None:
        made_up = 0
        while time.monotonic() < end:
            made_up += 1
            id_ = f"{number:08x}{made_up:024x}"
            if number % 2:
                request = _get("/v1/contacts", f"X-Api-Key: csk_{id_}_guess".encode())
            else:
                request = _post(f"/webhooks/con_{id_}", b"Content-Length: 0")
            with suppress(*_GONE):
                async with target.connection() as (reader, writer):
                    writer.write(request)
                    answers[await _status(reader)] += 1

    async def newcomer() -> tuple[str, float]:
        await asyncio.sleep(seconds / 2)
        began = time.monotonic()
        async with target.connection() as (reader, writer):
            writer.write(_get("/v1/contacts", b"X-Api-Key: " + target.key.encode()))
            return await _status(reader), (time.monotonic() - began) * 1000

    *_, (status, took_ms) = await asyncio.gather(*(knock(number) for number in range(n)), newcomer())
    rate = answers.total() / seconds
    yield (
        f"keys and connections that nobody has, {rate:.0f} a second",
        f"{dict(answers)}; a key for the first time: {status} in {took_ms:.0f} ms",
        set(answers) <= {"401", "404", "cut"} and status == "200",
    )


def _post(path: str, *headers: bytes) -> bytes:
    return b"\r\n".join([f"POST {path} HTTP/1.1".encode(), b"Host: x", *headers, b"", b""])


def _get(path: str, *headers: bytes) -> bytes:
    return b"\r\n".join([f"GET {path} HTTP/1.1".encode(), b"Host: x", *headers, b"", b""])


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 8192), hard), hard))
    target = Target(stack)
    webhooks = (target.webhook.geturl(), _SECRET, _DOMAIN)
    for kind in (_strangers, _heads, _ahead, _slow_heads, _bodies, _idle):
        with witness(*webhooks) as undisturbed:
            time.sleep(5 if full else 0.2)
        with witness(*webhooks) as testimony, _watched(target) as peak_mb:
            results = asyncio.run(_repeat(kind, target, full=full))
        for name, answers, is_right in results:
            yield Finding(name, "refused or cut", answers, is_right)
        if results:
            name = results[0][0] + (" …" if results[1:] else "")
            yield Finding(name, f"web process under {MOST_MB} MB", f"{peak_mb[0]:.0f} MB", peak_mb[0] < MOST_MB)
            yield _times(name, undisturbed, testimony, full=full)


def _times(name: str, undisturbed: Testimony, testimony: Testimony, *, full: bool) -> Finding:
    """Compare with the same seconds before: on a machine with other work, no attack is needed for a second's wait."""
    p99_ms, before_ms = testimony.p99_ms(), undisturbed.p99_ms()
    seen = f"{dict(testimony.statuses)}, p99 {p99_ms:.0f} ms, before {before_ms:.0f} ms"
    if not full:
        return Finding(name, "webhooks kept", seen, testimony.all_kept())
    bound = f"webhooks kept, p99 under {MOST_P99_MS} ms more than before"
    return Finding(name, bound, seen, testimony.all_kept() and p99_ms < MOST_P99_MS + before_ms)


async def _repeat(kind: Callable[..., AsyncIterator[Result]], target: Target, *, full: bool) -> list[Result]:
    """Attack, again and again if it takes only a moment, so that the witness has something to tell."""
    end = time.monotonic() + (5 if full else 0.5)
    while True:
        results = [result async for result in kind(target, full=full)]
        if time.monotonic() > end or not results:
            return results
