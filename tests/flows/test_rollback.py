"""An upgrade of one release, and the way back: the release before works beside the new schema, and on it afterwards.

The release before is a commit of this repository; its web process, worker and beat run as they were. It takes a minute,
so `make everything` runs it.
"""

import io
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from uuid import uuid4

import httpx
import orjson
import psycopg
import pytest

from bench.events import DOMAIN, SECRET, events
from connectors.shopify.simulator.shop import signed
from tests.flows.stack import send, wait_until
from worker import ids, status
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.ingest import accept, source_of
from worker.stack.embedded import EmbeddedBroker, EmbeddedPostgres
from worker.stack.processes import HOST, Reaper, free_port, kill_group, spawn
from worker.stack.programs import our_programs
from worker.store import connections, db, envelopes, organizations
from worker.store.db import Tx
from worker.store.lanes import LANES
from worker.store.migrate import upgrade

ROOT = Path(__file__).resolve().parents[2]
#: the last commit of the release before; its schema is revision 0011
BEFORE = "a7fcc39"
EACH = 150  #: deliveries of each stage
#: the release before while the schema is migrated; both; this release alone; the release before again
STAGES = 4

_git = ("git", "-C", str(ROOT))
pytestmark = [
    pytest.mark.skipif(os.environ.get("STORY_ORDERS") != "all", reason="takes a minute: make everything runs it"),
    pytest.mark.skipif(
        subprocess.run((*_git, "cat-file", "-e", f"{BEFORE}^{{commit}}"), capture_output=True).returncode != 0,
        reason="the release before is not in this copy of the repository",
    ),
]


@pytest.fixture
def directory():
    made = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def before(directory):
    """The code of the release before."""
    archive = subprocess.run((*_git, "archive", BEFORE, "worker", "connectors"), capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(directory / "before", filter="data")
    return directory / "before"


@pytest.fixture
def servers(directory):
    postgres, broker = EmbeddedPostgres(directory / "servers", may_create_databases=True), EmbeddedBroker(directory)
    yield postgres.start(), broker.start()
    broker.stop()
    postgres.stop()


@contextmanager
def running(code, directory, servers):
    """Run web, worker and beat of a checkout; yield the URL of the web process."""
    directory.mkdir()
    port, reaper = free_port(), Reaper()
    env = os.environ | {"DATABASE_URL": servers[0], "REDIS_URL": servers[1], "PYTHONPATH": str(code)}
    processes = []
    for program in our_programs(directory, port, 2):
        process = spawn(program.command, log=directory / f"{program.name}.log", env=env, cwd=code)
        reaper.watch(process.pid)
        processes.append(process)
    try:
        url = f"http://{HOST}:{port}"
        wait_until(lambda: answers(f"{url}/readyz"), 60)
        yield url
    finally:
        for process in processes:
            kill_group(process)
        reaper.close()


def answers(url):
    try:
        return httpx.get(url, trust_env=False, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def by_old(code, url, *arguments):
    """Run a program with the old code, in a process of its own; return what it prints."""
    env = os.environ | {"DATABASE_URL": url, "PYTHONPATH": str(code)}
    command = (sys.executable, "-P", *arguments)
    return subprocess.run(command, cwd=code, env=env, check=True, capture_output=True, timeout=60).stdout


#: adds a connection, and a key of another organization; both releases understand it
CONNECT = f"""
from worker import ids
from worker.store import api_keys, connections, db, organizations
from worker.store.db import Tx
with db.engine().begin() as conn:
    tx = Tx(conn, organizations.ensure(conn, "default"))
    id_ = connections.insert_new(tx, connector="shopify", source="shopify", options={{"shop_domain": {DOMAIN!r}}},
                                 region="ID", priority=100, webhook_secrets=[{SECRET!r}])
    print(ids.show(ids.CONNECTION, id_))
    other = Tx(conn, organizations.ensure(conn, "other"))
    print(api_keys.insert_new(other, ("contacts:read", "contacts:write"), rate_limit=1_000_000)[1])
"""


def settled(engine):
    def idle():
        with engine.connect() as conn:
            inbox = status.status(Tx(conn, organizations.find(conn, "default")))["inbox"]
        return inbox["due"] + inbox["postponed"] == 0 and inbox["parked"] == 0

    wait_until(idle, 120)


def export(engine):
    with db.snapshot(engine) as conn:
        return b"".join(export_json.canonical(Tx(conn, organizations.find(conn, "default"))))


def undisturbed(server_url, deliveries):
    """Return the export of a new database that only ever knew this release."""
    with psycopg.connect(server_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("CREATE DATABASE fresh")
    url = f"{server_url.rpartition('/')[0]}/fresh"
    upgrade(url)
    connection_id, _ = by_old(ROOT, url, "-c", CONNECT).decode().split()
    engine = db.make_engine(url)
    with engine.begin() as conn:
        source = source_of(connections.by_id(conn, ids.parse(ids.CONNECTION, connection_id)))
        envelopes.keep(conn, [accept(source, list(one.headers.items()), one.body) for one in deliveries])
    for lane in range(LANES):
        drain(engine, lane, budget_s=60)
    found = export(engine)
    engine.dispose()
    return found


def use(url, key):
    """Write, find and list through the API of a web process."""
    with httpx.Client(base_url=url, headers={"X-Api-Key": key}, timeout=20, trust_env=False) as api:
        email = f"{uuid4().hex}@example.com"
        made = api.post("/v1/contacts", json={"name": "Ujang", "email": email})
        assert made.status_code == 201, made.text
        resolved = api.post("/v1/contacts/resolve", json={"identifiers": [{"type": "email", "value": email}]})
        assert resolved.json()["data"]["id"] == made.json()["data"]["id"]
        assert api.get("/v1/contacts", params={"search": email}).json()["data"][0]["email"] == email


def test_the_release_before_works_beside_the_new_schema_and_on_it_after_a_rollback(directory, before, servers, request):
    url = servers[0]
    deliveries = [
        signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id)
        for delivery_id, body in events(EACH * STAGES)
    ]
    random.Random(18).shuffle(deliveries)
    stages = [deliveries[n * EACH : (n + 1) * EACH] for n in range(STAGES)]
    by_old(before, url, "-m", "worker.cli", "migrate")
    connection_id, key = by_old(before, url, "-c", CONNECT).decode().split()
    engine = db.make_engine(url, pool_size=1)
    request.addfinalizer(engine.dispose)
    migrating = threading.Thread(target=upgrade, args=(url,))

    def deliver(stage, *urls, during=lambda _: None):
        pairs = list(zip(cycle(f"{one}/webhooks/{connection_id}" for one in urls), stages[stage], strict=False))
        answers = send(pairs, during=during)
        assert answers == {200: EACH}, answers

    with running(before, directory / "old", servers) as old:
        deliver(0, old, during=lambda n: migrating.start() if n == EACH // 3 else None)
        migrating.join()
        settled(engine)
        use(old, key)
        with running(ROOT, directory / "beside", servers) as new:
            deliver(1, old, new)
            use(old, key)
            use(new, key)
    with running(ROOT, directory / "new", servers) as new:
        deliver(2, new)
        use(new, key)
    with running(before, directory / "back", servers) as old:
        deliver(3, old)
        settled(engine)
        use(old, key)

    assert export(engine) == undisturbed(url, deliveries)
