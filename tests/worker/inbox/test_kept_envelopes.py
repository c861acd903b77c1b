"""Kept envelopes: the stored bytes always become the same statements."""

from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest

from connectors.contract import MalformedPayloadError, ProfileSeen
from worker.domain import api_writes
from worker.domain.terms import API_SOURCE
from worker.inbox.kept_envelopes import statements_of
from worker.store import connections
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow

SENT_AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


def an_envelope(body=b'{"id": "1"}', headers=(), topic="seen"):
    return EnvelopeRow(uuid4(), uuid4(), uuid4(), topic, "d1", SENT_AT, SENT_AT, orjson.dumps(headers).decode(), body)


@pytest.fixture
def connection(engine, source):
    with engine.connect() as conn:
        return connections.by_id(conn, source.id)


def test_an_envelope_gives_the_same_statements_every_time(connection):
    envelope = an_envelope()

    assert statements_of(envelope, connection) == statements_of(envelope, connection)
    assert set(statements_of(envelope, connection).records) == {("plain", "1")}


def test_a_connector_finds_headers_in_lower_case(connection, plain, monkeypatch):
    seen = []
    monkeypatch.setattr(plain, "parse", lambda envelope, account: seen.append(envelope.headers) or [], raising=False)

    statements_of(an_envelope(headers=[["X-Shop-Domain", "Ayu"]]), connection)

    assert seen == [{"x-shop-domain": "Ayu"}]


def test_an_expired_body_is_malformed(connection):
    with pytest.raises(MalformedPayloadError, match="expired"):
        statements_of(an_envelope(body=None), connection)


def test_an_api_write_names_the_source_of_each_event(engine, organization_id):
    with engine.begin() as conn:
        api = connections.by_id(conn, connections.of_api(Tx(conn, organization_id)))
    write = api_writes.ApiWrite(events=(("shop", ProfileSeen(external_id="7", occurred_at=None)),))

    statements = statements_of(an_envelope(api_writes.encode(write)), api)

    assert api.connector == API_SOURCE
    assert set(statements.records) == {("shop", "7")}
