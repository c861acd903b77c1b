"""Many processes on one machine: each kind is killed on the way, and nothing is lost.

    python -m deploy.many [--deliveries N] [--pgbouncer]

Two web processes, four workers, two beats, a broker and a Postgres with a streaming replica take signed webhooks, each
several times and in any order, while somebody reads through the API. On the way one process of each kind is killed
with -9, the servers too, and started again as a platform would. Then the canonical export has to be that of a run with
one of each, which nobody disturbed. ``--pgbouncer`` puts a PgBouncer in transaction mode in between.

It needs no container engine: the servers are those of the extra ``embedded``.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import orjson
import structlog
from cryptography.fernet import Fernet
from sqlalchemy import text

from bench.events import DOMAIN, SECRET, events
from connectors.shopify.simulator.shop import signed
from connectors.simulation.deliveries import Delivery, disturbed
from tests.flows.stack import RunningStack, send
from tests.replicated import Primary, Replica
from worker import ids
from worker.stack.embedded import EmbeddedBroker
from worker.stack.processes import HOST, Reaper, bare_environment, free_port, spawn, until
from worker.stack.programs import Child, Program, Runnable, Watched, our_programs
from worker.store import connections, organizations
from worker.store.db import Tx
from worker.store.migrate import upgrade

#: one of each kind is killed after so many tenths of the deliveries
KILLS = ("web", "worker", "beat", "replica", "broker", "postgres", "pgbouncer")
_KEYS = ("DATABASE_URL", "REDIS_URL", "REPLICA_DATABASE_URL")
_SEED = 18
#: Half a second apart: a sender goes on for hours, and we for minutes.
_ATTEMPTS = 400

log = structlog.get_logger()


class PgBouncer:
    """A PgBouncer in transaction mode in front of a server."""

    name = "pgbouncer"

    def __init__(self, database_url: str) -> None:
        from bench import pgbouncer  # noqa: PLC0415 - needed with --pgbouncer only
        from worker.store import urls  # noqa: PLC0415

        # In a directory of its own, because it runs as another user, who may not enter ours.
        self._directory = Path(tempfile.mkdtemp(prefix="contactsync-pgbouncer-"))
        self._program = pgbouncer.program()
        if self._program is None:
            raise SystemExit("no PgBouncer here; Debian's package is named pgbouncer")
        self.port = free_port()
        server = urls.arguments(database_url)
        self._account = pgbouncer._write(
            self._directory, server, self.port, {"pool_mode": "transaction", "server_login_retry": 1}
        )
        self.url = database_url.replace(f":{server['port']}/", f":{self.port}/")
        self._process: Any = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self.is_running() else None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process else None

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        command = [str(self._program), str(self._directory / "pgbouncer.ini")]
        log_ = self._directory / "pgbouncer.log"
        self._process = spawn(command, log=log_, env=bare_environment(), account=self._account)

    def stop(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class Fleet(RunningStack):
    """Processes of every kind, each started again when it ends, with the servers that they share."""

    def __init__(self, directory: Path, *, web: int, workers: int, beats: int, replica: bool, pgbouncer: bool) -> None:
        super().__init__(directory)
        directory.mkdir()
        self._directory = directory
        self._wanted = {"web": web, "worker": workers, "beat": beats}
        self._has_replica, self._has_pgbouncer = replica, pgbouncer
        self._children: dict[str, list[Child]] = {}
        self.servers: dict[str, Any] = {}
        self._reaper = Reaper()
        self._watched: list[Watched] = []
        self.urls: list[str] = []
        self.killed: list[str] = []

    def start(self) -> float:
        """Start the servers, then the processes; the calling thread has to live as long as they."""
        began = time.monotonic()
        primary = self.servers["postgres"] = Primary(self._directory / "primary", may_create_databases=True)
        database_url = primary.start()
        upgrade(database_url)
        broker = self.servers["broker"] = EmbeddedBroker(self._directory / "broker")
        env = {name: value for name, value in os.environ.items() if name not in _KEYS}
        env |= {"REDIS_URL": broker.start(), "LOG_LEVEL": "INFO"}
        if self._has_replica:
            replica = self.servers["replica"] = Replica(self._directory / "replica", primary)
            env["REPLICA_DATABASE_URL"] = replica.start()
        if self._has_pgbouncer:
            pooler = self.servers["pgbouncer"] = PgBouncer(database_url)
            pooler.launch()
            database_url = pooler.url
        self._state = {"database_url": primary.url, "redis_url": env["REDIS_URL"]}
        env["DATABASE_URL"] = database_url
        for kind, number in self._wanted.items():
            for place in range(number):
                self._launch(kind, place, env)
        processes: list[Runnable] = [child for children in self._children.values() for child in children]
        processes += self.servers.values()
        self._watched = [Watched(process, time.monotonic()) for process in processes]
        if not until(self._is_ready, timeout_s=60):
            raise SystemExit(f"the web processes did not answer; see {self._directory}")
        self.url = self.urls[0]
        return time.monotonic() - began

    def state(self) -> dict[str, Any]:
        """Return how to reach the servers, past any pooler."""
        return self._state

    def watch(self) -> None:
        """Start again what has ended."""
        for one in self._watched:
            one.look(time.monotonic(), log)

    def kill(self, kind: str) -> None:
        """Kill a process of a kind with all its children, as the kernel does when memory ends."""
        if kind in self.servers:
            os.kill(self.servers[kind].pid, signal.SIGKILL)
        elif kind in self._children:
            os.killpg(self._children[kind][-1]._process.pid, signal.SIGKILL)
        else:
            return
        self.killed.append(kind)

    def stop(self) -> int:
        """End everything."""
        if self._database is not None:
            self._database.dispose()
        children = [child for of_kind in self._children.values() for child in of_kind]
        for child in children:
            child.terminate()
        until(lambda: not any(child.is_running() for child in children), timeout_s=10)
        for child in children:
            child.stop()
        for name in ("pgbouncer", "replica", "broker", "postgres"):
            if name in self.servers:
                self.servers[name].stop()
        self._reaper.close()
        return 0

    def _launch(self, kind: str, place: int, env: dict[str, str]) -> None:
        port = free_port()
        (program,) = [one for one in our_programs(self._directory, port, 1) if one.name == kind]
        command = [part.replace("sync@", f"sync{place}@") for part in program.command]
        if kind == "web":
            self.urls.append(f"http://{HOST}:{port}")
        child = Child(Program(f"{kind}-{place + 1}", tuple(command)), self._directory, env, self._reaper)
        child.launch()
        self._children.setdefault(kind, []).append(child)

    def _is_ready(self) -> bool:
        def answers(url: str) -> bool:
            try:
                return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        return all(map(answers, self.urls))


class Reader:
    """Reads contacts through the API until it is stopped, from each web process in turn."""

    def __init__(self, urls: Sequence[str], key: str) -> None:
        self._urls = urls
        self._headers = {"X-Api-Key": key}
        self.answers: Counter[str] = Counter()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def stop(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _read(self) -> None:
        with httpx.Client(headers=self._headers, timeout=20, trust_env=False) as client:
            for url in cycle(self._urls):
                if self._is_over.wait(0.02):
                    return
                try:
                    answer = client.get(f"{url}/v1/contacts", params={"limit": 5, "search": "emma"})
                except httpx.TransportError:
                    self.answers["no connection"] += 1
                    continue
                place = "from the replica" if "Replica-Lag" in answer.headers else "from the primary"
                self.answers[place if answer.status_code == 200 else str(answer.status_code)] += 1


def run(fleet: Fleet, deliveries: Sequence[Delivery], *, kills: bool) -> dict[str, Any]:
    """Deliver, kill on the way, wait until all is worked off; return what is stored."""
    try:
        took = fleet.start()
        with fleet._engine().begin() as conn:
            tx = Tx(conn, organizations.ensure(conn, "default"))
            connection_id = connections.insert_new(
                tx,
                connector="shopify",
                source="shopify",
                options={"shop_domain": DOMAIN},
                region="ID",
                priority=100,
                webhook_secrets=[SECRET],
            )
        path = f"/webhooks/{ids.show(ids.CONNECTION, connection_id)}"
        pairs = list(zip(cycle(url + path for url in fleet.urls), deliveries, strict=False))
        waiting = list(KILLS) if kills else []
        at = {(n + 1) * len(pairs) // (len(KILLS) + 1): kind for n, kind in enumerate(waiting)}
        reader = Reader(fleet.urls, fleet.key("default", "contacts:read"))
        began = time.monotonic()
        with ThreadPoolExecutor(1) as sender:
            sending = sender.submit(
                send, pairs, attempts=_ATTEMPTS, during=lambda n: fleet.kill(at[n]) if n in at else None
            )
            _keep(fleet, sending.done)
        answers = sending.result()
        with ThreadPoolExecutor(1) as settler:
            settling = settler.submit(fleet.settled, timeout=240)
            _keep(fleet, settling.done)
        inbox = settling.result()["inbox"]
        reader.stop()
        with fleet._engine().connect() as conn:
            stored = conn.execute(text(_STORED)).mappings().one()
        export = fleet.export()
        return {
            "started in": f"{took:.1f} s",
            "worked in": f"{time.monotonic() - began:.1f} s",
            "killed": ", ".join(fleet.killed) or "none",
            "first answers": dict(sorted(answers.items())),
            "reads": dict(reader.answers),
            "parked": inbox["parked"],
            **stored,
            "export": f"{len(export.splitlines())} lines, sha256 {sha256(export).hexdigest()[:16]}",
        }
    finally:
        fleet.stop()


_STORED = """
    SELECT (SELECT count(*) FROM envelopes) AS envelopes, (SELECT count(*) FROM outcomes) AS outcomes,
           (SELECT count(*) FROM ready) AS left_in_queue, (SELECT count(*) FROM contacts) AS contacts,
           (SELECT count(*) FROM consents) AS consents, (SELECT max(crashes) FROM ready) AS crashes
"""


def _keep(fleet: Fleet, is_done: Callable[[], bool]) -> None:
    while not is_done():
        fleet.watch()
        time.sleep(0.05)


def main() -> int:
    """Run both, compare, and print."""
    parser = argparse.ArgumentParser(prog="python -m deploy.many", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=5000, help="different ones; some come several times")
    parser.add_argument("--pgbouncer", action="store_true", help="with a PgBouncer in transaction mode")
    arguments = parser.parse_args()
    os.environ["CONTACTSYNC_SECRET_KEYS"] = Fernet.generate_key().decode()
    plain = [
        signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id)
        for delivery_id, body in events(arguments.deliveries)
    ]
    again = disturbed(plain, random.Random(_SEED), most=2)
    directory = Path(tempfile.mkdtemp(prefix="contactsync-many-"))
    many = Fleet(directory / "many", web=2, workers=4, beats=2, replica=True, pgbouncer=arguments.pgbouncer)
    few = Fleet(directory / "few", web=1, workers=1, beats=1, replica=False, pgbouncer=False)
    results = {
        f"two webs, four workers, two beats; {len(again)} requests": run(many, again, kills=True),
        f"one of each, undisturbed; {len(plain)} requests": run(few, plain, kills=False),
    }
    for title, found in results.items():
        print(title)
        for name, value in found.items():
            print(f"  {name:14} {value}")
    disturbed_, undisturbed = results.values()
    compared = ("envelopes", "outcomes", "left_in_queue", "contacts", "consents", "parked", "export")
    differences = [name for name in compared if disturbed_[name] != undisturbed[name]]
    is_whole = disturbed_["envelopes"] == disturbed_["outcomes"] == len(plain)
    print("equal, nothing lost, nothing done twice" if is_whole and not differences else f"DIFFERENT: {differences}")
    if not is_whole or differences:
        print(f"the logs are in {directory}")
        return 1
    shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
