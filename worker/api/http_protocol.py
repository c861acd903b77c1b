"""The server's side of a connection: uvicorn's protocol, with bounds on what a stranger can make it hold.

uvicorn bounds neither the head of a request nor how long it takes, waits for ever for the first byte, for trailers and
for a peer that reads nothing, and takes any number of connections and of requests sent ahead. The web process is
started with ``--http worker.api.http_protocol:BoundedProtocol``. What comes after the head is the gate's.

Above the limit of connections the oldest connection of a stranger is cut, so that thousands of idle ones keep nobody
out: somebody with a key or a signature needs a few milliseconds to be recognised.
"""

import asyncio
import resource
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from typing import Any, ClassVar

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from worker.settings import settings

MAX_HEAD_BYTES = 64 * 1024
#: A header of one letter costs us fifty times its bytes, so their number has a limit too.
MAX_HEADERS = 100
HEAD_S = 10.0
#: Requests that a client may send ahead of the answers. They are parsed as they come.
_MAX_PIPELINED = 16
#: After so long without room for more of an answer, the peer is given up.
_STALLED_S = 30.0
#: How much, and for how long, bytes are dropped after a refusal.
_LINGER_BYTES, _LINGER_S = 1024 * 1024, 1.0
#: Files of the process beside the connections of peers, and connections that one turn of the event loop may accept.
_OTHER_FILES, _ACCEPTED_AT_ONCE = 100, 2048
_RECOGNISE = "recognise"


def recognise(scope: Scope) -> None:
    """Tell the connection of a request that its peer has shown a valid key or signature, so that it is not cut."""
    call: Callable[[], None] | None = scope.get("state", {}).get(_RECOGNISE)
    if call is not None:
        call()


@lru_cache
def most_connections() -> int:
    """Return how many connections this process holds, after it has raised its limit on open files as far as it may."""
    wanted = settings().max_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _ACCEPTED_AT_ONCE + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _OTHER_FILES))


class _RefusedError(Exception):
    """A callback of the parser refuses the request; the parser stops."""


class BoundedProtocol(HttpToolsProtocol):
    """A connection with bounds. It is a stranger's until ``recognise`` is called for one of its requests."""

    #: Connections of strangers, and connections of others between two requests; the oldest first.
    _strangers: ClassVar[dict["BoundedProtocol", None]] = {}
    _idle: ClassVar[dict["BoundedProtocol", None]] = {}

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.ws_protocol_class = None  # Nothing here speaks WebSocket.
        self._unread = 0  #: bytes since the last head, piece of a body, or end of a request
        self._refusal = HTTPStatus.BAD_REQUEST
        self._is_refused = self._is_known = False
        self._head_timer: asyncio.TimerHandle | None = None
        self._stalled_timer: asyncio.TimerHandle | None = None

    # The connection.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first byte; make room for this connection if there are too many."""
        super().connection_made(transport)
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if len(self.connections) > most_connections():
            oldest = next(iter(self._strangers), None) or next(iter(self._idle), None)
            if oldest is None:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
                return
            oldest.cut()
        self._strangers[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._forget()
        for timer in (self._head_timer, self._stalled_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def recognise(self) -> None:
        """Note that the peer is no stranger."""
        self._is_known = True
        self._strangers.pop(self, None)

    def cut(self) -> None:
        """End the connection at once."""
        self._forget()
        self.connections.discard(self)
        self.transport.abort()

    def _forget(self) -> None:
        self._strangers.pop(self, None)
        self._idle.pop(self, None)

    # What comes in.

    def data_received(self, data: bytes) -> None:
        """Parse what came; refuse it if it breaks a bound."""
        self._unread += len(data)
        if self._is_refused:
            if self._unread > _LINGER_BYTES:
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # The request is answered as if it had not asked for another protocol.
        except httptools.HttpParserError:
            self._refuse(self._refusal)
            return
        # Trailers after a body count like a head.
        if self._unread > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._head_timer = self.loop.call_later(HEAD_S, self._refuse, HTTPStatus.REQUEST_TIMEOUT)

    def on_message_begin(self) -> None:
        """Begin a request, unless the client is too far ahead of its answers."""
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise _RefusedError
        super().on_message_begin()
        self.scope["state"][_RECOGNISE] = self.recognise

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header. Above the limit the parser stops: one read of the socket can have 60,000 of one letter."""
        if len(self.headers) >= MAX_HEADERS:
            self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise _RefusedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is too large."""
        if self._unread > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._refusal = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
                raise _RefusedError
        self._unread = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self._is_known:
            self._idle.pop(self, None)
        super().on_headers_complete()
        self.headers = []  # Trailers land here, and must not get among the headers of the request.

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note of the end of a request."""
        self._unread = 0
        super().on_message_complete()

    # What goes out.

    def on_response_complete(self) -> None:
        """Wait for the next request. An answer before the end of the body closes, and the rest is not read."""
        if self.cycle.response_complete and self.cycle.more_body:
            self.transport.close()
        super().on_response_complete()
        if self.transport.is_closing():
            self._abort_if_stalled()
        elif self._is_known and self.cycle.response_complete:  # else the next request was sent ahead, and runs now
            self._idle[self] = None

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection."""
        super().timeout_keep_alive_handler()
        self._abort_if_stalled()

    def pause_writing(self) -> None:
        """Give the peer some time to read on."""
        super().pause_writing()
        self._abort_later()

    def resume_writing(self) -> None:
        """Go on, as the peer has read."""
        if self._stalled_timer is not None and not self.transport.is_closing():
            self._stalled_timer.cancel()
            self._stalled_timer = None
        super().resume_writing()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer and close. While an answer to an earlier request is under way, only close."""
        self._is_refused = True
        if self.transport.is_closing() or not (self.cycle is None or self.cycle.response_complete):
            self.transport.close()
            self._abort_if_stalled()
            return
        self.transport.write(_ANSWERS[status])
        # A connection that is closed while bytes come in takes our answer with it.
        self.transport.write_eof()
        self._unread = 0
        self._head_timer = self.loop.call_later(_LINGER_S, self.transport.abort)

    def _abort_if_stalled(self) -> None:
        # A transport that is closing waits for its peer to read the rest, for ever.
        if self.transport.get_write_buffer_size() > 0:
            self._abort_later()

    def _abort_later(self) -> None:
        if self._stalled_timer is None:
            self._stalled_timer = self.loop.call_later(_STALLED_S, self.transport.abort)


def _answer(status: HTTPStatus, code: str, *headers: str) -> bytes:
    content = f'{{"error":"{status.phrase}","code":"{code}"}}'
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        "connection: close",
        *headers,
    )
    return "\r\n".join([*lines, "", content]).encode()


_ANSWERS = {
    HTTPStatus.BAD_REQUEST: _answer(HTTPStatus.BAD_REQUEST, "bad_request"),
    HTTPStatus.REQUEST_TIMEOUT: _answer(HTTPStatus.REQUEST_TIMEOUT, "too_slow"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: _answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large"),
    HTTPStatus.SERVICE_UNAVAILABLE: _answer(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", "retry-after: 5"),
}
