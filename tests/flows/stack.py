"""A real stack for a test: `contactsync up` in a process of its own, used from outside as a user would."""

import asyncio
import atexit
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import redis
from sqlalchemy import Engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from bench import pgbouncer
from connectors.simulation.deliveries import Delivery
from worker import ids, status
from worker.backfill import slices
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.replay import queue_replay
from worker.stack.embedded import EmbeddedPostgres
from worker.store import api_keys, connections, db, organizations, runs
from worker.store.db import Tx
from worker.store.lanes import LANES

#: Requests that a sender has open at the same time.
CONCURRENCY = 16


#: ``transaction`` or ``session``: all stacks reach their Postgres through a PgBouncer in this mode
POOLER = os.environ.get("TEST_POOLER")


class RunningStack:
    """One stack on a directory of its own."""

    def __init__(self, directory: Path, workers: int = 2, *, pooler: str | None = POOLER, **settings: str) -> None:
        self.data_dir = directory / "data"
        self._pooler = pooler
        self._servers = ExitStack()
        others = ("DATABASE_URL", "REDIS_URL", "BROKER_URL")
        self._env = {k: v for k, v in os.environ.items() if k not in others} | settings
        if server := os.environ.get("TEST_DATABASE_URL"):
            self._env["DATABASE_URL"] = _new_database(server)
        self._workers = workers
        self._log = directory / "up.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._database: Engine | None = None
        self.url = ""

    def start(self) -> float:
        """Start the stack and wait until it answers; return the seconds that this took."""
        began = time.monotonic()
        if self._pooler:
            postgres = EmbeddedPostgres(self.data_dir.with_name("postgres"))
            self._servers.callback(postgres.stop)
            way = pgbouncer.in_front_of(postgres.start(), self._pooler)
            self._env["DATABASE_URL"] = self._servers.enter_context(way)
        with self._log.open("ab") as log:
            command = ["up", "--data-dir", str(self.data_dir), "--port", "0", "--workers", str(self._workers)]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker.cli", *command], env=self._env, stdout=log, stderr=log
            )
        wait_until(lambda: (self.data_dir / "stack.json").exists() or self._process.poll() is not None, 60)
        assert self._process.poll() is None, self._log.read_text()
        self.url = self.state()["url"]
        return time.monotonic() - began

    def stop(self) -> int:
        """Stop the stack with SIGTERM, as an operator would; return its exit code."""
        if self._process is None:
            return 0
        if self._database is not None:
            self._database.dispose()
            self._database = None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(40)
        self._process = None
        self._servers.close()
        return code

    def state(self) -> dict[str, Any]:
        return json.loads((self.data_dir / "stack.json").read_text())

    def cli(self, *arguments: str) -> Any:
        """Run a command with --json; return its parsed output."""
        return json.loads(self.run(*arguments, "--json"))

    def run(self, *arguments: str) -> bytes:
        command = [sys.executable, "-m", "worker.cli", *arguments, "--data-dir", str(self.data_dir)]
        done = subprocess.run(command, env=self._env, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def connect(self, domain: str, *, secret: str, source: str, organization: str = "default") -> str:
        """Connect a shop; return its webhook URL."""
        arguments = ["--source", source, "--shop-domain", domain, "--webhook-secret", secret]
        return self.cli("connections", "add", "shopify", *arguments, "--organization", organization)["webhook_url"]

    def export(self, organization: str = "default") -> bytes:
        """Return the output of `contactsync export --canonical`, without a process for each call."""
        with db.snapshot(self._engine()) as conn:
            organization_id = organizations.find(conn, organization)
            return b"".join(export_json.canonical(Tx(conn, organization_id)))

    def client(self, organization: str = "default", *scopes: str) -> httpx.Client:
        """Return a caller with a new key; without scopes, the key may read and write contacts."""
        headers = {"X-Api-Key": self.key(organization, *scopes)}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    def key(self, organization: str, *scopes: str) -> str:
        """Make a key as `contactsync keys create` does, without a process for each call."""
        with self._engine().begin() as conn:
            organization_id = organizations.ensure(conn, organization)
            scopes = scopes or ("contacts:read", "contacts:write")
            return api_keys.insert_new(Tx(conn, organization_id), scopes, rate_limit=1_000_000)[1]

    def rows(self, statement: str, organization: str, **parameters: Any) -> list[Any]:
        """Load rows of an organization, which the SQL statement calls `:organization_id`."""
        with self._engine().connect() as conn:
            parameters["organization_id"] = organizations.find(conn, organization)
            return list(conn.execute(text(statement), parameters))

    def replay(self, organization: str, envelope_id: str) -> None:
        """Replay as `contactsync replay` does, and drain here, because the workers would need a nudge each time."""
        with self._engine().begin() as conn:
            assert len(queue_replay(Tx(conn, organizations.find(conn, organization)), envelope_id)) == 1
        for lane in range(LANES):
            drain(self._engine(), lane, budget_s=10)
        self.settled(organization)

    def status(self, organization: str = "default") -> dict[str, Any]:
        """Return the content of `contactsync status`, without a process for each call."""
        with self._engine().connect() as conn:
            return status.status(Tx(conn, organizations.find(conn, organization)))

    def _engine(self) -> Engine:
        if self._database is None:
            self._database = db.make_engine(self.state()["database_url"])
        return self._database

    def start_run(self, connection_id: str, kind: str, organization: str) -> str:
        """Start a run as `contactsync backfill start` does, without a process for each call."""
        with self._engine().begin() as conn:
            row = connections.by_id(conn, ids.parse(ids.CONNECTION, connection_id))
            return ids.show(ids.RUN, slices.start(conn, row, kind))

    def remove(self, connection_id: str, organization: str) -> None:
        """Remove a connection as `contactsync connections remove` does, without a process for each call."""
        with self._engine().begin() as conn:
            tx = Tx(conn, organizations.find(conn, organization))
            connections.set_state(tx, ids.parse(ids.CONNECTION, connection_id), "removed")

    def run_state(self, run_id: str, organization: str) -> str:
        """Return the state in `contactsync backfill status`, without a process for each call."""
        with self._engine().connect() as conn:
            row = runs.by_id(Tx(conn, organizations.find(conn, organization)), ids.parse(ids.RUN, run_id))
        return row.state

    def settled(self, organization: str = "default", timeout: float = 60) -> dict[str, Any]:
        """Wait until nothing is due or postponed."""

        def idle() -> bool:
            try:
                inbox = self.status(organization)["inbox"]
            except SQLAlchemyError:  # a test took the database away
                return False
            return inbox["due"] + inbox["postponed"] == 0

        wait_until(idle, timeout)
        return self.status(organization)

    def workers(self) -> list[int]:
        """Return the process ids of the Celery worker and its pool."""
        return [pid for pid, line in processes() if "worker.app worker" in line and self.is_ours(pid)]

    def web(self) -> int:
        """Return the process id of the web process."""
        return next(pid for pid, line in processes() if "worker.api.app:app" in line and self.is_ours(pid))

    def kill_workers(self) -> int:
        pids = self.workers()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return len(pids)

    def stop_workers(self) -> list[int]:
        pids = self.workers()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        return pids

    def continue_workers(self, pids: list[int]) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)

    def flush_broker(self) -> None:
        redis.Redis.from_url(self.state()["redis_url"]).flushall()

    def is_ours(self, pid: int) -> bool:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False
        return self.state()["database_url"].encode() in environment


def _new_database(server: str) -> str:
    """Make a database beside the one of the tests; it goes when this process ends. Return its URL."""
    name = f"flows_{uuid4().hex}"
    plain = make_url("postgresql" + server[server.index("://") :])

    def execute(statement: str) -> None:
        with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as conn:
            conn.execute(statement)

    execute(f"CREATE DATABASE {name}")
    atexit.register(execute, f"DROP DATABASE {name} WITH (FORCE)")
    return plain.set(database=name).render_as_string(hide_password=False)


def processes() -> Iterable[tuple[int, str]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue


def send(
    deliveries: Iterable[tuple[str, Delivery]], *, during: Callable[[int], None] = lambda _: None, attempts: int = 20
) -> Counter[int]:
    """Post each delivery to its URL, and retry as Shopify would; count the first answers by status.

    ``during`` is called after each answer with the number of answers so far. Those that were never answered but by 503
    are counted as 0.
    """
    answers: Counter[int] = Counter()

    async def post(client: httpx.AsyncClient, queue: "asyncio.Queue[tuple[str, Delivery]]") -> None:
        while not queue.empty():
            url, delivery = queue.get_nowait()
            for attempt in range(attempts):
                try:
                    answer = await client.post(url, content=delivery.body, headers=delivery.headers)
                except httpx.TransportError:
                    await asyncio.sleep(0.5)
                    continue
                if attempt == 0:
                    answers[answer.status_code] += 1
                    during(answers.total())
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                await asyncio.sleep(0.5)
            else:
                answers[0] += 1

    async def main() -> None:
        queue: asyncio.Queue[tuple[str, Delivery]] = asyncio.Queue()
        for pair in deliveries:
            queue.put_nowait(pair)
        async with httpx.AsyncClient(timeout=10) as client:
            await asyncio.gather(*(post(client, queue) for _ in range(CONCURRENCY)))

    asyncio.run(main())
    return answers


def wait_until(condition: Callable[[], bool], timeout: float) -> None:
    """Wait for a condition; fail if it is not met after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < end, "the condition was not met in time"
        time.sleep(0.05)
