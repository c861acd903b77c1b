"""A whole stack behind a PgBouncer in transaction mode. TEST_POOLER=transaction runs all flows so."""

import os
import random
import uuid

import httpx
import pytest

from bench import pgbouncer
from connectors.shopify.simulator.shop import two_shops
from connectors.simulation.deliveries import disturbed
from tests.flows.stack import RunningStack, send
from tests.flows.test_one_state import shops_of
from worker import ids
from worker.store import connections, organizations, sessions
from worker.store.db import Tx

pytestmark = pytest.mark.skipif(pgbouncer.program() is None, reason="this machine has no PgBouncer")


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    found = RunningStack(tmp_path_factory.mktemp("pooled"), pooler="transaction")
    found.start()
    yield found
    assert found.stop() == 0


def connect(stack, shops, organization):
    """Connect shops as the command line does, without a process for each."""
    found = {}
    with stack._engine().begin() as conn:
        tx = Tx(conn, organizations.ensure(conn, organization))
        for n, shop in enumerate(shops):
            given = {"connector": "shopify", "source": f"shop-{n}", "options": {"shop_domain": shop.domain}}
            id_ = connections.insert_new(tx, **given, region="ID", priority=100, webhook_secrets=[shop.secret])
            found[shop.domain] = f"{stack.url}/webhooks/{ids.show(ids.CONNECTION, id_)}"
    return found


def test_order_and_repetition_give_the_same_bytes_through_a_pooler(pooled):
    history = two_shops(11, 60)
    in_order = connect(pooled, shops_of(history), "in-order")
    shuffled = connect(pooled, shops_of(history), "shuffled")

    first = send((in_order[shop.domain], delivery) for shop, delivery in history)
    second = send((shuffled[shop.domain], delivery) for shop, delivery in disturbed(history, random.Random(11)))
    pooled.settled("in-order")
    pooled.settled("shuffled")

    assert set(first) == set(second) == {200}
    expected = pooled.export("in-order")
    assert expected.count(b"\n") > 5
    assert pooled.export("shuffled") == expected
    with pooled._engine().connect() as conn:
        assert sessions.is_pooled(conn)


def test_the_api_writes_and_reads_its_own_organization_through_a_pooler(pooled):
    with pooled.client("ours") as ours, pooled.client("theirs") as theirs:
        made = ours.post("/v1/contacts", json={"email": "ayu@example.com", "name": "Ayu"}).json()["data"]
        theirs.post("/v1/contacts", json={"email": "ayu@example.com", "name": "Other"})

        assert ours.get(f"/v1/contacts/{made['id']}").json()["data"]["name"] == "Ayu"
        assert theirs.get(f"/v1/contacts/{made['id']}").status_code == 404
        for query in ("", "?updated_after=2020-01-01T00:00:00Z", "?search=ay"):
            assert [one["name"] for one in ours.get(f"/v1/contacts{query}").json()["data"]] == ["Ayu"], query


def test_only_a_connection_that_nobody_has_is_unknown(pooled):
    nobody = ids.show(ids.CONNECTION, uuid.UUID(bytes=os.urandom(16)))

    assert httpx.post(f"{pooled.url}/webhooks/{nobody}", content=b"{}", trust_env=False).status_code == 404
    assert httpx.get(f"{pooled.url}/readyz", trust_env=False).status_code == 200
