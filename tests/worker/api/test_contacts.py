"""Routes that show contacts: the published examples, and the cases that these leave open."""

import pytest
from sqlalchemy import text

from connectors.contract import ProfilesMerged
from tests.worker.api.conftest import EMAIL, PHONE, T0, a_profile, is_time
from worker.api import paging

EXAMPLE = {
    "phone_number": "+6281234567890",
    "name": "Ujang",
    "email": "ujang@example.com",
    "external_source": "shopify",
    "external_id": "cust_123",
}


def resolve(client, *identifiers, path="resolve"):
    given = [dict(zip(("type", "value", "source"), identifier, strict=False)) for identifier in identifiers]
    return client.post(f"/v1/contacts/{path}", json={"identifiers": given})


def external_ids(answer):
    return [contact["external_id"] for contact in answer.json()["data"]]


class TestOneContact:
    def test_answers_the_published_example_and_more(self, client, ujang):
        answer = client.get(f"/v1/contacts/{ujang['id']}")

        contact = answer.json()["data"]
        assert answer.status_code == 200
        assert list(contact)[:6] == ["id", *EXAMPLE]
        assert EXAMPLE.items() <= contact.items()
        assert (contact["custom_fields"], contact["tags"]) == ({"tier": "premium"}, [])
        assert is_time(contact["created_at"])
        assert is_time(contact["updated_at"])

    def test_an_id_merged_away_answers_the_survivor(self, client, say):
        say("shop", a_profile("1"), a_profile("2", created=1))
        ids = {contact["external_id"]: contact["id"] for contact in client.get("/v1/contacts").json()["data"]}

        say("shop", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))

        assert client.get(f"/v1/contacts/{ids['2']}").json()["data"]["id"] == ids["1"]

    @pytest.mark.parametrize("id_", ["cnt_123", f"cnt_{'0' * 32}", f"env_{'0' * 32}", "%00", "caf%C3%A9"])
    def test_an_unknown_id_is_not_found(self, client, id_):
        for path in ("", "/identities", "/tags", "/consents", "/suppressions"):
            answer = client.get(f"/v1/contacts/{id_}{path}")
            assert answer.status_code == 404
            assert answer.json()["error"] == "contact not found"
            assert answer.json()["code"] == "not_found"


class TestByPhone:
    @pytest.mark.parametrize("number", ["+6281234567890", "%2B6281234567890", "6281234567890", "+62 812-3456-7890"])
    def test_finds_the_contact_however_it_is_written(self, client, ujang, number):
        assert client.get(f"/v1/contacts/phone/{number}").json()["data"] == ujang

    def test_an_unknown_number_is_not_found(self, client, ujang):
        answer = client.get("/v1/contacts/phone/+6281234567891")

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("number", ["hello", "081234567890", "12", "+", "%00"])
    def test_a_value_that_is_no_number_is_refused(self, client, number):
        answer = client.get(f"/v1/contacts/phone/{number}")

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
        assert answer.json()["details"][0]["field"] == "phone"


class TestList:
    def test_pages_follow_each_other_newest_first(self, client, say):
        for n in range(5):
            say("shop", a_profile(str(n)))
        first = client.get("/v1/contacts?limit=2")
        assert external_ids(first) == ["4", "3"]

        second = client.get(f"/v1/contacts?limit=2&cursor={first.json()['meta']['next_cursor']}")
        last = client.get(f"/v1/contacts?limit=2&cursor={second.json()['meta']['next_cursor']}")

        assert external_ids(second) == ["2", "1"]
        assert external_ids(last) == ["0"]
        assert last.json()["meta"] == {"next_cursor": None}

    def test_a_full_last_page_has_no_cursor(self, client, say):
        say("shop", a_profile("1"), a_profile("2"))

        assert client.get("/v1/contacts?limit=2").json()["meta"]["next_cursor"] is None

    def test_a_page_has_fifty_contacts_by_default(self, client, say):
        say("shop", *(a_profile(str(n)) for n in range(51)))

        assert len(client.get("/v1/contacts").json()["data"]) == 50
        assert len(client.get("/v1/contacts?limit=100").json()["data"]) == 51

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("phone_number=%2B6281234567890", ["cust_123"]),
            ("phone_number=+6281234567890", ["cust_123"]),  # an unescaped plus arrives as a space
            ("phone_number=6281234567890", ["cust_123"]),
            ("phone_number=%2B6281234567891", []),
            ("email=UJANG@example.com", ["cust_123"]),
            ("external_source=shopify&external_id=cust_123", ["cust_123"]),
            ("external_source=shop&external_id=cust_123", []),
            ("email=ujang@example.com&phone_number=6281234567890", ["cust_123"]),
            ("email=budi@example.com&phone_number=6281234567890", []),
            ("email=budi@example.com", ["2"]),
        ],
    )
    def test_filters(self, client, ujang, say, query, found):
        say("shop", a_profile("2", email="budi@example.com"))

        assert external_ids(client.get(f"/v1/contacts?{query}")) == found

    def test_a_filter_finds_every_contact_that_claims_the_value(self, client, say):
        say("shop", *(a_profile(str(n), phone=PHONE) for n in range(3)))

        first = client.get(f"/v1/contacts?phone_number={PHONE[1:]}&limit=2")
        cursor = first.json()["meta"]["next_cursor"]
        second = client.get(f"/v1/contacts?phone_number={PHONE[1:]}&limit=2&cursor={cursor}")

        assert sorted(external_ids(first) + external_ids(second)) == ["0", "1", "2"]

    def test_a_number_with_an_extension_is_found_by_it_and_by_its_beginning(self, client, say):
        say("shop", a_profile("1", phone="+1 613-555-0100 x101"), a_profile("2", phone="+1 613-555-0100"))

        def found(**query):
            return sorted(external_ids(client.get("/v1/contacts", params=query)))

        assert found(phone_number="+16135550100;ext=101") == ["1"]
        assert found(phone_number="+1 613-555-0100 x101") == ["1"]
        assert found(phone_number="+16135550100") == ["2"]
        assert found(search="+1 613-555") == ["1", "2"]
        assert found(search="+16135550100") == ["1", "2"]
        assert found(search="+16135550100;ext=101") == ["1"]
        path = "/v1/contacts/phone/+16135550100;ext=101"
        assert client.get(path).json()["data"]["external_id"] == "1"

    def test_a_contact_is_found_under_each_of_its_customers(self, client, say):
        say("shop", a_profile("1", email=EMAIL))
        say("till", a_profile("9", email=EMAIL, created=1))

        assert external_ids(client.get("/v1/contacts?external_source=till&external_id=9")) == ["1"]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=many", "limit"),
            ("cursor=cursor_abc", "cursor"),
            ("cursor=caf%C3%A9", "cursor"),
            ("phone_number=hello", "phone_number"),
            ("phone_number=", "phone_number"),
            ("email=hello", "email"),
            ("external_source=a%00&external_id=1", "external_source"),
            ("external_id=cust_123", "external_id"),
            ("serach=ujang", "serach"),
        ],
    )
    def test_an_invalid_query_is_refused(self, client, query, field):
        answer = client.get(f"/v1/contacts?{query}")

        assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
        assert [detail["field"] for detail in answer.json()["details"]] == [field]


class TestResolve:
    @pytest.mark.parametrize("path", ["resolve", "lookup"])
    @pytest.mark.parametrize(
        "identifier",
        [
            ("phone", "+6281234567890"),
            ("phone", "6281234567890"),
            ("whatsapp", "6281234567890"),
            ("whatsapp", "+6281234567890"),
            ("wa_id", "6281234567890"),
            ("email", " Ujang@EXAMPLE.com "),
            ("external_id", "cust_123", "shopify"),
        ],
    )
    def test_finds_the_contact_by_each_identifier(self, client, ujang, identifier, path):
        answer = resolve(client, identifier, path=path)

        assert answer.status_code == 200
        assert answer.json() == {"data": ujang}
        assert list(answer.json()["data"])[:4] == ["id", "phone_number", "name", "email"]

    def test_finds_the_contact_by_its_id_and_by_one_merged_away(self, client, say):
        say("shop", a_profile("1"), a_profile("2", created=1))
        ids = {contact["external_id"]: contact["id"] for contact in client.get("/v1/contacts").json()["data"]}
        say("shop", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))

        answer = resolve(client, ("contact_id", ids["1"]), ("contact_id", ids["2"]))

        assert answer.json()["data"]["id"] == ids["1"]

    @pytest.mark.parametrize("kind", ["whatsapp_bsuid", "telegram", "messenger", "instagram", "line", "viber"])
    def test_finds_the_contact_by_a_messengers_id(self, client, say, kind):
        say("chat", a_profile("1", other=[(kind, "ID.4711aB")]))

        assert resolve(client, (kind, "ID.4711aB")).status_code == 200
        assert resolve(client, (kind, "id.4711ab")).status_code == 404

    @pytest.mark.parametrize("kind", ["whatsapp", "wa_id"])
    def test_whatsapp_may_name_a_person_without_a_number(self, client, say, kind):
        say("chat", a_profile("1", other=[("whatsapp_bsuid", "US.13491208655302741918")]))

        assert resolve(client, (kind, "US.13491208655302741918")).status_code == 200

    def test_an_extension_makes_a_difference(self, client, say):
        say("shop", a_profile("1", phone="+1 613-555-0100 x101"), a_profile("2", phone="+1 613-555-0100 ext. 102"))

        for kind, value in (
            ("phone", "+16135550100;ext=101"),
            ("phone", "1 (613) 555-0100 x101"),
            ("whatsapp", "16135550100 x101"),
            ("wa_id", "+16135550100;ext=101"),
        ):
            assert resolve(client, (kind, value)).json()["data"]["external_id"] == "1"
        assert resolve(client, ("phone", "+16135550100;ext=102")).json()["data"]["external_id"] == "2"
        assert resolve(client, ("phone", "+16135550100")).status_code == 404
        assert resolve(client, ("phone", "+16135550100;ext=0101")).status_code == 404

    def test_brazils_ninth_digit_makes_no_difference(self, client, say):
        say("shop", a_profile("1", phone="+5511987654320"))

        assert resolve(client, ("wa_id", "551187654320")).status_code == 200

    def test_unknown_identifiers_are_ignored(self, client, ujang):
        answer = resolve(
            client,
            ("email", "nobody@example.com"),
            ("phone", "no number"),
            ("contact_id", "cnt_123"),
            ("external_id", "cust_123", "woocommerce"),
            ("email", EMAIL),
        )

        assert answer.json() == {"data": ujang}

    def test_identifiers_that_nobody_has_are_not_found(self, client, ujang):
        answer = resolve(client, ("email", "nobody@example.com"), ("external_id", "cust_123", "woocommerce"))

        assert answer.status_code == 404
        assert {"error": "contact not found", "code": "not_found"}.items() <= answer.json().items()
        assert "details" not in answer.json()

    def test_an_impossible_value_is_named(self, client, ujang):
        answer = resolve(client, ("phone", "081234567890"), ("email", "nobody@example.com"))

        assert answer.status_code == 404
        assert [detail["field"] for detail in answer.json()["details"]] == ["identifiers[0].value"]

    def test_identifiers_of_two_contacts_are_a_conflict_that_names_both(self, client, ujang, say):
        say("shop", a_profile("2", email="budi@example.com"))
        (budi,) = client.get("/v1/contacts?email=budi@example.com").json()["data"]

        answer = resolve(
            client, ("email", "budi@example.com"), ("email", "nobody@example.com"), ("phone", PHONE), ("email", EMAIL)
        )

        assert answer.status_code == 409
        exact = {"error": "contact identifiers resolve to different contacts", "code": "conflict"}
        assert exact.items() <= answer.json().items()
        assert [(d["field"], d["type"], d["contact_id"]) for d in answer.json()["details"]] == [
            ("identifiers[0]", "email", budi["id"]),
            ("identifiers[2]", "phone", ujang["id"]),
            ("identifiers[3]", "email", ujang["id"]),
        ]

    def test_twenty_identifiers_may_lead_to_one_contact(self, client, ujang):
        identifiers = [(kind, number) for kind in ("phone", "whatsapp", "wa_id") for number in (PHONE, PHONE[1:])]
        identifiers += [("email", EMAIL), ("email", EMAIL.upper()), ("external_id", "cust_123", "shopify")]
        identifiers += [("contact_id", ujang["id"])]

        answer = resolve(client, *identifiers, *identifiers)

        assert len(identifiers) == 10
        assert answer.json() == {"data": ujang}

    @pytest.mark.parametrize("by", ["external_id", "contact_id", "merged"])
    def test_an_id_conflicts_with_identifiers_of_another_contact(self, client, ujang, say, by):
        say("shop", a_profile("2"), a_profile("3", created=1))
        ids = {one["external_id"]: one["id"] for one in client.get("/v1/contacts").json()["data"]}
        say("shop", ProfilesMerged(kept_external_id="2", lost_external_id="3", occurred_at=T0))
        identifier = {
            "external_id": ("external_id", "2", "shop"),
            "contact_id": ("contact_id", ids["2"]),
            "merged": ("contact_id", ids["3"]),
        }[by]

        answer = resolve(client, ("phone", PHONE), identifier, ("external_id", "cust_123", "shopify"))

        assert answer.status_code == 409
        assert [(d["field"], d["type"], d["contact_id"]) for d in answer.json()["details"]] == [
            ("identifiers[0]", "phone", ujang["id"]),
            ("identifiers[1]", identifier[0], ids["2"]),
            ("identifiers[2]", "external_id", ujang["id"]),
        ]

    def test_the_internal_id_of_a_guest_leads_to_nobody(self, client, engine, say):
        say("shop", a_profile(None, email=EMAIL))
        with engine.connect() as conn:
            external_id = conn.execute(text("SELECT external_id FROM records WHERE kind = 'guest'")).scalar_one()

        assert resolve(client, ("email", EMAIL)).status_code == 200
        assert resolve(client, ("external_id", external_id, "shop")).status_code == 404

    def test_a_contested_identifier_leads_to_the_strongest_claim(self, client, say):
        say("shop", a_profile("2", phone=PHONE, created=1), a_profile("1", phone=PHONE))

        assert resolve(client, ("phone", PHONE)).json()["data"]["external_id"] == "1"

    def test_a_placeholder_leads_to_nobody(self, client, say):
        say("shop", a_profile("1", email="noreply@example.com"))

        assert resolve(client, ("email", "noreply@example.com")).status_code == 404


def test_the_published_document_names_every_field_of_an_error(client):
    document = client.get("/openapi.json").json()

    assert list(document["components"]["schemas"]["Problem"]["properties"]) == [
        "title",
        "status",
        "detail",
        "error",
        "code",
        "request_id",
        "sqlstate",
        "details",
    ]
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("query", ["ujang+shop@example.com", "ujang @example.com", "u jang@example.com"])
def test_a_blank_inside_an_address_finds_nobody_else(client, ujang, query):
    answer = client.get(f"/v1/contacts?email={query.replace(' ', '%20')}")

    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "email"


def test_a_plus_in_an_address_is_found_as_it_is_meant(client, say):
    say("shopify", a_profile(email="ana+shop@example.com"))
    say("crm", a_profile(email="anashop@example.com"))

    (found,) = client.get("/v1/contacts?email=ana%2Bshop@example.com").json()["data"]

    assert found["email"] == "ana+shop@example.com"


@pytest.mark.parametrize("number", ["0812 345 678 Ani", "wa.me/6281273509101", "+6281273509101 / +6281273509102"])
def test_what_is_no_single_number_finds_nobody(client, ujang, number):
    assert client.get("/v1/contacts", params={"phone_number": number}).status_code == 422


def test_a_page_of_large_contacts_is_short_and_the_next_goes_on(client, say, monkeypatch):
    monkeypatch.setattr(paging, "MAX_BYTES", 50_000)
    for number in range(8):
        say("shopify", a_profile(f"large{number}", biography="a" * 20_000))
    for number in range(2):
        say("shopify", a_profile(f"huge{number}", biography="a" * 60_000))
    query, seen, pages = {"limit": 100}, [], 0

    while query.get("cursor", "") is not None:
        page = client.get("/v1/contacts", params=query).json()
        seen += [contact["external_id"] for contact in page["data"]]
        query["cursor"], pages = page["meta"]["next_cursor"], pages + 1

    assert sorted(seen) == sorted([*(f"large{n}" for n in range(8)), "huge0", "huge1"])
    assert pages == 6
