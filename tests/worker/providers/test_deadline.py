"""Deadline: a peer that sends a byte now and then, anywhere in its answer, ends with the request's deadline."""

import socket
import threading
import time
from contextlib import contextmanager, suppress

import httpcore
import httpx
import pytest

from worker.providers import deadline as module
from worker.providers.deadline import DeadlineTransport

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@contextmanager
def peer(first, then, every_s=0.02):
    """Serve one connection after the other: a beginning at once, then a byte at a time for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def serve(connection):
            with connection, suppress(OSError):
                connection.recv(65536)
                connection.sendall(first)
                while not over.wait(every_s):
                    connection.sendall(then)

        def accept():
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        over.set()


def get(url, limit_s, *, timeout=5.0):
    began = time.monotonic()
    extensions = {} if limit_s is None else {"deadline": began + limit_s}
    try:
        with httpx.Client(transport=DeadlineTransport(), timeout=timeout) as client:
            return client.get(url, extensions=extensions)
    finally:
        get.took_s = time.monotonic() - began


@pytest.mark.parametrize(
    ("first", "then"),
    [
        (b"", b""),
        (b"", b"H"),
        (HEAD, b"x"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
        (HEAD + b"Content-Length: 100000\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"x"),
    ],
    ids=["silence", "status", "header", "hints", "body", "chunks", "trailer"],
)
def test_a_slow_answer_ends_at_the_deadline_wherever_it_is_slow(first, then):
    with peer(first, then) as url, pytest.raises(httpx.TransportError):
        get(url, 0.3)

    assert 0.2 < get.took_s < 1


def test_a_shorter_wait_still_counts():
    with peer(HEAD, b"") as url, pytest.raises(httpx.ReadTimeout):
        get(url, 30, timeout=0.2)

    assert get.took_s < 1


def test_an_answer_in_time_is_whole():
    with peer(HEAD + b"Content-Length: 3\r\n\r\nyes", b"") as url:
        assert get(url, 5).text == "yes"
        assert get(url, None).text == "yes"


def test_between_two_parts_of_a_body_other_requests_have_their_own_deadline():
    slow, quick = HEAD + b"Content-Length: 100000\r\n\r\n", HEAD + b"Content-Length: 3\r\n\r\nyes"
    with peer(slow, b"x") as one, peer(quick, b"") as other, httpx.Client(transport=DeadlineTransport()) as client:
        at = time.monotonic() + 0.3
        with client.stream("GET", one, extensions={"deadline": at}) as answer:
            parts = answer.iter_raw()
            next(parts)
            time.sleep(at - time.monotonic() + 0.05)
            assert client.get(other, extensions={"deadline": time.monotonic() + 5}).text == "yes"
            with pytest.raises(httpx.ReadTimeout):
                next(parts)


def test_a_name_whose_look_up_hangs_ends_at_the_deadline(monkeypatch):
    over = threading.Event()

    def hang(*_, **__):
        over.wait(30)
        return []

    monkeypatch.setattr(module.socket, "getaddrinfo", hang)
    with pytest.raises(httpx.ConnectTimeout):
        get("http://slow.example", 0.3)
    over.set()

    assert get.took_s < 1


def test_a_name_with_many_dead_addresses_ends_at_the_deadline(monkeypatch):
    addresses = [(2, 1, 6, "", (f"192.0.2.{number}", 80)) for number in range(50)]
    monkeypatch.setattr(module.socket, "getaddrinfo", lambda *_, **__: addresses)
    waits = []

    def connect(_backend, _address, _port, timeout, *_):
        waits.append(timeout)
        time.sleep(min(timeout, 0.2))
        raise httpcore.ConnectError("unreachable")

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect)
    with pytest.raises(httpx.TransportError):
        get("http://many.example", 0.5)

    assert get.took_s < 1
    assert waits == sorted(waits, reverse=True)


def test_a_name_that_does_not_exist_is_an_error_of_the_connection():
    with pytest.raises(httpx.ConnectError):
        get("http://no-such-host.invalid", 20)
