"""`contactsync up`: the whole stack in one process tree. A process that dies is started again; all end with us.

Order of the start: lock, Postgres, broker, key, migrations, then web, worker and beat. The end is in reverse order.
"""

import fcntl
import http.client
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, cast

import structlog
from cryptography.fernet import Fernet

from worker.errors import ConfigError
from worker.stack import unprivileged
from worker.stack.embedded import EmbeddedBroker, EmbeddedPostgres, NoBrokerError
from worker.stack.processes import (
    HOST,
    Account,
    Reaper,
    free_port,
    is_alive,
    log_tail,
    open_private,
    port_is_free,
    read_json,
    until,
    write_private,
)
from worker.stack.programs import Child, Program, Runnable, Watched, our_programs

READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0  #: a drain may need that long; what it has not committed by then is due again later
_TICK_S = 0.1

_STATE = "stack.json"
_LOCK = "stack.lock"


class StackError(ConfigError):
    """The stack cannot run. The message says why, and what to do."""


class Stack(TypedDict):
    """How other processes on this machine reach a running stack; kept in ``stack.json``."""

    pid: int
    database_url: str
    redis_url: str  #: empty without a Redis
    broker_url: str  #: of Celery, if it is another than Redis
    url: str
    port: int
    started_at: str


class Supervisor:
    """Starts the stack of one data directory, keeps it running, and ends all its processes."""

    def __init__(
        self,
        data_dir: Path,
        port: int = 8000,
        workers: int = 2,
        *,
        programs: Callable[[Path, int, int], Sequence[Program]] = our_programs,
        migrate: Callable[[str], None] | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.port = port or free_port()
        self.url = f"http://{HOST}:{self.port}"
        self._programs = programs(self.data_dir, self.port, workers)
        self._migrate = migrate or _upgrade
        self._env = dict(environ)
        self._postgres = None if self._env.get("DATABASE_URL") else EmbeddedPostgres(self.data_dir)
        is_given = self._env.get("REDIS_URL") or self._env.get("BROKER_URL")
        self._broker = None if is_given else EmbeddedBroker(self.data_dir)
        self._children: list[Child] = []
        self._reaper: Reaper | None = None
        self._stop = threading.Event()
        self._signals = 0
        self._log = _stderr_log()

    def run(self, *, on_ready: Callable[[Stack], object] | None = None, stop: threading.Event | None = None) -> int:
        """Run until ``stop`` is set or SIGTERM, SIGINT or SIGHUP arrives; return the exit code.

        Blocks. The processes end with the calling thread. ``on_ready`` is called once, when the web process answers.
        A second signal cuts the clean end short. Returns 1 and prints the reason if the stack cannot run.
        """
        self._stop = stop or self._stop
        try:
            with _lock(self.data_dir), self._counted_signals():
                try:
                    self._start()
                    running = self._publish()
                    if on_ready:
                        on_ready(running)
                    self._watch()
                finally:
                    self._end()
        except ConfigError as error:
            if not self._is_stopping():
                sys.stderr.write(
                    f"contactsync: {error}\n"
                )  # not a log event: the message has several lines, for a person
                return 1
        return 0

    def _start(self) -> None:
        """Start everything in order; raises ConfigError if something cannot run."""
        if not port_is_free(self.port):
            raise StackError(f"port {self.port} is taken; choose another with --port")
        if self._postgres:
            self._env["DATABASE_URL"] = self._postgres.start(give_up=self._is_stopping)
        if self._broker:
            try:
                self._env["REDIS_URL"] = self._broker.start(give_up=self._is_stopping)
            except NoBrokerError as error:
                self._broker = None
                self._log.warning("broker_missing", reason=str(error), effect="the sweeper starts who drains")
        self._env["PUBLIC_URL"] = self._env.get("PUBLIC_URL") or self.url
        if not self._env.get("CONTACTSYNC_SECRET_KEYS"):
            self._env["CONTACTSYNC_SECRET_KEYS"] = secret_key(self.data_dir)
        account = self._account()
        self._migrate(self._env["DATABASE_URL"])
        self._reaper = Reaper()
        has_broker = self._env.get("REDIS_URL") or self._env.get("BROKER_URL")
        for program in self._programs:
            if has_broker or not program.needs_broker:
                child = Child(program, self.data_dir, self._env, self._reaper, account)
                self._children.append(child)
                child.launch()
        if not until(self._is_ready, timeout_s=READY_TIMEOUT_S):
            raise StackError(f"the web process did not answer in {READY_TIMEOUT_S:.0f} s; see {self.data_dir / 'logs'}")

    def _account(self) -> Account | None:
        """Return the user of our programs if it is another; say why if they have to run as root."""
        if not any(program.needs_no_root for program in self._programs):
            return None
        chosen = unprivileged.choose(self.port)
        if chosen.reason is not None:
            self._log.warning("running_as_root", reason=chosen.reason)
        return chosen.account

    def _is_ready(self) -> bool:
        """Whether the web process answers; raises StackError if a process has ended or we are to stop."""
        for child in self._children:
            if not child.is_running():
                tail = log_tail(child.log)
                raise StackError(f"{child.name} ended while it started ({child.exit_code}); {child.log} says:\n{tail}")
        if self._is_stopping():
            raise StackError("stopped by a signal before everything was up")
        connection = http.client.HTTPConnection(HOST, self.port, timeout=5)  # urllib would go through a proxy
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _publish(self) -> Stack:
        running = Stack(
            pid=os.getpid(),
            database_url=self._env["DATABASE_URL"],
            redis_url=self._env.get("REDIS_URL", ""),
            broker_url=self._env.get("BROKER_URL", ""),
            url=self.url,
            port=self.port,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_private(self.data_dir / _STATE, json.dumps(running))
        return running

    def _watch(self) -> None:
        processes: list[Runnable] = [*self._children]
        processes += [server for server in (self._postgres, self._broker) if server]
        watched = [Watched(process, time.monotonic()) for process in processes]
        # The signal handler only counts, because Event.set() in a handler can deadlock with the wait() below.
        while not self._is_stopping():
            for one in watched:
                one.look(time.monotonic(), self._log)
            self._stop.wait(_TICK_S)

    def _end(self) -> None:
        """End everything: first the processes that use the servers, then the servers."""
        (self.data_dir / _STATE).unlink(missing_ok=True)
        for child in self._children:
            child.terminate()
        until(lambda: self._is_hurried() or not any(c.is_running() for c in self._children), timeout_s=STOP_TIMEOUT_S)
        for child in self._children:
            child.stop()
        if self._reaper:
            self._reaper.close()
        for server in (self._broker, self._postgres):
            if server:
                server.stop(hurry=self._is_hurried)

    def _is_stopping(self) -> bool:
        return self._signals > 0 or self._stop.is_set()

    def _is_hurried(self) -> bool:
        return self._signals > 1

    @contextmanager
    def _counted_signals(self) -> Iterator[None]:
        """Count the signals that ask us to end. Python allows that in the main thread only; elsewhere use ``stop``."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def count(*_: object) -> None:
            self._signals += 1

        before = {signum: signal.signal(signum, count) for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)


def stack(data_dir: Path) -> Stack | None:
    """Return how to reach the stack that runs on this directory; None if no stack runs there."""
    content = read_json(data_dir / _STATE)
    if not content or not is_alive(content["pid"]):
        return None
    # The id may belong to another process by now, but only a running stack holds the lock.
    with (data_dir / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return cast("Stack", content)
    return None


def secret_key(data_dir: Path) -> str:
    """Return the key that encrypts the secrets of connections; the first call creates it.

    Raises StackError if the file is empty: a new key could not decrypt what the lost key encrypted.
    """
    path = data_dir / "secret.key"
    if not path.exists():
        write_private(path, Fernet.generate_key().decode() + "\n")
    if key := path.read_text().strip():
        return key
    raise StackError(f"{path} is empty; restore it, or set CONTACTSYNC_SECRET_KEYS")


@contextmanager
def _lock(data_dir: Path) -> Iterator[None]:
    """Hold the lock of the data directory; raises StackError if another stack runs on it."""

    def taken() -> bool:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_private(data_dir / _LOCK) as lock:
        if not until(taken, timeout_s=0.3):  # ``stack()`` may hold the lock for a moment
            raise StackError(f"another contactsync runs on {data_dir}; stop it, or choose another with --data-dir")
        yield


def _upgrade(database_url: str) -> None:
    # Alembic is slow to import, and most commands import this module only to find the stack.
    from sqlalchemy.exc import OperationalError  # noqa: PLC0415

    from worker.store.migrate import upgrade  # noqa: PLC0415

    try:
        upgrade(database_url)
    except OperationalError as error:
        raise StackError(f"cannot migrate the database: {error.orig}") from error


def _stderr_log() -> structlog.typing.WrappedLogger:
    """Return a logger that writes to stderr, because stdout belongs to the output of commands."""
    processors: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
    ]
    level = structlog.make_filtering_bound_logger(logging.INFO)  # whatever a command has configured for itself
    return structlog.wrap_logger(structlog.WriteLogger(sys.stderr), processors=processors, wrapper_class=level)
