"""The gate: the key first, then the body, and only then the framework."""

import asyncio

import pytest

from tests.worker.api.conftest import on_the_loop
from worker.api import auth, gate
from worker.store import api_keys, db

BODY = b'{"identifiers": [{"type": "email", "value": "ujang@example.com"}]}'


class Request:
    """A request straight to the application, which notes how much of its body was asked for."""

    def __init__(self, *pieces, path="/v1/contacts/resolve", more=False, **headers):
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        headers = [(b"content-type", b"application/json"), *named]
        self.scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b""}
        self.pieces, self.more, self.asked, self.sent = list(pieces), more, 0, []

    async def receive(self):
        self.asked += 1
        if not self.pieces:
            await asyncio.sleep(60)
        piece = self.pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": self.more or bool(self.pieces)}

    async def send(self, message):
        # What is asked for after the answer is thrown away.
        self.sent.append((message, self.asked))

    def to(self, app):
        on_the_loop(app({**self.scope, "http_version": "1.1", "scheme": "http"}, self.receive, self.send))
        return self.sent[0][0]["status"]

    def headers(self):
        return dict(self.sent[0][0]["headers"])


def test_nothing_of_a_body_is_read_before_the_key_is_known(app):
    for headers in ({}, {"x_api_key": "csk_00000000000000000000000000000000_guess"}):
        request = Request(BODY, content_length=str(len(BODY)), **headers)

        assert request.to(app) == 401
        assert request.sent[0][1] == 0
        assert request.headers()[b"connection"] == b"close"


def test_a_body_is_handed_on_whole(app, a_key):
    request = Request(BODY[:10], BODY[10:], x_api_key=a_key())

    assert request.to(app) == 404  # nobody has the address
    assert b"connection" not in request.headers()


@pytest.mark.parametrize("announced", [True, False])
def test_a_large_body_is_refused(app, a_key, announced):
    size = gate.MAX_BODY_BYTES + 1
    announcement = {"content_length": str(size)} if announced else {"transfer_encoding": "chunked"}
    request = Request(b'"' + b"a" * (size // 2), b"a" * size, more=True, x_api_key=a_key(), **announcement)

    assert request.to(app) == 413
    assert request.sent[0][1] == (0 if announced else 2)
    assert request.headers()[b"connection"] == b"close"


def test_a_body_up_to_the_limit_is_taken(app, a_key):
    body = b" " * (gate.MAX_BODY_BYTES - len(BODY)) + BODY

    assert Request(body, x_api_key=a_key(), content_length=str(len(body))).to(app) == 404


def test_a_body_that_takes_long_is_refused(app, a_key, monkeypatch):
    monkeypatch.setattr(gate, "_BODY_S", 0.05)

    assert Request(b"{", more=True, x_api_key=a_key(), content_length="10").to(app) == 408


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_an_encoded_body_is_refused(app, a_key, encoding):
    request = Request(BODY, x_api_key=a_key(), content_encoding=encoding)

    assert request.to(app) == 415
    assert request.asked == 0


def test_answers_are_kept_in_no_cache(client, stranger):
    for answer in (client.get("/v1/contacts"), stranger.get("/v1/contacts"), client.get("/v1/contacts/cnt_x")):
        assert answer.headers["cache-control"] == "no-store"
    assert "no-cache" in stranger.get("/").headers["cache-control"]


def test_what_cannot_be_a_key_is_never_looked_up(stranger, monkeypatch):
    monkeypatch.setattr(db, "tenant_engine", lambda: pytest.fail("a look-up"))

    for key in ("guess", "csk_x_y", "csk_" + "0" * 32 + "_" + "a" * 500, "wzp_abc"):
        assert stranger.get("/v1/contacts", headers={"X-Api-Key": key}).status_code == 401


def test_many_wrong_keys_share_a_look_up_and_keep_no_right_one_out(engine, a_key, monkeypatch):
    looked_up = []
    check = api_keys.check

    def counting(conn, keys):
        looked_up.append(len(keys))
        return check(conn, keys)

    monkeypatch.setattr(api_keys, "check", counting)
    monkeypatch.setattr(db, "tenant_engine", lambda: engine)
    familiar, new = a_key(), a_key("admin")

    async def story():
        keys = auth.Keys()
        wrong = [
            asyncio.create_task(keys.admit([(b"x-api-key", b"csk_%032x_guess" % number)])) for number in range(300)
        ]
        right = [await keys.admit([(b"authorization", f"Bearer {key}".encode())]) for key in (familiar, new, familiar)]
        await asyncio.wait(wrong)
        return wrong, right

    wrong, right = asyncio.run(story())

    assert [sorted(admitted.key.scopes) for admitted in right] == [["contacts:read"], ["admin"], ["contacts:read"]]
    assert {task.exception().status_code for task in wrong} == {401}
    assert len(looked_up) <= 5


def test_the_id_of_a_key_with_another_secret_is_no_key(app, a_key):
    name, _, secret = a_key().rpartition("_")

    assert Request(BODY, x_api_key=f"{name}_{secret[::-1]}").to(app) == 401
