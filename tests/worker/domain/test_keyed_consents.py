"""Keyed consents: the same statement twice has the same key, and two that differ in anything have two."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from connectors.contract import ConsentStated
from tests.worker.histories import statements_of
from worker.domain.keyed_consents import keyed, keyed_consents
from worker.domain.statements import ConsentStatement

SAID = ConsentStatement("email", "marketing", "ayu@example.com", "opted_in", 1, ("shop", "1"), None, {})


def test_the_same_statement_in_two_envelopes_has_one_key():
    assert keyed(SAID, uuid4()).key == keyed(SAID._replace(evidence={}), uuid4()).key


@pytest.mark.parametrize(
    "other",
    [
        {"channel": "sms"},
        {"purpose": "transactional"},
        {"address": None},
        {"status": "opted_out"},
        {"occurred": 2},
        {"ref": ("shop", "2")},
        {"method": "form"},
        {"evidence": {"a": "b"}},
        {"origin": "crm"},
        {"legal_basis": "contract"},
        {"expires_at": datetime(2027, 1, 1, tzinfo=UTC)},
        {"is_repeat": True},
        {"is_undated": True},
    ],
    ids=str,
)
def test_statements_that_differ_have_keys_that_differ(other):
    assert keyed(SAID._replace(**other), uuid4()).key != keyed(SAID, uuid4()).key


def test_the_order_of_evidence_is_no_difference():
    one, other = ({"a": "1", "b": "2"}, {"b": "2", "a": "1"})

    assert keyed(SAID._replace(evidence=one), uuid4()).key == keyed(SAID._replace(evidence=other), uuid4()).key


def test_every_consent_of_a_batch_is_keyed_with_its_envelope():
    stated = statements_of(
        "a", *(ConsentStated(external_id="1", channel="email", status=s, address=None, occurred_at=None)
               for s in ("opted_in", "opted_out")),
    )  # fmt: skip

    assert [(one.consent.status, one.envelope_id) for one in keyed_consents([stated])] == [
        ("opted_in", stated.envelope_id),
        ("opted_out", stated.envelope_id),
    ]
