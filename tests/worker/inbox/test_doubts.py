"""Doubts: an old deletion or revocation, sent again, is confirmed by reading where that is possible."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import orjson
import pytest

from connectors import CONNECTORS
from connectors.contract import Account, ConnectionRevoked, ConsentStated, ProfileRemoved, Receipt
from worker.inbox import doubts
from worker.inbox.kept_envelopes import statements_of
from worker.store.envelopes import EnvelopeRow

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REMOVED = ProfileRemoved(external_id="5", occurred_at=None)
NO = ConsentStated(external_id="5", channel="email", status="opted_out", address="a@example.com", occurred_at=NOW)


class Provider:
    """A connector that states what it is told, and finds the sending time in a header."""

    PROTECTED_FIELDS = frozenset()
    says = (REMOVED,)

    def receive(self, headers, body):
        sent = headers.get("sent")
        return Receipt(topic="t", delivery_id="d", sent_at=datetime.fromisoformat(sent) if sent else None)

    def parse(self, envelope, account):
        return self.says


@pytest.fixture
def provider(monkeypatch):
    found = Provider()
    monkeypatch.setitem(CONNECTORS, "doubted", found)
    return found


def a_connection(**changes):
    account = Account(source="shop")
    given = {"connector": "doubted", "source": "shop", "account": lambda: account, "can_be_read": True, **changes}
    return SimpleNamespace(**given)


def an_envelope(sent=None, marks=None):
    headers = orjson.dumps([["sent", sent.isoformat()]] if sent else []).decode()
    return EnvelopeRow(uuid4(), uuid4(), uuid4(), "t", "d", sent or NOW, NOW, headers, b"{}", marks)


def taken_out(envelope, connection):
    stated = statements_of(envelope, connection)
    return doubts.take_out(envelope, connection, stated), stated


@pytest.mark.parametrize("sent", [None, NOW - timedelta(days=1, seconds=1), NOW + timedelta(days=1, seconds=1)])
def test_a_deletion_of_another_day_waits(provider, sent):
    (doubt,), stated = taken_out(an_envelope(sent), a_connection())

    assert (doubt.external_id, doubt.deleted_at) == ("5", sent or NOW)
    assert stated.is_empty


@pytest.mark.parametrize("sent", [NOW, NOW - timedelta(hours=23), NOW + timedelta(hours=23)])
def test_a_deletion_of_today_takes_effect(provider, sent):
    found, stated = taken_out(an_envelope(sent), a_connection())

    assert found == []
    assert len(stated.records[("shop", "5")]) == 1


def test_where_nothing_can_be_read_a_deletion_takes_effect(provider):
    found, stated = taken_out(an_envelope(), a_connection(can_be_read=False))

    assert found == []
    assert not stated.is_empty


def test_a_row_that_was_read_needs_no_confirmation(provider):
    found, _ = taken_out(an_envelope(marks='[["read-not-before","2026-11-29T12:00:00+00:00"]]'), a_connection())

    assert found == []


def test_every_revocation_waits(provider):
    provider.says = (ConnectionRevoked(occurred_at=None),)

    (doubt,), stated = taken_out(an_envelope(NOW), a_connection())

    assert doubt.external_id == ""
    assert stated.revoked is None


def test_what_else_the_envelope_says_counts_at_once(provider):
    provider.says = (REMOVED, NO)

    found, stated = taken_out(an_envelope(), a_connection())

    assert [doubt.external_id for doubt in found] == ["5"]
    assert [consent.status for consent in stated.consents] == ["opted_out"]
    assert not stated.is_empty or stated.consents
