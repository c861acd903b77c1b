"""A Postgres, a broker and our processes for one run of the bench, in a temporary directory."""

import http.client
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from subprocess import Popen
from uuid import UUID

import redis
from sqlalchemy import Engine, text

from bench.events import DOMAIN, SECRET
from worker import logs
from worker import settings as worker_settings
from worker.inbox.ingest import Source, source_of
from worker.stack.embedded import EmbeddedBroker, EmbeddedPostgres
from worker.stack.processes import HOST, Reaper, end, free_port, log_tail, spawn
from worker.stack.programs import our_programs
from worker.stack.supervisor import secret_key
from worker.store import connections, db, organizations
from worker.store.db import Tx
from worker.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[1]
_FILLED = (
    "envelopes, ready, outcomes, parked, contacts, records, claims, decisions, consents, suppressions, changes, "
    "envelope_records, notes, contact_terms, former_contacts, contact_aliases, deletions"
)
_START_S = 30.0


class Stack:
    """Running servers, a connection that receives webhooks, and methods that start our processes."""

    def __init__(self, directory: Path, database_url: str, broker_url: str, reaper: Reaper) -> None:
        self.directory = directory
        self.database_url = database_url
        self.broker_url = broker_url
        #: the baseline has its messages in another database of the broker
        self.baseline_broker_url = broker_url.removesuffix("/0") + "/1"
        os.environ.update(
            DATABASE_URL=database_url,
            REDIS_URL=broker_url,
            BASELINE_BROKER_URL=self.baseline_broker_url,
            CONTACTSYNC_SECRET_KEYS=secret_key(directory),
        )
        worker_settings.reload()
        logs.configure()
        self._reaper = reaper
        upgrade(database_url)
        self.engine: Engine = db.engine()
        with self.engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
            id_ = connections.insert_new(
                Tx(conn, organization_id),
                connector="shopify",
                source="shopify",
                options={"shop_domain": DOMAIN},
                region="ID",
                priority=100,
                webhook_secrets=[SECRET],
            )
            row = connections.by_id(conn, id_)
        source = None if row is None else source_of(row)
        assert source is not None
        self.source: Source = source

    @property
    def connection_id(self) -> UUID:
        """The only connection of this stack."""
        return self.source.id

    def empty(self) -> None:
        """Delete all rows except the connection, and all messages."""
        with self.engine.begin() as conn:
            conn.execute(text(f"TRUNCATE {_FILLED}"))
        for url in (self.broker_url, self.baseline_broker_url):
            with redis.Redis.from_url(url) as broker:
                broker.flushdb()

    def program(self, name: str, *, port: int = 0, workers: int = 2) -> tuple[str, ...]:
        """Return the command of ``web`` or ``worker``, as the supervisor starts it."""
        programs = our_programs(self.directory, port, workers)
        return next(program.command for program in programs if program.name == name)

    @contextmanager
    def running(self, name: str, command: Sequence[str], **environment: str) -> Iterator[Popen[bytes]]:
        """Run a command of ours, and end it and all its children at the end."""
        env = {**os.environ, **environment}
        process = spawn(command, log=self.directory / "logs" / f"{name}.log", env=env, cwd=ROOT)
        self._reaper.watch(process.pid)
        try:
            yield process
        finally:
            end(process, (signal.SIGTERM, 10), (signal.SIGKILL, 5))
            self._reaper.forget(process.pid)

    @contextmanager
    def web(self, name: str, *, app: str = "worker.api.app:app", **environment: str) -> Iterator[int]:
        """Run a web process, as the supervisor starts it; yield its port once it answers."""
        port = free_port()
        command = [part.replace("worker.api.app:app", app) for part in self.program("web", port=port)]
        with self.running(name, command, **environment):
            if not until(partial(_answers, port), seconds=_START_S, every_s=0.05):
                raise self.failure(name, f"did not answer in {_START_S:.0f} s")
            yield port

    def failure(self, name: str, problem: str) -> SystemExit:
        """Return an error that says what a process of ours failed to do, with the end of its log."""
        return SystemExit(f"{name} {problem}; its log ends with:\n{log_tail(self.directory / 'logs' / f'{name}.log')}")


@contextmanager
def stack() -> Iterator[Stack]:
    """Start the servers, and stop them at the end."""
    with ExitStack() as at_end:
        directory = Path(at_end.enter_context(tempfile.TemporaryDirectory(prefix="contactsync-bench-")))
        reaper = Reaper()
        at_end.callback(reaper.close)
        postgres, broker = EmbeddedPostgres(directory, may_create_databases=True), EmbeddedBroker(directory)
        at_end.callback(postgres.stop)
        at_end.callback(broker.stop)
        running = Stack(directory, postgres.start(), broker.start(), reaper)
        at_end.callback(running.engine.dispose)
        yield running


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def until(condition: Callable[[], bool], *, seconds: float, every_s: float = 0.005) -> bool:
    """Wait until a condition holds. Returns False if it does not hold within ``seconds``."""
    deadline = time.perf_counter() + seconds
    while not condition():
        if time.perf_counter() > deadline:
            return False
        time.sleep(every_s)
    return True
