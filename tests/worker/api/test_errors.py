"""Errors: every error has the same body, and none contains data of a person."""

import json
import os
import re

import psycopg
import pytest
from fastapi import APIRouter
from psycopg import errors
from sqlalchemy import exc

from worker import logs
from worker.store import db

router = APIRouter()


@router.get("/v1/broken")
def broken() -> None:
    raise KeyError("ujang@example.com")


@pytest.fixture
def broken_client(app, client):
    app.include_router(router)
    return client


def resolve(client, content, **headers):
    return client.post("/v1/contacts/resolve", content=content, headers={"Content-Type": "application/json", **headers})


def test_an_unknown_route_has_the_same_body(client):
    answer = client.get("/v1/nothing")

    assert answer.status_code == 404
    assert answer.json() == {
        "title": "Not Found",
        "status": 404,
        "detail": "no such route",
        "error": "no such route",
        "code": "not_found",
        "request_id": answer.headers["x-request-id"],
    }


def test_a_wrong_method_is_answered_with_the_right_ones(client):
    answer = client.request("PUT", "/v1/contacts/resolve")

    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert "POST" in answer.headers["allow"]


def test_a_request_id_is_made_or_taken_from_the_request(client):
    assert re.fullmatch(r"req_[0-9a-f]{32}", client.get("/v1/contacts").headers["x-request-id"])

    answer = client.get("/v1/nothing", headers={"X-Request-Id": "trace-1.a:b"})

    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "trace-1.a:b"


@pytest.mark.parametrize("given", ["two words", "x" * 129, "{}", ""])
def test_an_odd_request_id_is_replaced(client, given):
    assert client.get("/v1/contacts", headers={"X-Request-Id": given}).headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("content", [b"{", b"\xff", b'{"identifiers": [' + b"[" * 100_000])
def test_what_is_not_json_is_a_bad_request(client, content):
    answer = resolve(client, content)

    assert answer.status_code == 400
    assert answer.json()["code"] == "bad_request"


def test_a_body_has_a_limit(client):
    answer = resolve(client, b'"' + b"x" * (6 * 1024 * 1024) + b'"')

    assert answer.status_code == 413
    assert answer.json()["code"] == "too_large"


def test_a_body_without_a_length_has_the_same_limit(client):
    async def parts():
        for _ in range(100):
            yield b"x" * 65536

    answer = resolve(client, parts())

    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("body", "field", "reason"),
    [
        ({}, "identifiers", "required"),
        ({"identifiers": []}, "identifiers", "at least 1"),
        ({"identifiers": [{"type": "email", "value": "x"}] * 21}, "identifiers", "at most 20"),
        ({"identifiers": [{"type": "passport", "value": "secret"}]}, "identifiers[0].type", "contact_id"),
        ({"identifiers": [{"type": "email", "value": "secret" * 100}]}, "identifiers[0].value", "512"),
        ({"identifiers": [{"type": "email", "value": ""}]}, "identifiers[0].value", "at least 1"),
        ({"identifiers": [{"type": "email", "value": "secret\x00"}]}, "identifiers[0].value", "NUL"),
        ({"identifiers": [{"type": "email", "value": 42}]}, "identifiers[0].value", "string"),
        ({"identifiers": [{"type": "external_id", "value": "1"}]}, "identifiers[0].source", "external_id"),
        ({"identifiers": ["secret"]}, "identifiers[0]", "object"),
        ([], "body", "object"),
    ],
)
def test_a_wrong_field_is_named_and_never_quoted(client, body, field, reason):
    answer = client.post("/v1/contacts/resolve", json=body)

    assert answer.status_code == 422
    error = answer.json()
    assert error["code"] == "validation_error"
    assert [detail["field"] for detail in error["details"]] == [field]
    assert reason in error["details"][0]["reason"]
    assert "secret" not in answer.text


def test_a_lone_surrogate_is_refused(client):
    answer = resolve(client, b'{"identifiers": [{"type": "email", "value": "\\ud800"}]}')

    assert answer.status_code == 400


def test_a_body_of_another_type_is_refused_with_the_right_type(client):
    answer = resolve(client, b'{"identifiers": []}', **{"Content-Type": "text/plain"})

    assert answer.status_code == 422
    assert "application/json" in answer.json()["details"][0]["reason"]


def test_a_bug_is_answered_without_details(broken_client, capsys):
    logs.configure()  # again, because the test has another stderr

    answer = broken_client.get("/v1/broken")

    assert answer.status_code == 500
    assert answer.json() == {
        "title": "Internal Server Error",
        "status": 500,
        "detail": "internal error",
        "error": "internal error",
        "code": "internal",
        "request_id": answer.headers["x-request-id"],
    }
    log = capsys.readouterr().err
    assert '"request_failed"' in log
    assert '"KeyError"' in log
    assert answer.headers["x-request-id"] in log
    assert "ujang" not in log


def test_without_a_database_the_answer_is_503_with_retry_after(client, monkeypatch):
    away = db.make_engine("postgresql://nobody@127.0.0.1:1/nothing")
    monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), away)

    answer = client.get("/v1/contacts")

    assert answer.status_code == 503
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) > 0


def test_an_exhausted_pool_is_answered_503(client, monkeypatch):
    class Exhausted:
        def begin(self):
            raise exc.TimeoutError

    monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), Exhausted())

    assert client.get("/v1/contacts").status_code == 503


@pytest.mark.parametrize(("kind", "status"), [(errors.ReadOnlySqlTransaction, 503), (errors.SyntaxError, 500)])
def test_a_database_that_refuses_is_503_with_the_sqlstate_and_a_bug_stays_500(
    client, monkeypatch, capsys, kind, status
):
    class Refusing:
        def begin(self):
            raise exc.DBAPIError.instance("ujang", {}, kind("ujang@example.com"), psycopg.Error)

        connect = begin

    logs.configure()
    monkeypatch.setattr(logs.Seldom, "log", lambda _self, write, event, **fields: write(event, **fields))
    monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), Refusing())

    answer = client.get("/v1/contacts")
    told = json.loads(capsys.readouterr().err)

    assert answer.status_code == status
    assert answer.json().get("sqlstate") == ("25006" if status == 503 else None)
    assert (told.get("sqlstate") or told["exception"]["sqlstate"]) == kind.sqlstate
    assert "ujang" not in answer.text + str(told)
