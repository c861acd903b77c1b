"""The bounds of a connection, on real sockets with a small application behind them."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.flows.stack import wait_until
from worker.api import http_protocol
from worker.api.http_protocol import BoundedProtocol, recognise

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * (8 * 1024 * 1024)


async def app(scope, receive, send):
    """Answer with the names of the headers; a path can ask for something else."""
    if scope["path"] == "/known":
        recognise(scope)
    body = b",".join(name for name, _ in scope["headers"])
    if scope["path"] == "/wait":
        await asyncio.sleep(60)
    if scope["path"] == "/body":
        while (await receive()).get("more_body"):
            pass
        body = b",".join(name for name, _ in scope["headers"])
    if scope["path"] == "/large":
        body = LARGE
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def server(monkeypatch):
    """A server with short times."""
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.3)
    monkeypatch.setattr(http_protocol, "_STALLED_S", 0.5)
    monkeypatch.setattr(http_protocol, "_LINGER_S", 0.2)
    monkeypatch.setattr(http_protocol, "most_connections", lambda: 8)
    config = uvicorn.Config(
        app, port=0, http=BoundedProtocol, loop="uvloop", lifespan="off", log_level="critical", timeout_keep_alive=1
    )
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield server
    server.force_exit = server.should_exit = True
    running.join()
    http_protocol.BoundedProtocol._strangers.clear()
    http_protocol.BoundedProtocol._idle.clear()


@pytest.fixture
def connect(server):
    """Open connections, which are closed at the end."""
    port = server.servers[0].sockets[0].getsockname()[1]
    with contextlib.ExitStack() as opened:

        def connect():
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.settimeout(5)
            return connection

        yield connect


def answer(connection, sent=b""):
    """Send, and return all that comes until the server closes."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(sent)
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65_536):
            received += piece
    return received


def status(connection, sent=b""):
    return int((answer(connection, sent) or b"x 0 x").split(b" ")[1])


def is_open(connection):
    """Whether a connection answers a request."""
    try:
        connection.sendall(GET)
        return connection.recv(15) == b"HTTP/1.1 200 OK"
    except OSError:
        return False


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 66_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + (b"X: " + b"a" * 1000 + b"\r\n") * 70 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 101 + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 200,
        b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 300_000,
        b"\r\n" * 40_000,
        GET[:-2] + b"X: " + b"a" * 200_000,
    ],
)
def test_a_large_head_is_refused_and_the_connection_closed(connect, head):
    assert status(connect(), head) == 431


def test_a_head_up_to_the_limit_is_taken(connect):
    head = b"GET / HTTP/1.1\r\nConnection: close\r\nX: " + b"a" * 65_000 + b"\r\n\r\n"

    assert status(connect(), head) == 200
    assert status(connect(), b"GET / HTTP/1.1\r\nConnection: close\r\n" + b"a: b\r\n" * 99 + b"\r\n") == 200


def test_a_body_does_not_count_as_head(connect):
    body = b"a" * 500_000
    head = b"POST /body HTTP/1.1\r\nConnection: close\r\nContent-Length: 500000\r\n\r\n"

    assert status(connect(), head + body) == 200


@pytest.mark.parametrize(
    "end", [b"0\r\n" + b"X: " + b"a" * 500_000, b"0\r\n" + b"a:\r\n" * 500, b"5;" + b"a" * 500_000]
)
def test_trailers_and_extensions_of_chunks_are_bounded(connect, end):
    head = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    began = time.monotonic()

    assert answer(connect(), head + end) == b""
    assert time.monotonic() - began < 3


def test_trailers_do_not_get_among_the_headers(connect):
    head = b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"

    shown = answer(connect(), head + b"1\r\na\r\n0\r\nX-Api-Key: mine\r\n\r\n")

    assert shown.endswith(b"transfer-encoding,connection")


@pytest.mark.parametrize("first", [b"GET /", b"\r\n", GET + b"GET /", GET + b"GET / HTTP/1.1\r\nX: a"])
def test_a_head_that_takes_long_is_refused(connect, first):
    connection = connect()
    connection.sendall(first)
    connection.settimeout(0.05)
    began = time.monotonic()

    received = b""
    while not received.endswith(b"}") and time.monotonic() - began < 4:
        with contextlib.suppress(OSError):
            connection.sendall(b"\r\n" if first == b"\r\n" else b"a")
        with contextlib.suppress(OSError):
            received += connection.recv(10_000)

    assert b"HTTP/1.1 408 " in received
    assert time.monotonic() - began < 2


def test_a_connection_without_a_request_is_closed(connect):
    began = time.monotonic()

    assert answer(connect()) == b""
    assert 0.5 < time.monotonic() - began < 3


def test_an_answer_before_the_end_of_the_body_closes(connect):
    assert status(connect(), b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\na") == 200


def test_what_is_no_request_is_refused(connect):
    assert status(connect(), b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") == 400


def test_nobody_speaks_another_protocol(connect):
    asked = b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"

    assert status(connect(), asked) == 200


def test_a_few_requests_may_be_sent_ahead_and_not_thousands(connect):
    last = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"

    assert answer(connect(), GET * 10 + last).count(b"HTTP/1.1 200 OK") == 11
    assert answer(connect(), GET * 5000).count(b"HTTP/1.1 200 OK") < 50


@pytest.mark.parametrize("end", [b"", b"Connection: close\r\n"])
def test_a_peer_that_reads_nothing_is_given_up(server, connect, end):
    connection = connect()
    connection.sendall(b"GET /large HTTP/1.1\r\n" + end + b"\r\n")
    assert connection.recv(12) == b"HTTP/1.1 200"  # so it is being answered
    assert server.server_state.connections

    wait_until(lambda: not server.server_state.connections, 20)


def test_a_peer_that_reads_slowly_gets_its_answer(connect):
    connection = connect()
    connection.sendall(b"GET /large HTTP/1.1\r\nConnection: close\r\n\r\n")
    received = 0
    while piece := connection.recv(1_000_000):
        received += len(piece)
        time.sleep(0.05)

    assert received > len(LARGE)


def test_above_the_limit_the_oldest_stranger_is_cut(connect):
    first, second, *_ = (connect() for _ in range(8))
    newest = connect()

    assert is_open(newest)
    assert not is_open(first)
    assert is_open(second)


def test_who_was_recognised_stays_while_strangers_come(connect):
    known = connect()
    known.sendall(b"GET /known HTTP/1.1\r\n\r\n")
    known.recv(1000)

    strangers = [connect() for _ in range(20)]

    assert is_open(strangers[-1])  # It came last, so the others have been accepted too.
    assert is_open(known)
    assert sum(is_open(stranger) for stranger in strangers[:-1]) == 6


def test_while_everybody_is_busy_a_newcomer_is_told_to_come_back(server, connect):
    busy = [connect() for _ in range(8)]
    for connection in busy:
        connection.sendall(b"GET /known HTTP/1.1\r\n\r\n")
        connection.recv(1000)
        connection.sendall(b"GET /wait HTTP/1.1\r\n\r\n")
    wait_until(lambda: len(server.server_state.tasks) == len(busy), 5)  # all of them are being answered

    refused = answer(connect())

    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in refused


def test_an_idle_acquaintance_makes_room_if_there_are_no_strangers(connect):
    known = [connect() for _ in range(8)]
    for connection in known:
        connection.sendall(b"GET /known HTTP/1.1\r\n\r\n")
        connection.recv(1000)

    newest = connect()

    assert is_open(newest)
    assert not is_open(known[0])
    assert is_open(known[1])


def test_headers_above_the_limit_are_not_even_taken(connect, monkeypatch):
    taken = []
    take = HttpToolsProtocol.on_header
    monkeypatch.setattr(HttpToolsProtocol, "on_header", lambda self, *header: (taken.append(1), take(self, *header)))

    assert answer(connect(), b"GET / HTTP/1.1\r\n" + b"a:\r\n" * 5_000).startswith(b"HTTP/1.1 431")
    assert len(taken) == http_protocol.MAX_HEADERS
