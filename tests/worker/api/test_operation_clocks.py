"""A request takes effect at once, even if a shop's clock is ahead of ours: an edit, a delete, an opt-out."""

from datetime import UTC, datetime, timedelta

import pytest

from connectors.contract import ConsentStated, Identifier, ProfileSeen, TagsAdded
from tests.worker.api.conftest import EMAIL, T0, Client

#: How far the shop's clock is ahead. More than five minutes are in a store only from before there were ceilings.
AHEAD = (timedelta(minutes=4), timedelta(hours=2), timedelta(days=1500))


@pytest.fixture
def client(app, a_key):
    """A caller who may write."""
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


@pytest.fixture(params=AHEAD, ids=str)
def later(say, request):
    """State events as a shop whose clock is ahead."""

    def later(event, **fields):
        at = datetime.now(UTC) + request.param
        say("shop", event(external_id="1", occurred_at=at, **fields), minute=(at - T0) / timedelta(minutes=1))

    return later


@pytest.fixture
def url(client, later):
    """The path of a contact from a shop, whose statements are dated in the future."""
    later(ProfileSeen, fields={"name": "Shop's"}, identifiers={"email": Identifier(type="email", value=EMAIL)})
    later(TagsAdded, tags=("vip",))
    later(ConsentStated, channel="email", status="opted_in", address=EMAIL)
    (contact,) = client.get("/v1/contacts").json()["data"]
    return f"/v1/contacts/{contact['id']}"


def test_a_request_for_a_source_replaces_what_the_source_stated(client, url):
    body = {"external_source": "shop", "external_id": "1", "name": "Newer", "email": None}

    answer = client.post("/v1/contacts", json=body)

    assert (answer.json()["data"]["name"], answer.json()["data"]["email"]) == ("Newer", None)


def test_a_tag_is_taken_off(client, url):
    assert client.request("DELETE", f"{url}/tags/vip").status_code == 204

    assert client.get(url).json()["data"]["tags"] == []


def test_a_contact_is_deleted(client, url):
    assert client.request("DELETE", url).status_code == 204

    assert client.get(url).status_code == 404


def test_an_opt_out_counts(client, url):
    row = client.request("PUT", f"{url}/consent/email", json={"status": "opted_out"}).json()["data"]

    assert row["status"] == "opted_out"
    verdict = client.get(f"{url}/sendability?channel=email").json()["data"]
    assert (verdict["sendable"], verdict["reason"]) == (False, "opted_out")


@pytest.mark.parametrize("reason", ["unsubscribed", "stop_keyword"])
def test_a_suppression_counts(client, url, reason):
    row = client.post(f"{url}/suppressions", json={"channel": "email", "reason": reason}).json()["data"]

    assert (row["active"], row["lifted_at"]) == (True, None)
    verdict = client.get(f"{url}/sendability?channel=email").json()["data"]
    assert (verdict["sendable"], verdict["reason"]) == (False, "suppressed")
