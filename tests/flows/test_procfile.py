"""The commands of the Procfile, each a process of its own as on a platform: what they log, and what they count."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from connectors.shopify.simulator.shop import signed
from tests.flows.stack import wait_until
from worker import ids
from worker.stack.embedded import EmbeddedBroker
from worker.stack.processes import free_port
from worker.store import connections
from worker.store.db import Tx

PROCFILE = Path(__file__).parents[2] / "Procfile"
DELIVERIES = 40
MARK = "ayu.lestari"


class Run:
    """A process of the Procfile. Its output is kept apart by stream."""

    def __init__(self, name, directory, env):
        commands = dict(line.split(":", 1) for line in PROCFILE.read_text().splitlines())
        number = len(list(directory.glob(f"{name}*.err")))
        self.out, self.err = directory / f"{name}{number}.out", directory / f"{name}{number}.err"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {commands[name].strip()}"],
                cwd=PROCFILE.parent,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(PROCFILE.parent), **env, "PATH": path},
                stdout=out,
                stderr=err,
            )

    def lines(self):
        """Every line that it logged, parsed; anything else fails."""
        return [json.loads(line) for line in self.err.read_bytes().splitlines()]

    def has(self, event):
        return f'"event": "{event}"' in self.err.read_text()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


@contextmanager
def running(directory, **env):
    """Start processes by name; end all."""
    runs = []

    def start(name, **more):
        runs.append(Run(name, directory, {**env, **more}))
        return runs[-1]

    try:
        yield start
    finally:
        for run in reversed(runs):
            run.end()


@pytest.fixture
def directory():
    # The broker runs as another user if root runs the tests, who may not enter pytest's own directory.
    found = Path(tempfile.mkdtemp(prefix="contactsync-procfile-"))
    yield found
    shutil.rmtree(found, ignore_errors=True)


@pytest.fixture
def url(engine, organization_id):
    """The path of a shop's webhooks."""
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="shopify",
            source="shopify",
            options={"shop_domain": "s.myshopify.com"},
            region=None,
            priority=100,
            webhook_secrets=["secret"],
        )
    return f"/webhooks/{ids.show(ids.CONNECTION, id_)}"


def a_delivery(number, secret="secret"):
    body = {
        "id": number + 1,
        "created_at": "2026-10-01T00:00:00Z",
        "updated_at": "2026-10-01T00:00:00Z",
        "first_name": MARK,
        "email": f"{MARK}.{number}@example.com",
    }
    return signed(body, secret, topic="customers/update", domain="s.myshopify.com", webhook_id=str(uuid.uuid4()))


def settled(engine):
    with engine.connect() as conn:
        return conn.execute(text("SELECT count(*) FROM outcomes")).scalar_one()


def shown(origin):
    """What `/metrics` answers, without the queue's gauges."""
    lines = httpx.get(f"{origin}/metrics", trust_env=False).text.splitlines()
    return dict(line.rsplit(" ", 1) for line in lines if not line.startswith(("#", "contactsync_inbox")))


def is_ready(origin):
    try:
        return httpx.get(f"{origin}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_every_line_is_json_and_every_web_process_shows_what_all_counted(engine, database_url, directory, url):
    with ExitStack() as stack:
        broker = EmbeddedBroker(directory)
        env = {"DATABASE_URL": database_url, "REDIS_URL": broker.start(), "WORKERS": "2"}
        stack.callback(broker.stop)
        start = stack.enter_context(running(directory, **env))
        ports = [str(free_port()), str(free_port())]
        origins = [f"http://127.0.0.1:{port}" for port in ports]
        release, worker, beat = start("release"), start("worker"), start("beat")
        webs = [start("web", PORT=port) for port in ports]
        wait_until(lambda: all(map(is_ready, origins)) and worker.has("worker_started"), 60)
        assert release.process.wait(30) == 0, release.err.read_text()

        def send(numbers, **more):
            for number in numbers:
                delivery = a_delivery(number, **more)
                yield httpx.post(
                    origins[number % 2] + url, content=delivery.body, headers=delivery.headers, trust_env=False
                ).status_code

        assert Counter(send(range(DELIVERIES))) == {200: DELIVERIES}
        assert Counter(send(range(5), secret="guess")) == {401: 5}
        wait_until(lambda: settled(engine) == DELIVERIES, 30)
        # Nobody takes the work now: beat starts a stand-in, and Celery tells of its broker, with a traceback.
        worker.process.send_signal(signal.SIGUSR1)
        broker.stop()
        assert Counter(send(range(DELIVERIES, DELIVERIES + 4))) == {200: 4}
        wait_until(lambda: settled(engine) == DELIVERIES + 4, 60)
        first, second = map(shown, origins)

    assert first == {**second, 'contactsync_ingested_total{answer="200"}': f"{DELIVERIES + 4}.0"}
    assert first['contactsync_envelopes_total{outcome="settled"}'] == f"{DELIVERIES + 4}.0"
    assert first['contactsync_ingested_total{answer="401"}'] == "5.0"
    assert float(first["contactsync_batch_seconds_count"]) >= 2
    events = Counter()
    for run in (release, worker, beat, *webs):
        assert run.out.read_bytes() == b""
        assert MARK not in run.err.read_text()
        for line in run.lines():
            assert {"event", "level", "timestamp"} <= set(line)
            assert line["timestamp"].endswith("Z")
            events[line["event"]] += 1
    assert [line["event"] for line in release.lines()] == ["migrated"]
    assert events["web_started"] == events["web_ended"] == 2
    assert events["stand_in_started"] >= 1
    assert events["celery_said"] >= 2


def test_a_wrong_setting_is_one_line(directory):
    with running(directory, DATABASE_URL="", REDIS_URL="", MAX_CONNECTIONS=MARK, PORT="0") as start:
        runs = [start(name) for name in ("release", "web", "worker", "beat")]
        assert [run.process.wait(60) for run in runs] == [1] * 4

    for run in runs:
        [line] = run.lines()
        assert line["event"] in ("not_started", "command_failed")
        assert line["reason"].startswith("MAX_CONNECTIONS: ")
        assert MARK not in run.err.read_text()
        assert run.out.read_bytes() == b""
