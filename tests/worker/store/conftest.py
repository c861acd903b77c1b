"""A transaction that is rolled back, a connection that envelopes come through, and a second session."""

from hashlib import sha256
from uuid import uuid4

import pytest

from worker import ids
from worker.store import connections
from worker.store.db import Tx
from worker.store.envelopes import Incoming


@pytest.fixture
def tx(engine, organization_id):
    """A transaction that is rolled back."""
    with engine.connect() as conn:
        yield Tx(conn, organization_id)


@pytest.fixture
def other(engine, organization_id):
    """The transaction of another session, which does not wait for locks."""
    with engine.connect() as conn:
        conn.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        yield Tx(conn, organization_id)


@pytest.fixture
def connection_id(engine, organization_id):
    """A connection that is committed."""
    with engine.begin() as conn:
        return connections.insert_new(
            Tx(conn, organization_id),
            connector="shopify",
            source="shop",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
        )


@pytest.fixture
def an_envelope(organization_id, connection_id):
    """Build envelopes of the connection; a delivery id of its own for each, unless one is given."""

    def an_envelope(delivery_id=None, body=b"{}"):
        return Incoming(
            organization_id=organization_id,
            id=ids.new(),
            connection_id=connection_id,
            topic="seen",
            delivery_id=delivery_id or uuid4().hex,
            sent_at=None,
            headers="[]",
            body=body,
            body_sha256=sha256(body).digest(),
        )

    return an_envelope
