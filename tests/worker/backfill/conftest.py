"""A connection that is read, and the provider behind it."""

import pytest

from connectors import CONNECTORS
from tests.worker.backfill.scripted import Scripted
from tests.worker.inbox.plain import connect
from worker.store import connections


@pytest.fixture
def shop(monkeypatch):
    provider = Scripted()
    monkeypatch.setitem(CONNECTORS, "scripted", provider)
    return provider


@pytest.fixture
def connection(engine, organization_id, shop):
    id_ = connect(engine, organization_id, "scripted", source="shop", credentials={"access_token": "t"})
    with engine.begin() as conn:
        return connections.by_id(conn, id_)
