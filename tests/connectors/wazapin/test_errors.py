"""The client when the API refuses: every shape of error body, the error raised, and no secret in it."""

import json
import pickle
import traceback
from datetime import timedelta
from http import HTTPStatus

import httpx
import pytest
import stamina
from hypothesis import given
from hypothesis import strategies as st

from connectors.wazapin import (
    ApiError,
    ConflictError,
    DeniedError,
    Detail,
    Identifier,
    InvalidError,
    NotFoundError,
    OutdatedError,
    TryLaterError,
    UnexpectedAnswerError,
)
from connectors.wazapin.errors import refusal
from tests.connectors.wazapin.test_client import KEY, Server, await_, wait

PHONE = "+6281234567890"
FLAT = {"error": "contact not found", "code": "not_found"}
PROBLEM = {"title": "Bad Request", "status": 400, "detail": "to is required"}
NESTED = {
    "error": {
        "code": "validation_error",
        "message": "text is required for type=text",
        "details": [{"field": "text", "reason": "required"}],
    },
    "request_id": "req_123",
}
OURS = {
    "title": "Conflict",
    "status": 409,
    "detail": "contact identifiers resolve to different contacts",
    "error": "contact identifiers resolve to different contacts",
    "code": "conflict",
    "request_id": "req_9",
    "details": [
        {"field": "identifiers[0]", "reason": "belongs to this contact", "type": "phone", "contact_id": "cnt_1"},
        {"field": "identifiers[1]", "reason": "belongs to this contact", "type": "email", "contact_id": "cnt_2"},
        {"field": "identifiers[2]", "reason": "belongs to this contact", "type": "email", "contact_id": "cnt_1"},
    ],
}
HUMA = {
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "validation failed",
    "errors": [{"message": "expected string", "location": "body.name", "value": "Ujang"}],
}
PAGE = b"<html><body>502 for " + PHONE.encode() + b"</body></html>"


@pytest.fixture(params=[wait, await_])
def run(request):
    """Either client; the test does not know which."""
    return request.param


@pytest.fixture(autouse=True)
def _no_pauses():
    with stamina.set_testing(True, attempts=10, cap=True):
        yield


def get(contacts):
    return contacts.get("cnt_1")


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "message"),
    [
        pytest.param(404, FLAT, NotFoundError, "not_found", "contact not found", id="flat"),
        pytest.param(400, PROBLEM, InvalidError, None, "to is required", id="problem"),
        pytest.param(401, {"title": "Unauthorized"}, DeniedError, None, "Unauthorized", id="problem-title-only"),
        pytest.param(400, NESTED, InvalidError, "validation_error", "text is required for type=text", id="nested"),
        pytest.param(409, OURS, ConflictError, "conflict", OURS["error"], id="ours"),
        pytest.param(422, HUMA, InvalidError, None, "validation failed", id="huma"),
        pytest.param(502, PAGE, TryLaterError, None, "Bad Gateway", id="page"),
        pytest.param(404, b"", NotFoundError, None, "Not Found", id="empty"),
        pytest.param(599, b"\xff\xfe\xfd", TryLaterError, None, "no reason given", id="bytes"),
        pytest.param(403, [FLAT], DeniedError, None, "Forbidden", id="list"),
        pytest.param(403, {"error": 5, "code": [], "detail": None}, DeniedError, None, "Forbidden", id="odd"),
        pytest.param(400, b"[" * 100_000, InvalidError, None, "Bad Request", id="deep"),
        pytest.param(302, b"", UnexpectedAnswerError, None, "Found", id="redirect"),
        pytest.param(410, FLAT, NotFoundError, "not_found", "contact not found", id="gone"),
        pytest.param(412, {}, OutdatedError, None, "Precondition Failed", id="outdated"),
        pytest.param(413, {}, InvalidError, None, HTTPStatus(413).phrase, id="large"),
        pytest.param(429, {}, TryLaterError, None, "Too Many Requests", id="limited"),
        pytest.param(500, {}, TryLaterError, None, "Internal Server Error", id="broken"),
    ],
)
def test_every_shape_of_error_is_understood(run, status, body, kind, code, message):
    with pytest.raises(ApiError) as caught:
        run(Server((status, body)), get, attempts=1)

    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.message) == (status, code, message)


def test_conflict_names_the_contacts_once_each():
    error = refusal(httpx.Response(409, json=OURS))

    assert error.contact_ids == ("cnt_1", "cnt_2")
    assert error.details[1] == Detail(
        field="identifiers[1]", reason="belongs to this contact", type="email", contact_id="cnt_2"
    )
    assert refusal(httpx.Response(409, json={"error": "x"})).contact_ids == ()


def test_details_of_the_hosted_framework_come_without_the_value():
    error = refusal(httpx.Response(422, json=HUMA))

    assert error.details == (Detail(field="body.name", reason="expected string"),)
    assert "Ujang" not in f"{error}{error!r}{error.args}"


def test_error_reads_as_one_line_for_a_person():
    error = refusal(httpx.Response(400, json=NESTED))

    assert str(error) == ("400 validation_error: text is required for type=text; text: required (request req_123)")
    assert repr(error) == f"InvalidError({str(error)!r})"


def test_details_are_kept_up_to_a_limit():
    error = refusal(httpx.Response(422, json={"error": "x", "details": [{"field": "f", "reason": "r"}] * 500}))

    assert len(error.details) == 20
    assert str(error).count("f: r") == 3


def test_request_id_may_come_in_a_header():
    assert refusal(httpx.Response(502, content=PAGE, headers={"X-Request-Id": "r1"})).request_id == "r1"


def test_long_or_broken_text_is_made_a_short_line():
    body = json.dumps({"error": "a\r\n\x1b[31mb\u2028c\ud800d" + "x" * 5000, "code": "c" * 5000})

    error = refusal(httpx.Response(400, content=body))

    assert error.message.startswith("a [31mb c dxxx")
    assert (len(error.message), len(error.code)) == (200, 200)
    assert str(error).isprintable()


@given(
    status=st.integers(100, 999),
    body=st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    ["error", "code", "message", "details", "errors", "detail", "title", "request_id", "field"]
                ),
                inner,
            )
        ),
    ),
)
def test_no_body_breaks_the_reading_of_an_error(status, body):
    error = refusal(httpx.Response(status, json=body))

    assert error.status == status
    assert error.message
    assert str(error)


def test_error_survives_pickling():
    error = refusal(httpx.Response(409, json=OURS), timedelta(seconds=3))

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is ConflictError
    assert vars(copy) == vars(error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>"),
        (200, b""),
        (204, b""),
        (200, b"[]"),
        (200, {"data": None}),
        (200, {"data": []}),
        (200, {"data": {"name": "x"}}),
        (200, {"data": {"id": None}}),
        (200, {"id": "cnt_1"}),
        (200, b"\xff"),
        (200, b"[" * 100_000),
    ],
)
def test_success_that_is_not_the_apis_is_an_error(run, status, body):
    server = Server((status, body))

    with pytest.raises(UnexpectedAnswerError) as caught:
        run(server, get)
    assert caught.value.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("body", [{}, {"data": "x"}, {"data": ["x"]}, {"meta": {}}])
def test_list_that_is_none_is_an_error(run, body):
    with pytest.raises(UnexpectedAnswerError):
        run(Server((200, body)), lambda c: c.list())


def test_redirect_is_not_followed_because_the_key_would_be(run):
    server = Server((307, b"", {"Location": "https://evil.example"}))

    with pytest.raises(UnexpectedAnswerError):
        run(server, get)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        (422, {"code": "validation_error", "error": "the request is not valid"}),
        (502, PAGE),
        (200, PAGE),
        (200, {"data": {"phone_number": PHONE}}),
        httpx.ConnectError(f"{KEY} {PHONE}"),
        httpx.LocalProtocolError(f"{KEY} {PHONE}"),
        httpx.DecodingError(f"{KEY} {PHONE}"),
    ],
)
def test_error_shows_neither_key_nor_person(run, answer):
    for action in (
        lambda c: c.upsert(phone_number=PHONE),
        lambda c: c.by_phone(PHONE),
        lambda c: c.resolve(Identifier.phone(PHONE)),
    ):
        with pytest.raises(ApiError) as caught:
            run(Server(answer), action)
        error = caught.value
        shown = "".join(traceback.format_exception(error)) + repr(error) + repr(error.args)
        assert KEY not in shown
        assert PHONE.removeprefix("+") not in shown
        assert not isinstance(error.__context__, httpx.HTTPError | ValueError)
