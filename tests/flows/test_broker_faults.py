"""What a broker does to us: webhooks are answered and worked on, the worker lives, and takes messages again by itself.

The suite tries a few faults; with BROKERS=all it tries every line of the table in ``docs/brokers.md``.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.flows.broker_work import LONGEST_S, Work
from tests.flows.brokers import Answering, Redis, directory, redis_server
from tests.flows.stack import RunningStack, wait_until

ALL = os.environ.get("BROKERS") == "all"
#: what Redis may answer to any command; the last is none of its language
LINES = {
    "unknown": b"-WEIRD whatever it is\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:1\r\n",
    "cluster_down": b"-CLUSTERDOWN The cluster is down\r\n",
    "busy": b"-BUSY Redis is busy running a script\r\n",
    "try_again": b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
    "master_down": b"-MASTERDOWN Link with MASTER is down\r\n",
    "no_replicas": b"-NOREPLICAS Not enough good replicas to write.\r\n",
    "no_redis": b"HTTP/1.1 400 Bad Request\r\n",
    "odd_types": b"*-1\r\n",
}
FAULTS = ("read_only", "unknown")
MORE = (
    "no_password",
    "no_rights",
    "full",
    "cannot_save",
    "frozen",
    "killed",
    "wiped",
    "keys_deleted",
    *sorted(LINES.keys() - {"unknown"}),
)


class Faulty:
    """A stack on a Redis, and what may happen to that Redis."""

    def __init__(self, server: Redis, front: Answering, stack: RunningStack) -> None:
        self.server, self.front = server, front
        self.work = Work(stack, f"redis://127.0.0.1:{front.port}/0")

    @contextmanager
    def fault(self, name: str) -> Iterator[None]:
        admin = self.server.admin
        if name in LINES:
            self.front.line = LINES[name]
            yield
            self.front.line = None
            return
        arm, disarm = {
            "read_only": (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
            "no_password": (
                ("ACL", "SETUSER", "default", "resetpass", ">second"),
                ("ACL", "SETUSER", "default", "nopass"),
            ),
            "no_rights": (("ACL", "SETUSER", "default", "-@all"), ("ACL", "SETUSER", "default", "+@all")),
            "full": (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0")),
            "wiped": (("FLUSHALL",), ("PING",)),
            "keys_deleted": (("PING",), ("PING",)),
            "cannot_save": (("CONFIG", "SET", "save", "3600 1"), ("CONFIG", "SET", "save", "")),
            "frozen": (("PING",), ("PING",)),
            "killed": (("PING",), ("PING",)),
        }[name]
        admin.execute_command(*arm)
        self._arm(name, admin)
        yield
        self._disarm(name)
        admin.execute_command(*disarm)

    def _arm(self, name: str, admin: Any) -> None:
        dump = self.server.directory / "dump.rdb"
        if name == "no_password":
            admin.execute_command("CLIENT", "KILL", "USER", "default")
        elif name == "keys_deleted":
            for key in admin.keys("csync:*"):
                admin.delete(key)
        elif name == "cannot_save":
            dump.mkdir()
            admin.bgsave()
            wait_until(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err", 10)
        elif name in ("frozen", "killed"):
            (self.server.freeze if name == "frozen" else self.server.kill)()

    def _disarm(self, name: str) -> None:
        if name == "cannot_save":
            (self.server.directory / "dump.rdb").rmdir()
        elif name == "frozen":
            self.server.thaw()
        elif name == "killed":
            self.server.start()


@pytest.fixture(scope="module")
def faulty() -> Iterator[Faulty]:
    with redis_server() as server, directory() as path:
        front = Answering(server.port)
        stack = RunningStack(path, REDIS_URL=f"redis://127.0.0.1:{front.port}/0")
        stack.start()
        running = Faulty(server, front, stack)
        try:
            yield running
        finally:
            running.work.close()
            stack.stop()
            front.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a producer's, on a killed server
@pytest.mark.parametrize("name", [*FAULTS, *MORE] if ALL else FAULTS)
def test_a_broker_that_fails_holds_nothing_up_and_ends_no_worker(faulty, name):
    main = faulty.work.main()

    with faulty.fault(name):
        first_s = faulty.work.webhook()  # some seconds: somebody has to notice, and start a stand-in
        second_s = faulty.work.webhook()
        time.sleep(3 if ALL else 0)
        third_s = faulty.work.webhook()
        count = faulty.work.processes()
    began = time.monotonic()
    faulty.work.public_task()

    assert max(first_s, second_s, third_s) < LONGEST_S
    assert time.monotonic() - began < 15
    assert faulty.work.main() == main
    assert count <= 3 + 2 + 2  # the worker and its pool, two stand-ins of it and two of beat at most
