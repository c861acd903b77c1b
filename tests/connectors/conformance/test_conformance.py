"""The conformance suite over our own connectors, with all recorded requests.

test_sabotage.py shows that every check can fail.
"""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import CONNECTORS, conformance
from connectors.conformance.mutations import NO_OBJECTS, changed, paths
from connectors.conformance.subject import Subject
from connectors.conformance.translation import judge_body
from connectors.contract import BadSignatureError, Connector, Envelope, Event, MalformedPayloadError
from connectors.reader import NOT_BEFORE
from tests.connectors.recorded import PAYLOADS, VECTOR, Request, an_envelope, examples, requests, written

REQUESTS = requests()

each_request = pytest.mark.parametrize(
    "request_", [pytest.param(r, id=f"{r.connector.name}-{r.path.stem}") for r in REQUESTS]
)
each_signing_connector = pytest.mark.parametrize(
    "connector",
    [pytest.param(c, id=name) for name, c in CONNECTORS.items() if (PAYLOADS / name / VECTOR).exists()],
)


@cache
def subject(name: str) -> Subject:
    return conformance.subject_of(CONNECTORS[name], registered=name, examples=examples(name))


@cache
def finding(name: str, check: str) -> conformance.Finding:
    return conformance.judge(subject(name), check)


def parse(connector: Connector, envelope: Envelope, request: Request) -> list[Event]:
    return list(connector.parse(envelope, request.account))


@pytest.mark.parametrize("check", conformance.CHECKS)
@pytest.mark.parametrize("name", CONNECTORS)
def test_every_connector_passes_every_check(name: str, check: str):
    if check.startswith("read.") and not hasattr(CONNECTORS[name], "read"):
        pytest.skip("the connector takes no part in backfills: it offers no read()")

    found = finding(name, check)

    if found.state == "not checked":
        pytest.skip(found.reason)
    assert found.state == "passed", found.reason


def test_what_is_recorded_of_shopify_is_enough_for_every_check_of_webhooks():
    checks = [check for check in conformance.CHECKS if not check.startswith("read.")]

    assert [check for check in checks if finding("shopify", check).state != "passed"] == []


# Recorded requests have stricter checks than the examples of other authors: their bodies must be read.


@each_request
def test_recorded_request_gives_exactly_the_recorded_events_twice(request_: Request):
    first = parse(request_.connector, request_.envelope, request_)
    second = parse(request_.connector, request_.envelope, request_)

    assert [written(event) for event in first] == request_.expected
    assert second == first


@each_request
def test_headers_say_topic_and_time(request_: Request):
    headers = request_.content.get("headers", {})
    if headers.keys() - {NOT_BEFORE}:  # a row's envelope has our headers only
        receipt = request_.connector.receive(headers, request_.envelope.body)

        assert receipt.topic == request_.content["topic"]
        # WooCommerce sends no time.
        assert receipt.sent_at is not None or request_.connector.name == "woocommerce"


@each_request
def test_truncated_body_or_one_that_is_no_object_is_malformed(request_: Request):
    body = request_.envelope.body

    for broken in (*(body[:n] for n in (0, 1, len(body) // 3, len(body) // 2, len(body) - 1)), *NO_OBJECTS):
        with pytest.raises(MalformedPayloadError):
            parse(request_.connector, an_envelope(request_.content["topic"], broken), request_)


@settings(deadline=None, max_examples=400)
@given(data=st.data())
def test_invented_values_give_events_or_a_reason_without_values(data: st.DataObject):
    request = data.draw(st.sampled_from(REQUESTS))
    body = request.content["body"]
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text().map("Wrong Of Type 4711 {}".format)
    values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)

    for _ in range(data.draw(st.integers(1, 3))):
        places = list(paths(body))
        if places:
            body = changed(body, data.draw(st.sampled_from(places)), data.draw(values))

    judge_body(subject(request.connector.name), request.example, request.content["topic"], body, "invented values")


@each_signing_connector
def test_signature_vector_passes_and_fails_with_one_byte_changed(connector: Connector):
    vector = a_vector(connector)
    body, headers, secrets = vector["body"].encode(), vector["headers"], vector["secrets"]

    connector.verify(headers, body, secrets)

    for other in (body[:-1] + b" ", body + b" ", b""):
        with pytest.raises(BadSignatureError):
            connector.verify(headers, other, secrets)
    for other_secrets in ([], [""], secrets[:1]):
        with pytest.raises(BadSignatureError):
            connector.verify(headers, body, other_secrets)


@each_signing_connector
def test_signature_with_one_character_changed_or_missing_fails(connector: Connector):
    vector = a_vector(connector)
    body, secrets = vector["body"].encode(), vector["secrets"]

    for name, value in vector["headers"].items():
        for index in range(len(value)):
            flipped = "A" if value[index] != "A" else "B"
            with pytest.raises(BadSignatureError):
                connector.verify(
                    {**vector["headers"], name: value[:index] + flipped + value[index + 1 :]}, body, secrets
                )
    with pytest.raises(BadSignatureError):
        connector.verify({}, body, secrets)


def a_vector(connector: Connector) -> dict[str, Any]:
    return json.loads((PAYLOADS / connector.name / VECTOR).read_text("utf-8"))
