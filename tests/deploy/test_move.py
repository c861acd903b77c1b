"""An organization moves to another server with everything that it has, and goes on there."""

from uuid import uuid4

import orjson
import psycopg
import pytest
from sqlalchemy import text

from bench.events import DOMAIN, SECRET, events
from connectors.shopify.simulator.shop import signed
from deploy.move import main
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.ingest import accept, source_of
from worker.store import api_keys, connections, db, envelopes, organizations
from worker.store.db import Tx
from worker.store.lanes import LANES
from worker.store.migrate import upgrade


@pytest.fixture
def elsewhere_url(database_url):
    """Another database, as another server would have it."""
    name = f"elsewhere_{uuid4().hex}"
    url = f"{database_url.rpartition('/')[0]}/{name}"
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        upgrade(url)
        yield url
        server.execute(f"DROP DATABASE {name}")


@pytest.fixture
def elsewhere(elsewhere_url):
    engine = db.make_engine(elsewhere_url)
    yield engine
    engine.dispose()


def connect(engine, organization):
    with engine.begin() as conn:
        tx = Tx(conn, organizations.ensure(conn, organization))
        api_keys.insert_new(tx, ("contacts:read",))
        return connections.insert_new(
            tx,
            connector="shopify",
            source="shopify",
            options={"shop_domain": DOMAIN},
            region="ID",
            priority=100,
            webhook_secrets=[SECRET],
        )


def deliver(engine, connection_id, n, start=0, *, drained=True):
    with engine.begin() as conn:
        source = source_of(connections.by_id(conn, connection_id))
        deliveries = [
            signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=id_) for id_, body in events(n, start=start)
        ]
        envelopes.keep(conn, [accept(source, list(one.headers.items()), one.body) for one in deliveries])
    for lane in range(LANES if drained else 0):
        drain(engine, lane, budget_s=30)


def export(engine, organization):
    with db.snapshot(engine) as conn:
        return b"".join(export_json.canonical(Tx(conn, organizations.find(conn, organization))))


def test_an_organization_moves_with_everything_and_goes_on_there(
    engine, database_url, elsewhere, elsewhere_url, capsys
):
    connection_id, other_id = connect(engine, "ours"), connect(engine, "others")
    deliver(engine, connection_id, 30)
    deliver(engine, other_id, 10)

    assert main([database_url, elsewhere_url, "ours"]) == 0

    assert "30 envelopes" in capsys.readouterr().out
    assert export(elsewhere, "ours") == export(engine, "ours") != b""
    with elsewhere.connect() as conn:
        assert organizations.find(conn, "others") is None
        assert conn.execute(text("SELECT count(DISTINCT organization_id) FROM records")).scalar_one() == 1
    for one in (engine, elsewhere):
        deliver(one, connection_id, 20, start=20)  # some were delivered before
    assert export(elsewhere, "ours") == export(engine, "ours")


def test_what_cannot_be_moved_stays_and_says_why(engine, database_url, elsewhere, elsewhere_url, capsys):
    def why_not(name="ours"):
        assert main([database_url, elsewhere_url, name]) == 1
        with elsewhere.connect() as conn:
            assert conn.execute(text("SELECT count(*) FROM records")).scalar_one() == 0
        return capsys.readouterr().err

    deliver(engine, connect(engine, "ours"), 3, drained=False)
    assert "no organization" in why_not("nobody")
    assert "queue is not empty" in why_not()
    for lane in range(LANES):
        drain(engine, lane, budget_s=30)
    with elsewhere.begin() as conn:
        organizations.ensure(conn, "ours")
    assert "already" in why_not()
    with elsewhere.begin() as conn:
        conn.execute(text("DELETE FROM organizations"))
        conn.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert "schemas differ" in why_not()
