"""The load generator, a process of its own: it sends the next request as soon as the last one is answered.

    python -m bench.load PORT CONNECTIONS SECONDS FILE [RATE]
    python -m bench.load --in-turns PORT PORT SECONDS FILE FILE

A FILE holds whole HTTP/1.1 requests, and before each of them its length in four bytes. Every connection is kept alive
and has one request under way. With a RATE, that many requests a second fall due, and the time of a request counts from
when it was due, whether or not a connection was free then. With --in-turns, there is one request under way in all. It
prints a JSON object, and with --in-turns a list of two.
"""

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import uvloop

HOST = "127.0.0.1"
_LENGTH = struct.Struct(">I")
_BODILESS = frozenset({"204", "304"})


def request(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a POST request."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def get(path: str, headers: Mapping[str, str]) -> bytes:
    """Return a GET request."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def send(
    port: int,
    requests: Iterable[bytes],
    *,
    connections: int,
    seconds: float,
    file: Path,
    status: str = "200",
    per_s: float | None = None,
) -> dict[str, Any]:
    """Send requests, or as many as fit into ``seconds``, from a process of its own. Exits if a status differs.

    With ``per_s`` so many a second, and not as many as are answered.
    """
    save(file, requests)
    rate = [] if per_s is None else [str(per_s)]
    (figures,) = _run([str(port), str(connections), str(seconds), str(file), *rate], seconds, status)
    return figures


def send_in_turns(
    ports: Sequence[int], requests: Sequence[Iterable[bytes]], *, seconds: float, file: Path, status: str = "200"
) -> list[dict[str, Any]]:
    """Send requests to two servers in turns, so that other work of the machine slows down both."""
    files = [file.with_name(f"{file.name}-{side}") for side in (0, 1)]
    for path, of_side in zip(files, requests, strict=True):
        save(path, of_side)
    return _run(["--in-turns", *map(str, ports), str(seconds), *map(str, files)], seconds, status)


def _run(arguments: Sequence[str], seconds: float, status: str) -> list[dict[str, Any]]:
    root = Path(__file__).resolve().parents[1]
    command = (sys.executable, "-m", "bench.load", *arguments)
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=seconds + 60, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the load generator failed: {done.stderr[-500:]}")
    printed = json.loads(done.stdout)
    results: list[dict[str, Any]] = printed if isinstance(printed, list) else [printed]
    for figures in results:
        if figures["answers"].keys() != {status}:
            raise SystemExit(f"expected {status}, got {figures['answers']}")
    return results


def save(path: Path, requests: Iterable[bytes]) -> None:
    """Write requests to a file for the generator."""
    with path.open("wb") as file:
        for content in requests:
            file.write(_LENGTH.pack(len(content)) + content)


class Run:
    """The requests that are left to send, and the answers that came back."""

    def __init__(self, requests: Iterator[bytes], seconds: float, per_s: float | None = None) -> None:
        self._requests = requests
        self._end = time.perf_counter() + seconds
        self._next_due = time.perf_counter()
        self._every_s = 0.0 if per_s is None else 1 / per_s
        self.latencies: list[float] = []
        self.answers: Counter[str] = Counter()

    def take(self) -> bytes | None:
        """Return the next request, or None if all are sent or the time is up."""
        return None if time.perf_counter() > self._end else next(self._requests, None)

    def due(self) -> float:
        """Return when the next request is due; without a rate, now."""
        if not self._every_s:
            return time.perf_counter()
        due = self._next_due
        self._next_due += self._every_s
        return due


class Sender(asyncio.Protocol):
    """A connection that sends one request after the other."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._answer = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport
        self.is_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's class does not inherit from it

    def send(self) -> None:
        """Send the next request when it is due, if there is one."""
        due = self._run.due()
        early_s = due - time.perf_counter()
        if early_s > 0:
            asyncio.get_running_loop().call_later(early_s, self._send, due)
        else:
            self._send(due)

    def _send(self, due: float) -> None:
        next_request = self._run.take()
        if next_request is None:
            if not self.is_done.done():
                self.is_done.set_result(None)
            self._transport.close()
            return
        self._sent_at = due
        self._transport.write(next_request)

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head = self._answer.find(b"\r\n\r\n")
        if head < 0:
            return
        try:
            status, length = _head(self._answer[: head + 2])
        except ValueError as error:
            self._fail(error)
            return
        if len(self._answer) < head + 4 + length:
            return
        self._run.latencies.append(time.perf_counter() - self._sent_at)
        self._run.answers[status] += 1
        self._answer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if not self.is_done.done():
            self.is_done.set_exception(error)
        self._transport.close()


async def run(
    port: int, connections: int, seconds: float, requests: list[bytes], per_s: float | None = None
) -> dict[str, object]:
    """Send all requests, or as many as fit into ``seconds``, and return the figures."""
    loop = asyncio.get_running_loop()
    sending = Run(iter(requests), seconds, per_s)
    senders = [(await loop.create_connection(lambda: Sender(sending), HOST, port))[1] for _ in range(connections)]
    began, cpu = time.perf_counter(), time.process_time()
    for sender in senders:
        sender.send()
    await asyncio.gather(*(sender.is_done for sender in senders))
    elapsed = time.perf_counter() - began
    return _figures(sending, elapsed, time.process_time() - cpu)


async def run_in_turns(
    ports: Sequence[int], seconds: float, requests: Sequence[list[bytes]]
) -> list[dict[str, object]]:
    """Send one request at a time to two servers in turns. The server that comes first alternates."""
    sides = [
        (Run(iter(of_side), seconds), *await asyncio.open_connection(HOST, port))
        for port, of_side in zip(ports, requests, strict=True)
    ]
    cpu = time.process_time()
    is_over = False
    while not is_over:
        for sending, reader, writer in sides:
            next_request = sending.take()
            if next_request is None:
                is_over = True
                break
            sent_at = time.perf_counter()
            writer.write(next_request)
            status, length = _head(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(length)
            sending.latencies.append(time.perf_counter() - sent_at)
            sending.answers[status] += 1
        sides.reverse()
    for _, _, writer in sides:
        writer.close()
    cpu = time.process_time() - cpu
    sides.sort(key=lambda side: ports.index(side[2].get_extra_info("peername")[1]))
    return [_figures(sending, sum(sending.latencies), cpu) for sending, _, _ in sides]


def _head(head: bytes) -> tuple[str, int]:
    """Return the status of an answer, and the length of its body."""
    status = head[9:12].decode()
    at = head.find(b"content-length: ")  # uvicorn writes header names in lower case
    if at < 0 and status not in _BODILESS:
        raise ValueError(f"an answer with status {status} has no content-length")
    return status, 0 if at < 0 else int(head[at + 16 : head.index(b"\r", at)])


def _figures(sending: Run, elapsed: float, cpu: float) -> dict[str, object]:
    latencies = sorted(sending.latencies)

    def percentile(share: float) -> float:
        return round(latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1000, 2)

    return {
        "requests": len(latencies),
        "seconds": round(elapsed, 3),
        "per_s": round(len(latencies) / elapsed, 1),
        "answers": dict(sending.answers),
        "latency_ms": {"p50": percentile(0.5), "p95": percentile(0.95), "p99": percentile(0.99), "max": percentile(1)},
        "generator_cpu": round(cpu / elapsed, 2),
    }


def _read(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    at = 0
    while at < len(content):
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        yield content[at : at + length]
        at += length


def main() -> None:
    if sys.argv[1] == "--in-turns":
        first, second, seconds, *files = sys.argv[2:]
        requests = [list(_read(Path(file))) for file in files]
        print(json.dumps(uvloop.run(run_in_turns([int(first), int(second)], float(seconds), requests))))
        return
    port, connections, seconds, file, *rate = sys.argv[1:]
    per_s = float(rate[0]) if rate else None
    print(json.dumps(uvloop.run(run(int(port), int(connections), float(seconds), list(_read(Path(file))), per_s))))


if __name__ == "__main__":
    main()
