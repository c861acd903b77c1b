"""What every connector owes, asked of each with its own recorded requests."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import CONNECTORS
from connectors.contract import BadSignatureError, Connector, Envelope, Event, MalformedPayloadError
from connectors.pages import NOT_BEFORE
from tests.connectors.recorded import PAYLOADS, VECTOR, Request, an_envelope, requests, written

REQUESTS = requests()

each_request = pytest.mark.parametrize(
    "request_", [pytest.param(r, id=f"{r.connector.name}-{r.path.stem}") for r in REQUESTS]
)
each_connector = pytest.mark.parametrize("connector", [pytest.param(c, id=name) for name, c in CONNECTORS.items()])

#: One of every type, of odd sizes too. All are long, so that a leak into an error text cannot be by chance.
ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    -987654321,
    987654321987654321987654321,
    987654.321987,
    1e300,
    "",
    " \t\n\u00a0",
    "Wrong Of Type 4711",
    "Nul \0 and half a pair \ud800",
    "x" * 30_000,
    "2026-09-14T18:42:07",
    "gid://shopify/Shop/987654321",
    ["Wrong Of Type 4711", {"Wrong": "Of Type 4712"}],
    [[["Wrong Of Type 4711"]]],
    {"id": "Wrong Of Type 4711"},
    {},
    [],
]

#: Words of the providers themselves, which an error may list as what it expected.
VOCABULARY = re.compile(r"[a-z_]+|Customer|None|True|False")


def parse(connector: Connector, envelope: Envelope, request: Request) -> list[Event]:
    return list(connector.parse(envelope, request.account))


@each_request
def test_recorded_request_gives_exactly_the_recorded_events_twice(request_: Request):
    first = parse(request_.connector, request_.envelope, request_)
    second = parse(request_.connector, request_.envelope, request_)

    assert [written(event) for event in first] == request_.expected
    assert second == first


@each_request
def test_times_are_aware_and_in_utc(request_: Request):
    for event in parse(request_.connector, request_.envelope, request_):
        for field in dataclasses.fields(event):
            value = getattr(event, field.name)
            assert not isinstance(value, datetime) or value.utcoffset() == timedelta(0)


@each_request
def test_headers_say_the_same_every_time(request_: Request):
    headers = request_.content.get("headers", {})

    receipt = request_.connector.receive(headers, request_.envelope.body)

    assert receipt.delivery_id
    assert receipt == request_.connector.receive(headers, request_.envelope.body)
    if headers and NOT_BEFORE not in headers:  # a row that was read has no headers of the provider's
        assert receipt.topic == request_.content["topic"]
    assert receipt.sent_at is None or receipt.sent_at.utcoffset() == timedelta(0)


@each_request
def test_truncated_body_is_malformed(request_: Request):
    body = request_.envelope.body

    for length in {0, 1, len(body) // 3, len(body) // 2, len(body) - 1}:
        with pytest.raises(MalformedPayloadError):
            parse(request_.connector, dataclasses.replace(request_.envelope, body=body[:length]), request_)


@each_request
def test_body_that_is_no_object_is_malformed(request_: Request):
    for body in (b"[]", b"null", b'"text"', b"17", b"\xff\xfe{}"):
        with pytest.raises(MalformedPayloadError):
            parse(request_.connector, dataclasses.replace(request_.envelope, body=body), request_)


@each_request
def test_any_part_of_any_type_gives_events_or_a_reason_without_values(request_: Request):
    body = request_.content["body"]

    for path in [(), *paths(body)][1:]:
        for odd in ODD_VALUES:
            check_changed(request_, changed(body, path, odd))
        check_changed(request_, without(body, path))


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

    check_changed(request, body)


@each_connector
def test_signature_vector_passes_and_fails_with_one_byte_changed(connector: Connector):
    vector = json.loads((PAYLOADS / connector.name / VECTOR).read_text("utf-8"))
    body, headers, secrets = vector["body"].encode(), vector["headers"], vector["secrets"]

    connector.verify(headers, body, secrets)

    for other in (body[:-1] + b" ", body + b" ", b""):
        with pytest.raises(BadSignatureError):
            connector.verify(headers, other, secrets)
    for other_secrets in ([], [""], secrets[:1]):
        with pytest.raises(BadSignatureError):
            connector.verify(headers, body, other_secrets)


@each_connector
def test_signature_with_one_character_changed_or_missing_fails(connector: Connector):
    vector = json.loads((PAYLOADS / connector.name / VECTOR).read_text("utf-8"))
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


@each_connector
@pytest.mark.parametrize("topic", ["", "nobody/knows", "\0", "Customer/unheard_of"])
def test_unknown_topic_gives_nothing_whatever_the_body(connector: Connector, topic: str):
    request = next(r for r in REQUESTS if r.connector is connector)

    assert parse(connector, an_envelope(topic, {"id": 1}), request) == []
    assert parse(connector, an_envelope(topic, b"\xff no JSON"), request) == []


@each_connector
def test_skipped_topics_give_nothing_and_have_a_reason(connector: Connector):
    request = next(r for r in REQUESTS if r.connector is connector)

    for topic, reason in connector.SKIPPED_TOPICS.items():
        assert reason
        assert parse(connector, an_envelope(topic, {"id": 1}), request) == []


@each_connector
@pytest.mark.parametrize("headers", [{}, {"unrelated": "x"}])
def test_request_without_known_headers_still_has_a_delivery_id_of_its_body(
    connector: Connector, headers: Mapping[str, str]
):
    receipt = connector.receive(headers, b"one")

    assert receipt.sent_at is None
    assert receipt.delivery_id == connector.receive(headers, b"one").delivery_id
    assert receipt.delivery_id != connector.receive(headers, b"two").delivery_id


def check_changed(request: Request, body: object) -> None:
    raw = json.dumps(body).encode()  # half a surrogate pair is no UTF-8; JSON carries it escaped
    try:
        events = parse(request.connector, dataclasses.replace(request.envelope, body=raw), request)
    except MalformedPayloadError as error:
        reason = str(error)
        assert reason
        assert len(reason) < 300
        assert "documented shape" not in reason, "a stray error: some value is used before it is read"
        leaked = [leaf for leaf in leaves(body) if len(leaf) > 4 and not VOCABULARY.fullmatch(leaf) and leaf in reason]
        assert not leaked, reason
    else:
        json.dumps([written(event) for event in events]).encode()
        for event in events:
            assert "\0" not in repr(event)
            assert "\ud800" not in repr(event)


def paths(node: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from paths(child, (*at, key))


def leaves(node: Any) -> Iterator[str]:
    if isinstance(node, dict | list):
        for child in node.values() if isinstance(node, dict) else node:
            yield from leaves(child)
    else:
        yield str(node)


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    body = copy.deepcopy(body)
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return body


def without(body: Any, path: tuple[Any, ...]) -> Any:
    body = copy.deepcopy(body)
    holder = body
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]
    return body
