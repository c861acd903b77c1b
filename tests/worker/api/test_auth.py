"""Keys: who may see contacts, and that nobody sees those of another organization."""

import pytest
from sqlalchemy import text

from tests.flows.stack import wait_until
from tests.worker.api.conftest import PHONE, a_profile
from worker.api import auth
from worker.store import api_keys, organizations
from worker.store.db import Tx

UNAUTHORIZED = {
    "title": "Unauthorized",
    "status": 401,
    "detail": "invalid or missing API key",
    "error": "invalid or missing API key",
    "code": "unauthorized",
}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": ""},
        {"X-Api-Key": "csk_00000000000000000000000000000000_guess"},
        {"X-Api-Key": "wzp_abc123"},
        {"X-Api-Key": "caf\xe9".encode("latin-1")},
        {"Authorization": "Bearer guess"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
    ],
)
def test_a_caller_without_a_key_is_unauthorized(stranger, headers):
    answer = stranger.get("/v1/contacts", headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json() == UNAUTHORIZED | {"request_id": answer.headers["x-request-id"]}


def test_the_key_is_checked_before_the_request(stranger):
    assert stranger.get("/v1/contacts?limit=none").status_code == 401
    assert stranger.post("/v1/contacts/resolve", json={}).status_code == 401


def test_a_key_may_come_as_bearer_token(stranger, a_key):
    key = a_key()

    assert stranger.get("/v1/contacts", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert stranger.get("/v1/contacts", headers={"Authorization": f"bearer {key}"}).status_code == 200


def test_a_key_without_the_scope_is_forbidden(stranger, a_key):
    answer = stranger.get("/v1/contacts", headers={"X-Api-Key": a_key("contacts:write")})

    assert answer.status_code == 403
    assert answer.json()["code"] == "forbidden"


@pytest.fixture
def revoked(engine, stranger, organization_id):
    """A key that was used and then revoked."""

    def revoked():
        with engine.begin() as conn:
            id_, key = api_keys.insert_new(Tx(conn, organization_id), ["contacts:read"])
        assert stranger.get("/v1/contacts", headers={"X-Api-Key": key}).status_code == 200
        with engine.begin() as conn:
            api_keys.revoke(Tx(conn, organization_id), id_)
        return {"X-Api-Key": key}

    return revoked


def test_a_revoked_key_is_refused_when_the_time_to_remember_it_is_over(stranger, revoked, monkeypatch):
    monkeypatch.setattr(auth, "_REMEMBERED_S", 0.0)

    assert stranger.get("/v1/contacts", headers=revoked()).status_code == 401


def test_a_revoked_key_is_refused_as_soon_as_the_process_hears_of_it(stranger, revoked):
    headers = revoked()

    auth.limiter().on_revoked()

    assert stranger.get("/v1/contacts", headers=headers).status_code == 401


def test_while_a_key_is_used_it_is_looked_up_beside_the_requests(stranger, revoked):
    headers = revoked()

    wait_until(lambda: stranger.get("/v1/contacts", headers=headers).status_code == 401, 2.5)


def test_the_use_of_a_key_is_stored(engine, client):
    client.get("/v1/contacts")

    with engine.connect() as conn:
        assert conn.execute(text("SELECT last_used_at IS NOT NULL FROM api_keys")).scalar_one()


def test_a_contact_of_another_organization_is_not_found(engine, stranger, a_key, ujang, say):
    say("shopify", a_profile("theirs", phone="+6281273509101"), organization="other")
    headers = {"X-Api-Key": a_key(organization="other")}
    theirs = stranger.get("/v1/contacts", headers=headers).json()["data"]
    by_id = {"identifiers": [{"type": "contact_id", "value": ujang["id"]}]}
    by_phone = {"identifiers": [{"type": "phone", "value": PHONE}]}

    assert [contact["external_id"] for contact in theirs] == ["theirs"]
    assert stranger.get(f"/v1/contacts?phone_number={PHONE}", headers=headers).json()["data"] == []
    for path in ("", "/identities", "/tags", "/consents", "/suppressions"):
        assert stranger.get(f"/v1/contacts/{ujang['id']}{path}", headers=headers).status_code == 404
    assert stranger.get(f"/v1/contacts/phone/{PHONE}", headers=headers).status_code == 404
    assert stranger.post("/v1/contacts/resolve", headers=headers, json=by_id).status_code == 404
    assert stranger.post("/v1/contacts/resolve", headers=headers, json=by_phone).status_code == 404


def test_organizations_do_not_share_keys_by_name(engine, a_key):
    with engine.begin() as conn:
        (found,) = api_keys.check(conn, [a_key(organization="other")])
        assert found is not None
        assert found.organization_id == organizations.find(conn, "other")
