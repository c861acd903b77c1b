"""A connection of the plain connector."""

import pytest

from connectors import CONNECTORS
from tests.worker.inbox.plain import Plain
from worker.inbox.ingest import Source
from worker.store import connections
from worker.store.db import Tx


@pytest.fixture
def plain(monkeypatch):
    connector = Plain()
    monkeypatch.setitem(CONNECTORS, "plain", connector)
    return connector


@pytest.fixture
def source(engine, organization_id, plain):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="plain",
            source="plain",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
        )
    return Source(organization_id, id_, "plain", ("x",))
