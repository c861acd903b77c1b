"""Deadline: a request is over in time as a whole, whatever the other side does.

httpx limits each wait on the network, and a peer that sends a byte every few seconds never exceeds such a limit. Here
name look-up, connecting, the head and the body of an answer share one deadline. A request carries it as the extension
``deadline``, a time of ``time.monotonic``.
"""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from ssl import SSLContext

import httpcore
import httpx

_Options = Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]

#: addresses of one name that are tried
_MOST_ADDRESSES = 4


class DeadlineTransport(httpx.HTTPTransport):
    """Sends requests without proxies; a request that has the extension ``deadline`` ends by then."""

    def __init__(self) -> None:
        self._now = _Now()
        # Only the pool is made anew, because httpx has no parameter for the network backend, which httpcore documents.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=100,
            max_keepalive_connections=20,
            keepalive_expiry=5.0,
            network_backend=_Backend(self._now),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the answer, whose body ends by the same deadline."""
        at = request.extensions.get("deadline")
        with self._now.until(at):
            response = super().handle_request(request)
        if isinstance(response.stream, httpx.SyncByteStream):
            response.stream = _Body(response.stream, self._now, at)
        return response


class _Now(threading.local):
    """The deadline of what this thread does at the moment; None if it has none."""

    at: float | None = None

    @contextmanager
    def until(self, at: float | None) -> Iterator[None]:
        before, self.at = self.at, at
        try:
            yield
        finally:
            self.at = before

    def cut(self, timeout: float | None, error: type[Exception]) -> float | None:
        """Return how long a wait may take; raise the error if the deadline is over."""
        if self.at is None:
            return timeout
        left = self.at - time.monotonic()
        if left <= 0:
            raise error("the deadline of the request is over")
        return left if timeout is None else min(timeout, left)


class _Body(httpx.SyncByteStream):
    """The body of an answer. Its reader may do other things between two parts, so each part enters the deadline."""

    def __init__(self, stream: httpx.SyncByteStream, now: _Now, at: float | None) -> None:
        self._stream = stream
        self._now = now
        self._at = at

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._stream)
        while True:
            with self._now.until(self._at):
                part = next(parts, None)
            if part is None:
                return
            yield part

    def close(self) -> None:
        with self._now.until(self._at):
            self._stream.close()


class _Backend(httpcore.SyncBackend):
    """Opens connections whose waits end with the deadline."""

    def __init__(self, now: _Now) -> None:
        self._now = now

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: _Options | None = None,
    ) -> httpcore.NetworkStream:
        """Try the addresses of a host in turn; ``timeout`` is for all of them together."""
        with self._now.until(_earlier(self._now.at, timeout)):
            last: Exception = httpcore.ConnectError("the name has no address")
            for address in self._addresses(host, port)[:_MOST_ADDRESSES]:
                left = self._now.cut(None, httpcore.ConnectTimeout)
                try:
                    stream = super().connect_tcp(address, port, left, local_address, socket_options)
                except httpcore.ConnectError as error:
                    last = error
                else:
                    return _Stream(stream, self._now)
            raise last

    def _addresses(self, host: str, port: int) -> list[str]:
        """Look a name up in a thread, because nothing can interrupt a look-up; the resolver's own limits end it."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        answer: SimpleQueue[list[str] | OSError] = SimpleQueue()

        def look_up() -> None:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
                answer.put(list(dict.fromkeys(str(entry[4][0]) for entry in found)))
            except (OSError, UnicodeError):
                answer.put(OSError("the name could not be looked up"))

        threading.Thread(target=look_up, name="look-up", daemon=True).start()
        try:
            found = answer.get(timeout=self._now.cut(None, httpcore.ConnectTimeout))
        except Empty:
            raise httpcore.ConnectTimeout("the name was not looked up in time") from None
        if isinstance(found, OSError):
            raise httpcore.ConnectError(str(found))
        return found


class _Stream(httpcore.NetworkStream):
    """A connection whose waits end with the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, now: _Now) -> None:
        self._stream = stream
        self._now = now

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._now.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._now.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._now.cut(timeout, httpcore.ConnectTimeout)
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left), self._now)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def _earlier(at: float | None, timeout: float | None) -> float | None:
    """Return the deadline, or the end of the timeout if that is earlier."""
    if timeout is None:
        return at
    end = time.monotonic() + timeout
    return end if at is None else min(at, end)
