"""A connection of the plain connector."""

import pytest

from connectors import CONNECTORS
from tests.worker.inbox.plain import Plain, connect
from worker.inbox.ingest import Source


@pytest.fixture
def plain(monkeypatch):
    connector = Plain()
    monkeypatch.setitem(CONNECTORS, "plain", connector)
    return connector


@pytest.fixture
def source(engine, organization_id, plain):
    return Source(organization_id, connect(engine, organization_id), "plain", ("x",))
