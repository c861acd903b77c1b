"""How long web, worker and beat take to end: at rest, with slow clients, with a frozen broker or database."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from deploy.engine import Project, docker, inspect
from deploy.line import Line

_STOPPED = ("web", "worker", "beat")
#: promised, from the order until the end
_PROMISED_S = 6.0
#: the engine's own signal to kill comes after this, so that it is not what keeps the promise
_GIVEN_UP_S = 30
_UP_IN_S = 30.0
#: the processes of a worker when its pool is there, init among them
_PROCESSES = 4
_COMMANDS = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
_SLOW = 8  #: clients of each kind


def stopped(project: Project, path: str) -> Iterator[Line]:
    """Stop the three in each situation, and start them again."""
    port = int(project.environment["PORT"])
    yield _stop(project, "stop, at rest")
    _bring_up(project)
    with _slow_clients(port, path):
        yield _stop(project, "stop, with clients that send and read slowly")
    for service in ("valkey", "postgres"):
        with _frozen(project, service):
            yield _stop(project, f"stop, with a frozen {service}")
    with _frozen(project, "valkey"):
        began = time.monotonic()
        project("stop")
        took = time.monotonic() - began
    yield Line("`docker compose stop`, with a frozen valkey", f"{took:.1f} s", took < _PROMISED_S)


def _stop(project: Project, what: str) -> Line:
    containers = {service: project.containers(service)[0] for service in _STOPPED}

    def one(service: str) -> float:
        began = time.monotonic()
        docker("stop", f"--time={_GIVEN_UP_S}", containers[service])
        return time.monotonic() - began

    with ThreadPoolExecutor() as threads:
        took = dict(zip(containers, threads.map(one, containers), strict=True))
    killed = [service for service, id_ in containers.items() if inspect(id_)["State"]["ExitCode"] == 128 + 9]
    found = ", ".join(f"{service} {seconds:.1f} s" for service, seconds in took.items())
    return Line(what, found, max(took.values()) < _PROMISED_S and not killed)


def _bring_up(project: Project) -> None:
    """Start what has ended, and wait until the worker waits for its first message."""
    project("up", "--detach", "--wait", "postgres", "valkey", *_STOPPED)
    (worker,) = project.containers("worker")
    end = time.monotonic() + _UP_IN_S
    while docker("exec", worker, "sh", "-c", _COMMANDS).count("worker.app") < _PROCESSES and time.monotonic() < end:
        time.sleep(0.5)
    time.sleep(2)


@contextmanager
def _frozen(project: Project, service: str) -> Iterator[None]:
    """Freeze a service while the others run and are busy, and thaw it at the end."""
    _bring_up(project)
    (container,) = project.containers(service)
    docker("kill", "--signal=STOP", container)
    time.sleep(2)  # each has asked it something
    try:
        yield
    finally:
        with suppress(Exception):
            docker("kill", "--signal=CONT", container)


@contextmanager
def _slow_clients(port: int, path: str) -> Iterator[None]:
    """Hold requests open that send a body byte by byte, and answers that are not read."""
    is_over = threading.Event()
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n"
    ask = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * 4
    senders = [_open(port, head) for _ in range(_SLOW)]
    readers = [_open(port, ask) for _ in range(_SLOW)]

    def drip() -> None:
        while not is_over.wait(0.2):
            for one in senders:
                with suppress(OSError):
                    one.sendall(b"a")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    time.sleep(0.5)
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        for one in senders + readers:
            one.close()


def _open(port: int, text: str) -> socket.socket:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.connect(("127.0.0.1", port))
    one.sendall(text.encode())
    return one
