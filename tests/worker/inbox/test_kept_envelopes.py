"""Kept envelopes: the stored bytes always become the same statements."""

from datetime import UTC, datetime
from uuid import uuid4

import orjson
import pytest

from connectors.contract import MalformedPayloadError, ProfileSeen
from worker.domain import api_writes
from worker.domain.terms import API_SOURCE
from worker.inbox.kept_envelopes import is_ours, statements_of
from worker.store import connections
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow

SENT_AT = datetime(2026, 10, 1, 12, tzinfo=UTC)


def an_envelope(body=b'{"id": "1"}', headers=(), topic="seen", marks=None):
    marks = None if marks is None else orjson.dumps(marks).decode()
    headers = orjson.dumps(headers).decode()
    return EnvelopeRow(uuid4(), uuid4(), uuid4(), topic, "d1", SENT_AT, SENT_AT, headers, body, marks)


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


# What we wrote ourselves, and what only says so.

MARK = ["read-not-before", "2026-10-01T12:00:00+00:00"]
#: an envelope that a release without marks kept: a request, whatever an attacker added to it
CAPTURED = [["host", "h"], ["X-Shopify-Hmac-Sha256", "x"], MARK, ["Actor", "key_1"]]


@pytest.mark.parametrize("topic", ["read/customer", "read/gone", "file/row", "file/undone"])
@pytest.mark.parametrize("headers", [(), [["x-y", "z"]], CAPTURED])
def test_a_request_states_nothing_under_a_topic_of_ours(connection, topic, headers):
    assert statements_of(an_envelope(headers=headers, topic=topic), connection).is_empty


def test_a_row_of_ours_states_what_it_says(connection):
    assert set(statements_of(an_envelope(topic="read/customer", marks=[MARK]), connection).records) == {("plain", "1")}


def test_a_row_that_an_earlier_release_kept_still_states_what_it_says(connection):
    row = an_envelope(topic="read/customer", headers=[MARK])

    assert is_ours(row)
    assert set(statements_of(row, connection).records) == {("plain", "1")}


def test_a_connector_finds_marks_in_rows_of_ours_only(connection, plain, monkeypatch):
    seen = []
    monkeypatch.setattr(
        plain, "parse", lambda envelope, account: seen.append(dict(envelope.headers)) or [], raising=False
    )

    for row in (an_envelope(marks=[MARK]), an_envelope(headers=[MARK]), an_envelope(headers=CAPTURED)):
        statements_of(row, connection)

    assert seen == [dict([MARK]), dict([MARK]), {"host": "h", "x-shopify-hmac-sha256": "x"}]
