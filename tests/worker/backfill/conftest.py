"""A connection that is read, and the provider behind it."""

import pytest

from connectors import CONNECTORS
from tests.worker.backfill.scripted import Scripted
from worker.store import connections
from worker.store.db import Tx


@pytest.fixture
def shop(monkeypatch):
    provider = Scripted()
    monkeypatch.setitem(CONNECTORS, "scripted", provider)
    return provider


@pytest.fixture
def connection(engine, organization_id, shop):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="scripted",
            source="shop",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
            credentials={"access_token": "t"},
        )
        return connections.by_id(conn, id_)
