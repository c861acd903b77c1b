"""Writes of contacts: edits of deleted, merged and joined contacts, and the limits of a record."""

import pytest

from connectors.contract import ProfilesMerged
from tests.worker.api.conftest import EMAIL, PHONE, T0, Client, a_profile, url_of


@pytest.fixture
def client(app, a_key):
    """A caller who may write."""
    return Client(app, {"X-Api-Key": a_key("contacts:read", "contacts:write")})


def create(client, external_id):
    body = {"external_source": "crm", "external_id": external_id}
    return client.post("/v1/contacts", json=body).json()["data"]["id"]


def identifier(kind, value):
    return {"identifiers": [{"type": kind, "value": value}]}


def test_a_tag_can_be_put_on_a_contact_that_came_back(client):
    body = {"external_source": "crm", "external_id": "1", "phone_number": PHONE}
    url = f"/v1/contacts/{client.post('/v1/contacts', json=body).json()['data']['id']}"
    client.post(f"{url}/tags", json={"name": "vip"})
    client.request("DELETE", url)
    client.post("/v1/contacts", json=body)

    answer = client.post(f"{url}/tags", json={"name": "gold"})

    assert (answer.status_code, answer.json()["data"]["name"]) == (201, "gold")
    assert client.get(url).json()["data"]["tags"] == ["gold"]


def test_a_new_pair_for_a_known_person_is_an_update(client):
    assert client.post("/v1/contacts", json={"phone_number": PHONE}).status_code == 201

    answer = client.post("/v1/contacts", json={"phone_number": PHONE, "external_source": "crm", "external_id": "1"})

    assert answer.status_code == 200
    assert "location" not in answer.headers


def test_a_customer_that_was_merged_away_brings_a_deleted_survivor_back(client, say):
    say("shop", a_profile("1", phone=PHONE), a_profile("2", created=1))
    say("shop", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))
    client.request("DELETE", url_of(client, "shop", "1"))

    answer = client.post("/v1/contacts", json={"external_source": "shop", "external_id": "2", "name": "Ayu"})

    assert answer.status_code == 201
    assert (answer.json()["data"]["external_id"], answer.json()["data"]["name"]) == ("1", "Ayu")


def test_a_patch_does_not_join_two_customers_of_a_source(client):
    url = f"/v1/contacts/{create(client, '1')}"

    answer = client.request("PATCH", url, json={"external_source": "crm", "external_id": "2"})
    other = create(client, "2")

    assert answer.status_code == 409
    assert answer.json()["details"][0]["field"] == "external_id"
    assert f"/v1/contacts/{other}" != url


def test_a_contact_cannot_grow_without_end(client):
    url = f"/v1/contacts/{create(client, '1')}"
    answers = [
        client.request("PATCH", url, json={"custom_fields": {f"f{page}-{n}": "x" * 200 for n in range(200)}})
        for page in range(8)
    ]

    assert answers[0].status_code == 200
    assert answers[-1].status_code == 422
    assert answers[-1].json()["details"][0]["field"] == "custom_fields"


def test_null_removes_the_edits_of_all_custom_fields(client, say):
    say("shop", a_profile("1", tier="basic"))
    url = url_of(client, "shop", "1")
    client.request("PATCH", url, json={"name": "Ayu", "custom_fields": {"tier": "premium", "city": "Bandung"}})

    answer = client.request("PATCH", url, json={"custom_fields": None}).json()["data"]

    assert (answer["name"], answer["custom_fields"]) == ("Ayu", {"tier": "basic"})


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_null_clears_what_the_api_said_when_it_created_the_contact(client, method):
    body = {"phone_number": PHONE, "email": EMAIL, "name": "Ayu", "custom_fields": {"tier": "gold", "city": "Solo"}}
    contact = client.post("/v1/contacts", json=body).json()["data"]
    path = "/v1/contacts" + (f"/{contact['id']}" if method == "PATCH" else "")

    answer = client.request(method, path, json={"phone_number": PHONE, "email": None, "custom_fields": {"tier": None}})

    assert (answer.status_code, answer.json()["data"]["id"]) == (200, contact["id"])
    assert (answer.json()["data"]["email"], answer.json()["data"]["custom_fields"]) == (None, {"city": "Solo"})
    answer = client.request(method, path, json={"phone_number": PHONE, "name": None, "custom_fields": None})
    assert (answer.json()["data"]["name"], answer.json()["data"]["custom_fields"]) == (None, {})
    assert client.post("/v1/contacts/resolve", json=identifier("email", EMAIL)).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_edits_that_stayed_with_another_contact_are_left_there(client, say, method):
    say("crm", a_profile("1", phone=PHONE, created=10))
    client.post(f"{url_of(client, 'crm', '1')}/tags", json={"name": "vip"})
    say("eu", a_profile("1", phone=PHONE, created=0))
    client.post(f"{url_of(client, 'eu', '1')}/notes", json={"body": "Prefers the morning."})
    say("crm", a_profile("1", phone="+6281234567891", at=5, created=10))  # They part, and the edits stay with eu:1.
    one, other = url_of(client, "eu", "1"), url_of(client, "crm", "1")
    assert one != other

    for name, url in (("first", other), ("second", one), ("third", other)):
        if method == "PATCH":
            assert client.request("PATCH", url, json={"name": name}).json()["data"]["name"] == name
        else:
            assert client.post(f"{url}/tags", json={"name": name}).status_code == 201

    shown = [client.get(url).json()["data"] for url in (one, other)]
    tags = [["vip"], []] if method == "PATCH" else [["second", "vip"], ["first", "third"]]
    assert [contact["tags"] for contact in shown] == tags
    assert [len(client.get(f"{url}/notes").json()["data"]) for url in (one, other)] == [1, 0]
    if method == "PATCH":
        assert [contact["name"] for contact in shown] == ["second", "third"]


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_an_identifier_that_the_api_replaced_leads_to_somebody_new(client, method):
    contact = client.post("/v1/contacts", json={"phone_number": PHONE, "email": "typo@example.com"}).json()["data"]
    path = "/v1/contacts" + (f"/{contact['id']}" if method == "PATCH" else "")

    edited = client.request(method, path, json={"phone_number": PHONE, "email": EMAIL}).json()["data"]
    other = client.post("/v1/contacts", json={"email": "typo@example.com"})

    assert (edited["id"], edited["email"]) == (contact["id"], EMAIL)
    assert (other.status_code, other.json()["data"]["id"] != contact["id"]) == (201, True)
    assert client.post("/v1/contacts/resolve", json=identifier("email", EMAIL)).json()["data"] == edited


def test_a_number_with_an_extension_is_stored_and_leads_to_its_contact(client):
    created = client.post("/v1/contacts", json={"phone_number": "+1 613-555-0100 x101", "name": "Ayu"})
    again = client.post("/v1/contacts", json={"phone_number": "+16135550100;ext=101", "name": "Ayu Lestari"})
    other = client.post("/v1/contacts", json={"phone_number": "+16135550100", "name": "The switchboard"})

    assert [answer.status_code for answer in (created, again, other)] == [201, 200, 201]
    assert created.json()["data"]["phone_number"] == "+16135550100;ext=101"
    assert again.json()["data"]["id"] == created.json()["data"]["id"] != other.json()["data"]["id"]


def test_a_number_can_be_given_an_extension(client):
    id_ = client.post("/v1/contacts", json={"phone_number": "+54 9 11 5874-9895"}).json()["data"]["id"]

    edited = client.request("PATCH", f"/v1/contacts/{id_}", json={"phone_number": "+54 9 11 5874-9895 ext. 7"})

    assert edited.json()["data"]["phone_number"] == "+5491158749895;ext=7"
    (row,) = client.get(f"/v1/contacts/{id_}/identities").json()["data"]
    assert (row["type"], row["value"], row["is_primary"]) == ("phone", "+5491158749895;ext=7", True)


def test_an_extension_that_is_too_long_is_refused(client):
    answer = client.post("/v1/contacts", json={"phone_number": "+16135550100;ext=" + "1" * 21})

    assert (answer.status_code, answer.json()["details"][0]["field"]) == (422, "phone_number")
