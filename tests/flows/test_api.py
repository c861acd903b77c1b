"""The Contacts API over real HTTP: each published endpoint, and our answers where the published page is silent."""

import json
import re
import shutil
import subprocess
import uuid
from collections import Counter
from pathlib import Path
from urllib.parse import quote

import pytest

from connectors.shopify.simulator.shop import signed
from tests.flows import published
from tests.flows.stack import wait_until

SEED = Path(__file__).parents[3] / "shared" / "seed"

UJANG = published.body_of(published.CREATE)
PHONE, EMAIL = UJANG["phone_number"], UJANG["email"]
NOT_FOUND, CONFLICT = json.loads(published.NOT_FOUND), json.loads(published.CONFLICT)
CONTACT = "id phone_number name email external_source external_id custom_fields tags created_at updated_at"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def organization():
    return f"api-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def client(stack, organization):
    with stack.client(organization) as client:
        yield client


@pytest.fixture
def ujang(client):
    """The contact of the published example, created through the API."""
    return create(client, UJANG)


@pytest.fixture
def url(client, ujang):
    """The path of the contact Ujang."""
    return f"/v1/contacts/{ujang['id']}"


def create(client, body, expected=201):
    answer = client.post("/v1/contacts", json=body)
    assert answer.status_code == expected, answer.text
    return answer.json()["data"]


def data(answer, expected=200):
    assert answer.status_code == expected, answer.text
    return answer.json()["data"]


def refused(answer, status, published_body=None, **fields):
    """Check an error: its status, the body of both published shapes, and these fields in `details`; return the body."""
    body = answer.json()
    assert answer.status_code == status, answer.text
    assert list(body)[:6] == ["title", "status", "detail", "error", "code", "request_id"]
    assert (body["status"], body["detail"]) == (status, body["error"])
    assert body["request_id"] == answer.headers["x-request-id"]
    if published_body is not None:
        assert published_body.items() <= body.items()
    named = {detail["field"]: detail for detail in body.get("details", ())}
    assert all(named[field]["reason"] for field in fields.get("fields", ()))
    return body


def identifier(kind, value, source=None):
    return {"identifiers": [{"type": kind, "value": value} | ({"source": source} if source else {})]}


def test_every_published_endpoint_is_there(client):
    paths = client.get("/openapi.json").json()["paths"]
    there = {
        f"{method.upper()} {path.replace('contact_id', 'contactID')}"
        for path, methods in paths.items()
        for method in methods
    }

    assert set(published.ENDPOINTS) <= there
    assert len(published.ENDPOINTS) == 17


@pytest.mark.skipif(not SEED.exists(), reason="the published page is not beside this checkout")
def test_the_examples_are_those_of_the_published_page():
    page = "\n".join(path.read_text() for path in SEED.glob("*.txt"))

    for example in (*published.EXAMPLES, *published.ENDPOINTS):
        assert example in page


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_published_commands_print_what_the_page_prints(stack, organization, client):
    key = client.headers["x-api-key"]
    contact_id = "cnt_123"

    def run(command):
        command = command.replace("https://api.wazapin.id", stack.url).replace("YOUR_API_KEY", key)
        command = command.replace("curl ", "curl --silent --show-error --noproxy '*' ", 1)
        command = command.replace("cnt_123", contact_id)
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, timeout=30, check=True)
        return json.loads(done.stdout)

    def shows(printed, example):
        expected = json.loads(example)["data"]
        assert set(printed) == {"data"}
        assert list(expected) == [name for name in printed["data"] if name in expected]
        assert {**expected, "id": contact_id}.items() <= printed["data"].items()

    created = run(published.CREATE)
    contact_id = created["data"]["id"]
    shows(created, published.CREATED)
    shows(run(published.RESOLVE_BY_PHONE), published.FOUND)
    shows(run(published.RESOLVE_BY_EXTERNAL_ID), published.FOUND)
    updated = run(published.UPDATE)["data"]
    assert published.body_of(published.UPDATE).items() <= updated.items()
    assert (updated["id"], updated["phone_number"]) == (contact_id, PHONE)
    client.delete(f"/v1/contacts/{contact_id}")
    assert NOT_FOUND.items() <= run(published.RESOLVE_BY_PHONE).items()


class TestCreate:
    def test_answers_the_published_contact(self, client):
        answer = client.post("/v1/contacts", json=UJANG)

        contact = data(answer, 201)
        assert {**json.loads(published.CREATED)["data"], "id": contact["id"]}.items() <= contact.items()
        assert " ".join(contact) == CONTACT
        assert (contact["custom_fields"], contact["tags"]) == ({"tier": "premium"}, [])
        assert re.fullmatch(r"cnt_\w+", contact["id"])
        assert TIME.fullmatch(contact["created_at"])
        assert TIME.fullmatch(contact["updated_at"])
        assert answer.headers["location"] == f"/v1/contacts/{contact['id']}"
        got = client.get(answer.headers["location"])
        assert (got.json()["data"], got.headers["etag"]) == (contact, answer.headers["etag"])

    def test_a_repeated_request_changes_nothing(self, client, ujang):
        assert create(client, UJANG, 200) == ujang

    @pytest.mark.parametrize("number", [PHONE, PHONE[1:], "+62 812-3456-7890", "006281234567890"])
    def test_a_number_is_the_same_in_every_spelling(self, client, ujang, number):
        contact = create(client, {"phone_number": number, "name": "Ujang by phone"}, 200)

        assert contact["id"] == ujang["id"]
        assert (contact["phone_number"], contact["name"]) == (PHONE, "Ujang by phone")

    def test_absent_is_unchanged_and_null_is_cleared(self, client, ujang):
        pair = {name: UJANG[name] for name in ("external_source", "external_id")}

        more = create(client, {**pair, "custom_fields": {"city": "Bandung"}, "unknown": "ignored"}, 200)
        less = create(client, {**pair, "custom_fields": {"tier": None}, "email": None}, 200)

        assert more["custom_fields"] == {"tier": "premium", "city": "Bandung"}
        assert (more["name"], more["email"]) == ("Ujang", EMAIL)
        assert less["custom_fields"] == {"city": "Bandung"}
        assert (less["name"], less["email"], less["phone_number"]) == ("Ujang", None, PHONE)

    def test_tags_are_added(self, client):
        contact = create(client, {"email": EMAIL, "tags": ["VIP", "early"]})
        more = create(client, {"email": EMAIL, "tags": ["VIP", "late"]}, 200)

        assert contact["tags"] == ["early", "VIP"]
        assert more["tags"] == ["early", "late", "VIP"]

    def test_an_unknown_pair_joins_the_contact_of_its_number(self, client, ujang):
        joined = create(client, {"external_source": "crm", "external_id": "7", "phone_number": PHONE}, 200)

        assert (joined["name"], joined["created_at"]) == ("Ujang", ujang["created_at"])
        for source, external_id in (("crm", "7"), ("shopify", "cust_123")):
            body = identifier("external_id", external_id, source)
            assert data(client.post("/v1/contacts/resolve", json=body)) == joined
        assert data(client.get(f"/v1/contacts/{ujang['id']}")) == joined

    def test_a_pair_merges_two_contacts_if_the_rules_do(self, client, ujang):
        other = create(client, {"external_source": "crm", "external_id": "7", "email": "u@example.org"})

        one = create(client, {"external_source": "crm", "external_id": "7", "phone_number": PHONE}, 200)

        assert {data(client.get(f"/v1/contacts/{id_}"))["id"] for id_ in (ujang["id"], other["id"])} == {one["id"]}
        assert len(client.get("/v1/contacts").json()["data"]) == 1

    def test_identifiers_of_two_contacts_without_a_pair_are_a_conflict(self, client, ujang):
        other = create(client, {"email": "other@example.com"})

        body = refused(
            client.post("/v1/contacts", json={"phone_number": PHONE, "email": other["email"]}), 409, CONFLICT
        )

        found = {detail["field"]: detail["contact_id"] for detail in body["details"]}
        assert found == {"phone_number": ujang["id"], "email": other["id"]}
        assert data(client.get(f"/v1/contacts/{other['id']}")) == other

    def test_two_customers_of_one_source_are_a_conflict_with_a_pair_too(self, client, ujang):
        other = create(client, {"external_source": "shopify", "external_id": "2", "email": "other@example.com"})
        body = {"external_source": "crm", "external_id": "7", "phone_number": PHONE, "email": other["email"]}

        refused(client.post("/v1/contacts", json=body), 409, CONFLICT)

        nobody = client.post("/v1/contacts/resolve", json=identifier("external_id", "7", "crm"))
        refused(nobody, 404, NOT_FOUND)

    @pytest.mark.parametrize(
        ("body", "fields"),
        [
            ({"name": "Ujang"}, []),
            ({"external_source": "shopify"}, ["external_id"]),
            ({"phone_number": "hello"}, ["phone_number"]),
            ({"phone_number": "081234567890"}, ["phone_number"]),
            ({"email": "hello"}, ["email"]),
            ({"external_source": "api", "external_id": "1"}, ["external_source"]),
        ],
    )
    def test_a_body_that_names_nobody_is_refused(self, client, body, fields):
        answer = refused(client.post("/v1/contacts", json=body), 422, {"code": "validation_error"}, fields=fields)

        assert answer["details"]
        assert client.get("/v1/contacts").json()["data"] == []

    def test_a_body_that_is_not_json_is_refused(self, client):
        answer = client.post("/v1/contacts", content=b'{"email": ', headers={"content-type": "application/json"})

        refused(answer, 400, {"code": "bad_request"})


class TestIdempotencyKey:
    def test_a_repeated_request_gets_the_same_answer(self, client):
        key = {"Idempotency-Key": "first"}

        first = client.post("/v1/contacts", json=UJANG, headers=key)
        again = client.post("/v1/contacts", json=UJANG, headers=key)

        assert (first.status_code, again.status_code) == (201, 201)
        assert first.content == again.content
        assert {first.headers[name] for name in ("etag", "location")} == {
            again.headers[n] for n in ("etag", "location")
        }
        assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")

    def test_another_request_under_the_key_is_a_conflict(self, client, ujang, url):
        key = {"Idempotency-Key": "first"}
        client.post("/v1/contacts", json=UJANG, headers=key)

        refused(client.post("/v1/contacts", json={**UJANG, "name": "Other"}, headers=key), 409, {"code": "conflict"})
        refused(client.post(f"{url}/notes", json={"body": "x"}, headers=key), 409, {"code": "conflict"})
        assert data(client.get(url)) == ujang

    def test_a_refused_request_does_not_use_the_key(self, client):
        key = {"Idempotency-Key": "first"}

        refused(client.post("/v1/contacts", json={"phone_number": "12"}, headers=key), 422)

        assert client.post("/v1/contacts", json=UJANG, headers=key).status_code == 201

    def test_a_note_is_written_once(self, client, url):
        for _ in range(2):
            client.post(f"{url}/notes", json={"body": "Once."}, headers={"Idempotency-Key": "note"})

        assert [note["body"] for note in data(client.get(f"{url}/notes"))] == ["Once."]


class TestList:
    def test_pages_follow_each_other_newest_first(self, client):
        created = [create(client, {"email": f"{n}@example.com"}) for n in range(5)]

        seen, cursor = [], None
        for _ in range(3):
            page = client.get("/v1/contacts", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
            assert set(page) == {"data", "meta"}
            seen, cursor = seen + page["data"], page["meta"]["next_cursor"]

        assert seen == created[::-1]
        assert cursor is None

    @pytest.mark.parametrize(
        ("query", "is_found"),
        [
            ({"phone_number": PHONE}, True),
            ({"phone_number": "6281234567890"}, True),
            ({"phone_number": "+62 812-3456-7890"}, True),
            ({"phone_number": "+6281234567891"}, False),
            ({"email": "UJANG@example.com"}, True),
            ({"external_source": "shopify", "external_id": "cust_123"}, True),
            ({"external_source": "crm", "external_id": "cust_123"}, False),
            ({"search": "uja"}, True),
            ({"search": "62812"}, True),
            ({"search": "ujang@ex"}, True),
            ({"search": "nobody"}, False),
            ({"tag": "vip"}, True),
            ({"tag": "v"}, False),
            ({"created_after": "2020-01-01T00:00:00Z"}, True),
            ({"created_after": "2199-01-01T00:00:00Z"}, False),
            ({"updated_after": "2020-01-01T00:00:00Z"}, True),
            ({"updated_after": "2199-01-01T00:00:00Z"}, False),
            ({"tag": "vip", "search": "uja", "email": EMAIL}, True),
            ({"tag": "vip", "email": "nobody@example.com"}, False),
        ],
    )
    def test_filters(self, client, query, is_found):
        create(client, {**UJANG, "tags": ["VIP"]})
        create(client, {"phone_number": "+6281111111112", "name": "Somebody Else"})

        def found():
            return [contact["email"] for contact in data(client.get("/v1/contacts", params=query))]

        others = [None] if query.keys() <= {"created_after", "updated_after"} and is_found else []
        # The feed shows a change as soon as all older transactions, of any organization, have ended.
        wait_until(lambda: Counter(found()) == Counter([EMAIL] * is_found + others), 5)

    def test_the_feed_shows_each_change_once_oldest_first(self, client, ujang, url):
        second = create(client, {"email": "second@example.com"})
        seen, cursor = [], None

        def follow():
            nonlocal cursor
            where = {"cursor": cursor} if cursor else {"updated_after": "2020-01-01T00:00:00Z"}
            page = client.get("/v1/contacts", params=where).json()
            cursor = page["meta"]["next_cursor"] or cursor
            seen.extend(page["data"])
            return len(seen)

        wait_until(lambda: follow() == 2, 5)
        assert seen == [ujang, second]
        changed = data(client.patch(url, json={"name": "Ujang Updated"}))
        wait_until(lambda: follow() == 3, 5)
        assert seen[2:] == [changed]
        assert data(client.get("/v1/contacts", params={"updated_after": changed["updated_at"]})) == []

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=101", "cursor=x", "serch=x", "updated_after=yesterday", "tag="]
    )
    def test_an_invalid_query_is_refused(self, client, query):
        field = query.partition("=")[0]

        refused(client.get(f"/v1/contacts?{query}"), 422, {"code": "validation_error"}, fields=[field])


class TestGet:
    def test_answers_the_contact(self, client, ujang, url):
        answer = client.get(url)

        assert data(answer) == ujang
        assert answer.headers["etag"]

    @pytest.mark.parametrize("id_", ["cnt_123", "cnt_" + "0" * 32, "123"])
    def test_an_unknown_id_is_not_found(self, client, id_):
        refused(client.get(f"/v1/contacts/{id_}"), 404, NOT_FOUND)

    def test_an_id_merged_away_answers_the_survivor(self, stack, organization, client):
        hook = stack.connect("s.myshopify.com", secret="secret", source="shop", organization=organization)
        first = create(client, {"external_source": "shop", "external_id": "1", "email": "1@example.com"})
        second = create(client, {"external_source": "shop", "external_id": "2", "email": "2@example.com"})
        body = {
            "admin_graphql_api_customer_kept_id": "gid://shopify/Customer/1",
            "admin_graphql_api_customer_deleted_id": "gid://shopify/Customer/2",
            "status": "completed",
            "errors": [],
        }
        delivery = signed(body, "secret", topic="customers/merge", domain="s.myshopify.com")

        assert client.post(hook, content=delivery.body, headers=delivery.headers).status_code == 200
        stack.settled(organization)

        assert data(client.get(f"/v1/contacts/{second['id']}"))["id"] == first["id"]
        answer = client.post("/v1/contacts/resolve", json=identifier("contact_id", second["id"]))
        assert data(answer)["id"] == first["id"]
        patched = client.patch(f"/v1/contacts/{second['id']}", json={"name": "One"})
        assert (data(patched)["id"], patched.json()["data"]["name"]) == (first["id"], "One")


class TestUpdate:
    def test_changes_the_given_fields_only(self, client, ujang, url):
        body = published.body_of(published.UPDATE)

        answer = client.patch(
            url, json={**body, "phone_number": "62811 2345 678", "custom_fields": {"a": [1, {"b": 2}]}}
        )

        changed = data(answer)
        untouched = ("id", "external_source", "external_id", "tags", "created_at")
        assert body.items() <= changed.items()
        assert changed["phone_number"] == "+628112345678"
        assert changed["custom_fields"] == {"tier": "premium", "a": [1, {"b": 2}]}
        assert {name: changed[name] for name in untouched} == {name: ujang[name] for name in untouched}
        assert changed["updated_at"] > ujang["updated_at"]
        assert data(client.get(url)) == changed

    def test_null_takes_an_edit_back(self, client, ujang, url):
        client.patch(url, json={"name": "Edited", "email": "edited@example.com", "custom_fields": {"tier": "gold"}})

        back = data(client.patch(url, json={"name": None, "email": None, "custom_fields": {"tier": None}}))

        shown = ("name", "email", "custom_fields")
        assert {name: back[name] for name in shown} == {name: ujang[name] for name in shown}

    def test_an_identifier_of_another_contact_is_a_conflict(self, client, ujang, url):
        other = create(client, {"external_source": "crm", "external_id": "7", "email": "other@example.com"})

        for body in ({"email": other["email"]}, {"external_source": "crm", "external_id": "7"}):
            answer = refused(client.patch(url, json={"name": "No", **body}), 409, CONFLICT)
            assert [detail["contact_id"] for detail in answer["details"]] == [other["id"]]

        assert data(client.get(url)) == ujang

    def test_a_new_external_pair_is_one_more(self, client, ujang, url):
        data(client.patch(url, json={"external_source": "crm", "external_id": "7"}))

        found = data(client.post("/v1/contacts/resolve", json=identifier("external_id", "7", "crm")))
        assert data(client.get(url)) == found
        assert data(client.get(f"/v1/contacts/{ujang['id']}"))["id"] == found["id"]

    def test_an_edit_of_an_older_state_is_refused(self, client, url):
        known = client.get(url).headers["etag"]

        first = client.patch(url, json={"name": "First"}, headers={"If-Match": known})
        second = client.patch(url, json={"name": "Second"}, headers={"If-Match": known})
        third = client.patch(url, json={"name": "Third"}, headers={"If-Match": f'"x", {first.headers["etag"]}'})

        assert data(first)["name"] == "First"
        refused(second, 412, {"code": "precondition_failed"})
        assert data(third)["name"] == "Third"

    def test_nobody_is_not_found(self, client):
        refused(client.patch("/v1/contacts/cnt_123", json={"name": "x"}), 404, NOT_FOUND)

    def test_an_edit_outranks_later_statements_of_the_shop(self, client, ujang, url):
        client.patch(url, json={"name": "Edited"})

        create(client, {**UJANG, "name": "Shop's", "custom_fields": {"tier": "basic"}}, 200)

        assert data(client.get(url))["name"] == "Edited"
        assert data(client.get(url))["custom_fields"] == {"tier": "basic"}


class TestDelete:
    def test_answers_nothing_and_then_not_found(self, client, url):
        gone = client.delete(url)

        assert (gone.status_code, gone.content) == (204, b"")
        refused(client.delete(url), 404, NOT_FOUND)
        refused(client.get(url), 404, NOT_FOUND)
        refused(client.get(f"/v1/contacts/phone/{PHONE}"), 404, NOT_FOUND)
        assert client.get("/v1/contacts").json()["data"] == []

    def test_an_edited_contact_goes_too(self, client, url):
        client.patch(url, json={"phone_number": "+628112345678"})
        client.post(f"{url}/tags", json={"name": "vip"})

        assert client.delete(url).status_code == 204

        refused(client.get(url), 404, NOT_FOUND)
        refused(client.get("/v1/contacts/phone/+628112345678"), 404, NOT_FOUND)
        assert client.get("/v1/contacts").json()["data"] == []

    def test_a_delete_with_erase_opens_an_erasure_request(self, stack, organization, client, url):
        assert client.delete(f"{url}?erase=true").status_code == 204

        (due,) = stack.cli("status", "--organization", organization)["privacy_requests"]
        assert (due["kind"], due["source"], due["state"]) == ("erase_contact", "api", "open")
        assert due["due_at"] > due["requested_at"]

    def test_a_plain_delete_opens_no_erasure_request(self, stack, organization, client, url):
        client.delete(url)

        assert stack.status(organization)["privacy_requests"] == []

    def test_a_suppression_outlives_the_contact(self, client, url):
        client.post(f"{url}/suppressions", json={"channel": "whatsapp", "reason": "spam_complaint"})
        client.delete(url)

        again = create(client, {"phone_number": PHONE, "name": "Ujang again"})

        (row,) = data(client.get(f"/v1/contacts/{again['id']}/suppressions"))
        assert (row["reason"], row["address"], row["active"]) == ("spam_complaint", PHONE, True)
        client.put(f"/v1/contacts/{again['id']}/consent/whatsapp", json={"status": "opted_in"})
        verdict = data(client.get(f"/v1/contacts/{again['id']}/sendability?channel=whatsapp"))
        assert (verdict["sendable"], verdict["reason"]) == (False, "suppressed")
        assert again["name"] == "Ujang again"


class TestByPhone:
    @pytest.mark.parametrize(
        "number", ["%2B6281234567890", "+6281234567890", "6281234567890", "+62%20812-3456-7890", "006281234567890"]
    )
    def test_finds_the_contact_however_it_is_written(self, client, ujang, number):
        assert data(client.get(f"/v1/contacts/phone/{number}")) == ujang

    def test_an_unknown_number_is_not_found_and_no_number_is_refused(self, client, ujang):
        refused(client.get("/v1/contacts/phone/%2B6281234567891"), 404, NOT_FOUND)
        for number in ("hello", "12", "081234567890"):
            refused(client.get(f"/v1/contacts/phone/{number}"), 422, {"code": "validation_error"}, fields=["phone"])

    def test_national_form_counts_in_the_organizations_region(self, stack, organization, client, ujang):
        stack.cli("organizations", "set-region", organization, "ID")

        body = identifier("phone", "0812-3456-7890")
        wait_until(lambda: client.get("/v1/contacts/phone/081234567890").status_code == 200, 1)
        assert data(client.get("/v1/contacts/phone/081234567890")) == ujang
        assert data(client.post("/v1/contacts/resolve", json=body)) == ujang
        assert data(client.get("/v1/contacts", params={"phone_number": "0812 3456 7890"})) == [ujang]
        assert create(client, {"phone_number": "(0812) 34567890", "name": "By phone"}, 200)["id"] == ujang["id"]
        other = create(client, {"phone_number": "0812-3456-7891"})
        assert other["phone_number"] == "+6281234567891"


class TestResolve:
    @pytest.mark.parametrize(
        "body",
        [
            published.body_of(published.RESOLVE_BY_PHONE),
            published.body_of(published.RESOLVE_BY_EXTERNAL_ID),
            identifier("whatsapp", "6281234567890"),
            identifier("wa_id", "6281234567890"),
            identifier("email", " Ujang@Example.com"),
        ],
    )
    def test_and_its_alias_answer_the_same_bytes(self, client, ujang, body):
        resolved, alias = (client.post(f"/v1/contacts/{name}", json=body) for name in ("resolve", "lookup"))

        assert data(resolved) == ujang
        assert {**json.loads(published.FOUND)["data"], "id": ujang["id"]}.items() <= ujang.items()
        assert (resolved.status_code, resolved.content) == (alias.status_code, alias.content)
        assert resolved.headers["etag"] == alias.headers["etag"]

    @pytest.mark.parametrize("name", ["resolve", "lookup"])
    def test_unknown_identifiers_are_ignored_if_another_is_known(self, client, ujang, name):
        known, unknown = identifier("email", EMAIL), identifier("email", "nobody@example.com")
        both = {"identifiers": unknown["identifiers"] + known["identifiers"]}

        assert data(client.post(f"/v1/contacts/{name}", json=both)) == ujang
        refused(client.post(f"/v1/contacts/{name}", json=unknown), 404, NOT_FOUND)

    @pytest.mark.parametrize("name", ["resolve", "lookup"])
    def test_two_contacts_are_a_conflict(self, client, ujang, name):
        other = create(client, {"email": "other@example.com"})
        both = {
            "identifiers": [
                *identifier("phone", PHONE)["identifiers"],
                *identifier("email", other["email"])["identifiers"],
            ]
        }

        body = refused(client.post(f"/v1/contacts/{name}", json=both), 409, CONFLICT)

        assert [detail["contact_id"] for detail in body["details"]] == [ujang["id"], other["id"]]

    @pytest.mark.parametrize("name", ["resolve", "lookup"])
    @pytest.mark.parametrize(
        ("body", "field"),
        [
            (identifier("external_id", "cust_123"), "identifiers[0].source"),
            (identifier("fax", "1"), "identifiers[0].type"),
            ({"identifiers": []}, "identifiers"),
            ({"identifiers": identifier("phone", PHONE)["identifiers"] * 21}, "identifiers"),
            ({}, "identifiers"),
        ],
    )
    def test_an_incomplete_body_is_refused(self, client, name, body, field):
        refused(client.post(f"/v1/contacts/{name}", json=body), 422, {"code": "validation_error"}, fields=[field])


def test_identities(client, url, ujang):
    client.patch(url, json={"email": "second@example.com"})

    rows = data(client.get(f"{url}/identities"))

    shown = {(row["type"], row["value"], row["source"], row["is_primary"]) for row in rows}
    assert shown == {
        ("email", "second@example.com", None, True),
        ("email", EMAIL, None, False),
        ("phone", PHONE, None, True),
        ("external_id", "cust_123", "shopify", True),
    }
    published_fields = "id type value source channel_id is_primary verified first_seen_at last_seen_at created_at"
    for row in rows:
        assert [name for name in row if name in published_fields.split()] == published_fields.split()
    assert len({row["id"] for row in rows}) == len(rows)
    refused(client.get("/v1/contacts/cnt_123/identities"), 404, NOT_FOUND)


class TestNotes:
    def test_are_written_and_listed_newest_first(self, client, url, ujang):
        notes = [data(client.post(f"{url}/notes", json=body), 201) for body in ({"body": "one"}, {"content": "two"})]

        listed = client.get(f"{url}/notes").json()
        assert listed == {"data": notes[::-1], "meta": {"next_cursor": None}}
        note = notes[0]
        assert " ".join(note).startswith("id contact_id body author created_at updated_at")
        assert (note["contact_id"], note["body"]) == (ujang["id"], "one")
        assert list(note["author"]) == ["type", "id", "name"]
        assert note["author"]["type"] == "api_key"
        page = client.get(f"{url}/notes?limit=1").json()
        rest = client.get(f"{url}/notes", params={"cursor": page["meta"]["next_cursor"]}).json()
        assert (page["data"], rest["data"]) == ([notes[1]], [notes[0]])

    def test_need_a_text_of_bounded_length_and_a_contact(self, client, url):
        for body in ({}, {"body": ""}, {"body": "x" * 10_001}, {"body": "x", "content": "y"}):
            refused(client.post(f"{url}/notes", json=body), 422, {"code": "validation_error"})
        assert client.post(f"{url}/notes", json={"body": "x" * 10_000}).status_code == 201
        refused(client.post("/v1/contacts/cnt_123/notes", json={"body": "x"}), 404, NOT_FOUND)
        refused(client.get("/v1/contacts/cnt_123/notes"), 404, NOT_FOUND)


class TestTags:
    def test_are_assigned_once_by_name_id_or_several(self, client, url):
        first = client.post(f"{url}/tags", json={"name": "VIP"})
        again = client.post(f"{url}/tags", json={"name": " vip "})
        by_id = client.post(f"{url}/tags", json={"tag_id": data(first, 201)["id"]})
        several = client.post(f"{url}/tags", json={"tags": ["new", "Vip"]})

        tag = data(first, 201)
        assert " ".join(tag).startswith("id name color assigned_at assigned_by source")
        assert (tag["name"], tag["source"]) == ("VIP", "api")
        assert data(again) == data(by_id) == tag
        assert [one["name"] for one in data(several, 201)] == ["new", "VIP"]
        assert data(client.get(f"{url}/tags")) == data(several, 201)
        assert data(client.get(url))["tags"] == ["new", "VIP"]

    def test_an_id_that_no_contact_has_is_not_found(self, client, url):
        assert refused(client.post(f"{url}/tags", json={"tag_id": "tag_1"}), 404)["code"] == "not_found"
        for body in ({}, {"name": ""}, {"name": "a", "tags": ["b"]}, {"tags": []}):
            refused(client.post(f"{url}/tags", json=body), 422, {"code": "validation_error"})
        refused(client.post("/v1/contacts/cnt_123/tags", json={"name": "a"}), 404, NOT_FOUND)

    def test_are_taken_off_by_name_and_by_id(self, client, url):
        odd = "spring/2026 ü?#"
        for name in ("VIP", "gone", odd):
            tag = data(client.post(f"{url}/tags", json={"name": name}), 201)

        assert client.delete(f"{url}/tags/vip").status_code == 204
        assert client.delete(f"{url}/tags/{tag['id']}").status_code == 204
        assert [one["name"] for one in data(client.get(f"{url}/tags"))] == ["gone"]
        client.post(f"{url}/tags", json={"name": odd})
        assert client.delete(f"{url}/tags/{quote(odd, safe='')}").status_code == 204

        assert [one["name"] for one in data(client.get(f"{url}/tags"))] == ["gone"]
        assert refused(client.delete(f"{url}/tags/vip"), 404)["code"] == "not_found"
        refused(client.delete("/v1/contacts/cnt_123/tags/vip"), 404, NOT_FOUND)
        refused(client.get("/v1/contacts/cnt_123/tags"), 404, NOT_FOUND)

    def test_a_tag_of_a_source_is_taken_off_too(self, client):
        contact = create(client, {**UJANG, "tags": ["VIP"]})
        client.post(f"/v1/contacts/{contact['id']}/tags", json={"name": "vip"})

        assert client.delete(f"/v1/contacts/{contact['id']}/tags/VIP").status_code == 204

        assert data(client.get(f"/v1/contacts/{contact['id']}"))["tags"] == []


class TestConsent:
    STATED = {
        "status": "opted_in",
        "purpose": "marketing",
        "source": "website",
        "method": "form",
        "occurred_at": "2026-10-01T12:00:00Z",
        "evidence": {"ip": "192.0.2.1", "text": "Yes please"},
        "legal_basis": "process_and_store",
        "expires_at": "2099-01-01T00:00:00Z",
    }
    ROW = (
        "id contact_id channel purpose status source method occurred_at evidence legal_basis expires_at "
        "created_at updated_at"
    )

    def test_is_stated_and_listed(self, client, url, ujang):
        row = data(client.put(f"{url}/consent/whatsapp", json=self.STATED))

        assert " ".join(row).startswith(self.ROW)
        assert self.STATED.items() <= row.items()
        assert (row["contact_id"], row["channel"]) == (ujang["id"], "whatsapp")
        assert client.get(f"{url}/consents").json() == {"data": [row], "meta": {"next_cursor": None}}

    def test_a_repeated_statement_changes_nothing(self, client, url):
        without_time = {"status": "opted_in", "method": "form"}
        first = data(client.put(f"{url}/consent/email", json=without_time))
        state = client.get(url).headers["etag"]

        assert data(client.put(f"{url}/consent/email", json=without_time)) == first
        timed = {**without_time, "occurred_at": first["occurred_at"]}
        assert data(client.put(f"{url}/consent/email", json=timed)) == first
        assert client.get(url).headers["etag"] == state

    def test_an_older_statement_is_accepted_and_not_applied(self, client, url):
        row = data(client.put(f"{url}/consent/whatsapp", json=self.STATED))
        older = {"status": "opted_out", "occurred_at": "2026-09-30T12:00:00Z"}

        assert data(client.put(f"{url}/consent/whatsapp", json=older)) == row

        assert data(client.get(f"{url}/consents")) == [row]

    def test_a_newer_statement_replaces_it(self, client, url):
        row = data(client.put(f"{url}/consent/whatsapp", json=self.STATED))

        newer = data(client.put(f"{url}/consent/whatsapp", json={"status": "unsubscribed"}))

        assert (newer["status"], newer["id"], newer["source"]) == ("opted_out", row["id"], "api")
        assert newer["occurred_at"] > row["occurred_at"]

    def test_is_separate_by_channel_and_purpose(self, client, url):
        client.put(f"{url}/consent/whatsapp", json={"status": "opt-in"})
        client.put(f"{url}/consent/sms", json={"status": "SUBSCRIBED"})
        client.put(f"{url}/consent/whatsapp", json={"status": "opt_out", "purpose": "transactional"})

        rows = data(client.get(f"{url}/consents"))

        assert [(row["channel"], row["purpose"], row["status"]) for row in rows] == [
            ("sms", "marketing", "opted_in"),
            ("whatsapp", "marketing", "opted_in"),
            ("whatsapp", "transactional", "opted_out"),
        ]

    def test_an_invalid_consent_is_refused(self, client, url):
        refused(client.put(f"{url}/consent/fax", json={"status": "opted_in"}), 422, fields=["channel"])
        refused(client.put(f"{url}/consent/email", json={"status": "maybe"}), 422, fields=["status"])
        refused(client.put(f"{url}/consent/email", json={}), 422, fields=["status"])
        refused(client.put("/v1/contacts/cnt_123/consent/email", json={"status": "opted_in"}), 404, NOT_FOUND)
        refused(client.get("/v1/contacts/cnt_123/consents"), 404, NOT_FOUND)


class TestSuppressions:
    ROW = "id contact_id channel reason scope address source note active expires_at"

    def test_are_stated_repeated_and_lifted(self, client, url, ujang):
        path = f"{url}/suppressions"
        body = {"channel": "whatsapp", "reason": "manual", "note": "asked on the phone", "source": "support"}

        first = data(client.post(path, json=body), 201)
        again = data(client.post(path, json=body))
        listed = client.get(path).json()
        lifted = data(client.post(path, json={**body, "active": False}))

        assert " ".join(first).startswith(self.ROW)
        assert body.items() <= first.items()
        assert (first["contact_id"], first["scope"], first["address"]) == (ujang["id"], "all", PHONE)
        assert (first["active"], first["lifted_at"], first["event_count"]) == (True, None, 1)
        assert {name for name in first if again[name] != first[name]} == {
            "event_count",
            "last_seen_at",
            "updated_at",
            "envelope_ids",
        }
        assert listed == {"data": [again], "meta": {"next_cursor": None}}
        assert (lifted["id"], lifted["active"]) == (first["id"], False)
        assert data(client.get(path)) == []
        assert data(client.get(f"{path}?include=lifted")) == [lifted]

    def test_an_opt_in_lifts_the_suppressions_by_the_person_and_no_others(self, client, url):
        path = f"{url}/suppressions"
        for reason in ("unsubscribed", "stop_keyword", "hard_bounce", "spam_complaint", "manual", "blocked"):
            data(client.post(path, json={"channel": "email", "reason": reason}), 201)

        client.put(f"{url}/consent/email", json={"status": "opted_in"})

        active = {row["reason"] for row in data(client.get(path))}
        assert active == {"hard_bounce", "spam_complaint", "manual", "blocked"}
        rows = data(client.get(f"{path}?include=lifted"))
        assert {row["reason"] for row in rows if row["lifted_at"]} == {"unsubscribed", "stop_keyword"}

    def test_an_opt_out_after_an_opt_in_counts_again(self, client, url):
        path, stop = f"{url}/suppressions", {"channel": "whatsapp", "reason": "stop_keyword"}
        client.post(path, json=stop)
        client.put(f"{url}/consent/whatsapp", json={"status": "opted_in"})

        row = data(client.post(path, json=stop))

        assert (row["active"], row["event_count"]) == (True, 2)

    def test_may_be_about_an_address_that_the_contact_no_longer_has(self, client, url):
        body = {"channel": "email", "reason": "hard_bounce", "address": "Old@Example.com"}

        assert data(client.post(f"{url}/suppressions", json=body), 201)["address"] == "old@example.com"

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"reason": "manual"}, "channel"),
            ({"channel": "email"}, "reason"),
            ({"channel": "fax", "reason": "manual"}, "channel"),
            ({"channel": "email", "reason": "soft_bounce"}, "expires_at"),
            ({"channel": "telegram", "reason": "blocked"}, "address"),
            ({"channel": "email", "reason": "manual", "address": "hello"}, "address"),
        ],
    )
    def test_a_body_without_address_or_reason_is_refused(self, client, url, body, field):
        # For a union of literals, pydantic adds the branch to the name of the field.
        answer = refused(client.post(f"{url}/suppressions", json=body), 422, {"code": "validation_error"})

        assert {detail["field"].partition(".")[0] for detail in answer["details"]} == {field}

    def test_of_an_unknown_contact_are_not_found(self, client, url):
        body = {"channel": "email", "reason": "manual"}

        refused(client.post("/v1/contacts/cnt_123/suppressions", json=body), 404, NOT_FOUND)
        refused(client.get("/v1/contacts/cnt_123/suppressions"), 404, NOT_FOUND)
        assert refused(client.post(f"{url}/suppressions", json={**body, "active": False}), 404)["code"] == "not_found"


def test_sendability_names_the_deciding_consent_or_suppression(client, url):
    def verdict(channel="email", **more):
        return data(client.get(f"{url}/sendability", params={"channel": channel, **more}))

    assert (verdict()["sendable"], verdict()["reason"]) == (False, "no_consent")
    assert (verdict(purpose="transactional")["sendable"], verdict("telegram")["reason"]) == (True, "no_address")
    consent = data(client.put(f"{url}/consent/email", json={"status": "opted_in"}))
    assert (verdict()["sendable"], verdict()["consent"], verdict()["address"]) == (True, consent, EMAIL)
    row = data(client.post(f"{url}/suppressions", json={"channel": "email", "reason": "hard_bounce"}), 201)
    assert (verdict()["sendable"], verdict()["reason"], verdict()["suppression"]) == (False, "suppressed", row)
    refused(client.get(f"{url}/sendability?channel=fax"), 422, fields=["channel"])
    refused(client.get("/v1/contacts/cnt_123/sendability?channel=email"), 404, NOT_FOUND)


def test_the_timeline_shows_every_change_with_its_cause(client, url, ujang):
    client.patch(url, json={"name": "Ujang Updated"})
    client.post(f"{url}/tags", json={"name": "VIP"})
    client.put(f"{url}/consent/email", json={"status": "opted_in"})
    client.post(f"{url}/suppressions", json={"channel": "email", "reason": "manual"})
    note = data(client.post(f"{url}/notes", json={"body": "Called."}), 201)

    changes = data(client.get(f"{url}/timeline"))

    assert [[field["field"] for field in change["fields"]] for change in changes[:-1]] == [
        ["note"],
        ["suppression:email:manual:all"],
        ["consent:email:marketing"],
        ["tags"],
        ["name"],
    ]
    assert [change["kind"] for change in changes] == ["changed"] * 5 + ["created"]
    renamed = changes[4]["fields"][0]
    assert (renamed["before"], renamed["after"]) == ("Ujang", "Ujang Updated")
    assert [cause["topic"] for change in changes for cause in change["causes"]] == [
        "POST /v1/contacts/{contact_id}/notes",
        "POST /v1/contacts/{contact_id}/suppressions",
        "PUT /v1/contacts/{contact_id}/consent/{channel}",
        "POST /v1/contacts/{contact_id}/tags",
        "PATCH /v1/contacts/{contact_id}",
        "POST /v1/contacts",
    ]
    actors = {cause["actor"] for change in changes for cause in change["causes"]}
    assert actors == {note["author"]["id"]}
    assert changes[0]["causes"][0]["envelope_id"] == note["envelope_id"]
    first = client.get(f"{url}/timeline?limit=2").json()
    rest = client.get(f"{url}/timeline", params={"cursor": first["meta"]["next_cursor"]}).json()
    assert first["data"] + rest["data"] == changes
    refused(client.get("/v1/contacts/cnt_123/timeline"), 404, NOT_FOUND)


class TestKeys:
    def test_a_caller_without_a_key_is_unauthorized(self, client):
        refused(client.get("/v1/contacts", headers={"X-Api-Key": "wzp_guess"}), 401, {"code": "unauthorized"})

    def test_a_key_made_on_the_command_line_works_until_it_is_revoked(self, stack, organization, client):
        key = stack.cli("keys", "create", "--scope", "contacts:read", "--organization", organization)
        bearer = {"X-Api-Key": "", "Authorization": f"Bearer {key['key']}"}

        assert client.get("/v1/contacts", headers=bearer).status_code == 200
        refused(client.post("/v1/contacts", json=UJANG, headers=bearer), 403, {"code": "forbidden"})
        stack.cli("keys", "revoke", key["key_id"], "--organization", organization)
        wait_until(lambda: client.get("/v1/contacts", headers=bearer).status_code == 401, 1)
        refused(client.get("/v1/contacts", headers=bearer), 401, {"code": "unauthorized"})


def write_everything(client):
    """Send a few requests of each kind; return the contact Ujang."""
    ujang = create(client, {**UJANG, "tags": ["VIP"]})
    url = f"/v1/contacts/{ujang['id']}"
    crm = create(client, {"external_source": "crm", "external_id": "7", "email": "siti@example.com", "name": "Siti"})
    guest = create(client, {"phone_number": "+6281111111112", "name": "Siti", "custom_fields": {"a": {"b": [1]}}})
    client.patch(url, json={"name": "Edited", "custom_fields": {"tier": "gold", "name": "x"}})
    client.patch(url, json={"name": None, "email": "edited@example.com"})
    client.post(f"{url}/tags", json={"tags": ["early", "late"]})
    client.delete(f"{url}/tags/vip")
    client.post(f"{url}/notes", json={"body": "Called."})
    client.put(f"{url}/consent/whatsapp", json={"status": "opted_in", "method": "form"})
    client.put(f"{url}/consent/whatsapp", json={"status": "opted_out", "occurred_at": "2026-09-30T12:00:00Z"})
    client.put(f"{url}/consent/telegram", json={"status": "opted_out"})
    client.post(f"{url}/suppressions", json={"channel": "email", "reason": "unsubscribed"})
    client.put(f"{url}/consent/email", json={"status": "opted_in"})
    client.post(f"{url}/suppressions", json={"channel": "all", "reason": "manual", "note": "asked"})
    client.post(f"{url}/suppressions", json={"channel": "all", "reason": "manual", "active": False})
    client.patch(f"/v1/contacts/{guest['id']}", json={"external_source": "till", "external_id": "9"})
    create(client, {"external_source": "crm", "external_id": "7", "phone_number": "+6281111111112"}, 200)
    client.delete(f"/v1/contacts/{crm['id']}?erase=true")
    create(client, {"email": "siti@example.com", "name": "Siti again"})
    return ujang


def test_every_request_can_be_replayed_alone_and_changes_nothing(stack, organization, client):
    ujang = write_everything(client)
    envelopes = [row.id for row in stack.rows(OF_REQUESTS, organization)]
    before = stack.export(organization)
    contacts = client.get("/v1/contacts").json()

    for id_ in envelopes:
        stack.replay(organization, f"env_{id_.hex}")
        assert stack.export(organization) == before

    assert len(envelopes) == 19
    assert stack.status(organization)["inbox"]["settled"] == len(envelopes)
    assert stack.status(organization)["inbox"]["parked"] == 0
    shown = client.get("/v1/contacts").json()["data"]
    assert [contact["id"] for contact in shown] == [contact["id"] for contact in contacts["data"]]
    assert [note["body"] for note in data(client.get(f"/v1/contacts/{ujang['id']}/notes"))] == ["Called."]
    assert [row["kind"] for row in stack.status(organization)["privacy_requests"]] == ["erase_contact"]


def test_the_command_line_replays_a_request(stack, organization, client, url):
    note = data(client.post(f"{url}/notes", json={"body": "Called."}), 201)
    before = stack.export(organization)

    assert stack.cli("replay", note["envelope_id"], "--organization", organization) == {"replayed": 1}
    stack.settled(organization)

    assert stack.export(organization) == before
    assert [one["body"] for one in data(client.get(f"{url}/notes"))] == ["Called."]


OF_REQUESTS = """
    SELECT e.id FROM envelopes e JOIN connections c ON c.organization_id = e.organization_id AND c.id = e.connection_id
     WHERE e.organization_id = :organization_id AND c.connector = 'api' ORDER BY e.id
"""
