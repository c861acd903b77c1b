"""Opt-outs and suppressions through the API: nothing overrules them by accident, even on shared addresses."""

from datetime import timedelta

import pytest

from connectors.contract import ConsentStated, ProfileRemoved, SuppressionStated
from tests.worker.api.conftest import EMAIL, PHONE, T0, Client, a_profile, url_of


@pytest.fixture
def client(app, a_key):
    """A caller who may write."""
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


def consent(client, url, channel, status, **more):
    answer = client.request("PUT", f"{url}/consent/{channel}", json={"status": status, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def verdict(client, url, channel, purpose="marketing"):
    found = client.get(f"{url}/sendability", params={"channel": channel, "purpose": purpose}).json()["data"]
    return found["sendable"], found["reason"]


def stated(status, minute, external_id="1", channel="whatsapp", address=PHONE):
    return ConsentStated(
        external_id=external_id,
        channel=channel,
        status=status,
        address=address,
        occurred_at=T0 + timedelta(minutes=minute),
    )


def test_an_opt_in_opens_a_shared_number_for_its_own_person_alone(client, say):
    say("shop", a_profile("1", phone=PHONE), a_profile("2", phone=PHONE, created=1), stated("opted_out", 5))
    owner, other = url_of(client, "shop", "1"), url_of(client, "shop", "2")
    assert verdict(client, other, "whatsapp") == (False, "opted_out")

    consent(client, other, "whatsapp", "opted_in")

    assert verdict(client, owner, "whatsapp") == (False, "opted_out")
    assert verdict(client, other, "whatsapp") == (True, "opted_in")


def test_an_opt_out_closes_every_address_for_everybody_even_if_one_is_closed_already(client, say):
    say("shop", a_profile("1", phone=PHONE), stated("opted_out", 5))
    url = url_of(client, "shop", "1")
    client.request("PATCH", url, json={"phone_number": "+6281234567899"})

    consent(client, url, "whatsapp", "opted_out")
    say("shop", ProfileRemoved(external_id="1", occurred_at=None))
    assert client.get(url).status_code == 404

    for external_id, phone in (("3", PHONE), ("4", "+6281234567899")):
        say("eu", a_profile(external_id, phone=phone), stated("opted_in", 30, external_id, address=phone))
        assert verdict(client, url_of(client, "eu", external_id), "whatsapp") == (False, "opted_out")


def test_a_repeated_opt_out_outranks_an_older_opt_in_that_comes_late(client, say):
    say("shop", a_profile("1", phone=PHONE), stated("opted_out", 5))
    url = url_of(client, "shop", "1")
    shown = client.get(f"{url}/consents").json()["data"]

    repeated = consent(client, url, "whatsapp", "opted_out")
    say("shop", stated("opted_in", 30))

    assert [repeated] == shown  # with the time of the first
    assert verdict(client, url, "whatsapp") == (False, "opted_out")


def test_an_opt_out_without_an_address_stays_when_a_shop_deletes_one_of_two_customers(client, say):
    say("shop", a_profile("1", phone=PHONE))
    say("eu", a_profile("1", phone=PHONE, created=1))
    url = url_of(client, "shop", "1")
    client.post(f"{url}/notes", json={"body": "No mails, please."})
    consent(client, url, "email", "opted_out")

    say("shop", ProfileRemoved(external_id="1", occurred_at=None))

    assert url_of(client, "eu", "1") == url
    assert client.get(f"{url}/consents").json()["data"][0]["status"] == "opted_out"
    assert client.get(f"{url}/notes").json()["data"][0]["body"] == "No mails, please."


def test_an_opt_out_and_a_note_come_back_with_the_only_customer(client, say):
    say("shop", a_profile("1", phone=PHONE))
    url = url_of(client, "shop", "1")
    client.post(f"{url}/notes", json={"body": "No mails, please."})
    consent(client, url, "email", "opted_out")

    say("shop", ProfileRemoved(external_id="1", occurred_at=None))
    assert client.get("/v1/contacts").json()["data"] == []
    say("shop", a_profile("1", phone=PHONE, at=61), minute=61)

    assert url_of(client, "shop", "1") == url
    assert client.get(f"{url}/consents").json()["data"][0]["status"] == "opted_out"
    assert client.get(f"{url}/notes").json()["data"][0]["body"] == "No mails, please."


def test_an_opt_out_without_an_address_comes_back_with_the_person(client):
    url = f"/v1/contacts/{client.post('/v1/contacts', json={'email': EMAIL}).json()['data']['id']}"
    consent(client, url, "whatsapp", "opted_out")
    client.request("DELETE", url)

    again = client.post("/v1/contacts", json={"email": EMAIL, "name": "Again"})

    assert again.status_code == 201
    assert client.get(f"/v1/contacts/{again.json()['data']['id']}/consents").json()["data"][0]["status"] == "opted_out"


def test_all_channels_are_all_addresses_of_the_contact(client, say):
    identifiers = [("whatsapp_bsuid", "ID.13491208655302741918"), ("telegram", "12345678")]
    say("shop", a_profile("1", email=EMAIL, other=identifiers))
    url = url_of(client, "shop", "1")
    for channel in ("whatsapp", "telegram", "email"):
        consent(client, url, channel, "opted_in")
        assert verdict(client, url, channel) == (True, "opted_in")

    answer = client.post(f"{url}/suppressions", json={"channel": "all", "reason": "manual"})

    assert answer.status_code == 201
    assert {verdict(client, url, channel) for channel in ("whatsapp", "telegram", "email")} == {(False, "suppressed")}


def test_a_contact_with_only_a_business_scoped_id_can_be_suppressed(client, say):
    say("shop", a_profile("1", other=[("whatsapp_bsuid", "ID.13491208655302741918")]))
    url = url_of(client, "shop", "1")

    answer = client.post(f"{url}/suppressions", json={"channel": "whatsapp", "reason": "stop_keyword"})

    assert answer.status_code == 201
    assert answer.json()["data"]["address"] == "ID.13491208655302741918"
    assert verdict(client, url, "whatsapp") == (False, "suppressed")


def test_only_the_owner_of_a_number_can_lift_its_suppression(client, say):
    bounce = SuppressionStated(
        external_id="1", channel="sms", address=PHONE, reason="hard_bounce", occurred_at=T0 + timedelta(minutes=2)
    )
    say("shop", a_profile("1", phone=PHONE), a_profile("2", phone=PHONE, created=1), bounce)

    lifted = client.post(
        f"{url_of(client, 'shop', '2')}/suppressions",
        json={"channel": "sms", "reason": "hard_bounce", "active": False},
    )

    assert lifted.status_code == 422
    assert lifted.json()["details"][0]["field"] == "address"
    assert verdict(client, url_of(client, "shop", "1"), "sms") == (False, "suppressed")


def test_an_opt_in_that_expired_can_be_stated_again(client, say):
    say("shop", a_profile("1", phone=PHONE))
    url = url_of(client, "shop", "1")
    consent(client, url, "whatsapp", "opted_in", occurred_at="2026-01-01T00:00:00Z", expires_at="2026-02-01T00:00:00Z")
    assert verdict(client, url, "whatsapp") == (False, "consent_expired")

    consent(client, url, "whatsapp", "opted_in")

    assert verdict(client, url, "whatsapp") == (True, "opted_in")
