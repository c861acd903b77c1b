"""Statements: when an envelope says nothing that we follow."""

from uuid import uuid4

from worker.domain.statements import EnvelopeStatements, PrivacyRequest


def test_an_envelope_that_mentions_a_record_says_something():
    assert EnvelopeStatements(uuid4(), "shop").is_empty
    assert not EnvelopeStatements(uuid4(), "shop", records={("shop", "1"): []}).is_empty


def test_a_request_or_a_revocation_without_a_record_says_something():
    request = PrivacyRequest(kind="erase_shop", external_id=None, occurred=1)

    assert not EnvelopeStatements(uuid4(), "shop", privacy_requests=[request]).is_empty
    assert not EnvelopeStatements(uuid4(), "shop", revoked=1).is_empty
