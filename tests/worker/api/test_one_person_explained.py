"""Why is this one person: ``resolve?explain=true``."""

import pytest

from tests.worker.api.one_person import E1, E2, P1, P2
from tests.worker.api.shops import now

EMAIL = {"type": "email", "value": E1}
PHONE = {"type": "phone", "value": P1}


@pytest.fixture
def explain(api):
    def ask(*identifiers, explain="true"):
        return api.ask("POST", "/resolve", json={"identifiers": list(identifiers)}, params={"explain": explain})

    return ask


def reasons(answer):
    not_joined = answer.json()["explanation"]["not_joined"]
    return {(one["type"], one["reason"], one["contact_id"]) for one in not_joined}


def test_an_answer_names_what_joined_the_records(shop, woo, api, explain):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("7", email=E1, at=5)

    answer = explain(EMAIL)

    assert answer.headers["ETag"]
    assert answer.json()["data"]["id"] == api.id("shop:1")
    explanation = answer.json()["explanation"]
    records = [{"source": source, "external_id": id_} for source, id_ in (("shop", "1"), ("woo", "7"))]
    assert explanation["joined_by"] == [{"type": "email", "value": E1, "records": records}]
    assert explanation["not_joined"] == explanation["decided_by"] == []
    assert explanation["given"] == [{"field": "identifiers[0]", "standing": "found"}]


def test_names_that_disagree_are_named(shop, woo, api, explain):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("7", email=E2, phone=P1, name="Boris Klein", at=5)

    assert reasons(explain(EMAIL)) == {("phone", "names_disagree", api.id("woo:7"))}
    assert reasons(explain({"type": "email", "value": E2})) == {("phone", "names_disagree", api.id("shop:1"))}


def test_two_customers_of_one_source_are_named(shop, api, explain):
    shop.seen("1", email=E1, at=0)
    shop.seen("2", email=E1, phone=P2, at=5)

    assert reasons(explain(EMAIL)) == {("email", "two_customers_of_one_source", api.id("shop:2"))}


def test_the_evidence_of_a_guest_is_named_on_both_sides(shop, woo, api, explain):
    shop.seen("1", email=E1, phone=P1, at=0)
    woo.guest(email=E2, phone=P1, at=5)
    guest = api.id(E2)

    assert reasons(explain(EMAIL)) == {("phone", "evidence", guest)}
    assert reasons(explain({"type": "email", "value": E2})) == {("phone", "evidence", api.id("shop:1"))}


def test_what_a_customer_claims_no_more_is_named(shop, woo, api, explain):
    shop.seen("1", email=E1, at=0)
    shop.seen("1", email=E2, at=5)
    woo.seen("7", email=E1, at=10)

    assert reasons(explain({"type": "email", "value": E2})) == {("email", "no_longer_claimed", api.id("woo:7"))}


def test_a_decision_is_named(world, shop, woo, explain):
    shop.seen("1", email=E1, at=0)
    woo.seen("7", email=E2, at=5)
    world.decide("link", "shop:1", "woo:7", at=6)
    woo.seen("7", email=E2, name="Anna", at=10)

    (decision,) = explain(EMAIL).json()["explanation"]["decided_by"]

    assert decision["kind"] == "link"
    assert {(one["source"], one["external_id"]) for one in decision["records"]} == {("shop", "1"), ("woo", "7")}


def test_two_who_are_kept_apart_are_named(world, shop, woo, api, explain):
    shop.seen("1", email=E1, at=0)
    woo.seen("7", email=E1, at=5)
    world.decide("apart", "shop:1", "woo:7", at=6)
    woo.seen("7", email=E1, name="Anna", at=10)

    assert reasons(explain(EMAIL)) == {("email", "kept_apart", api.id("woo:7"))}


def test_a_value_of_too_many_is_named(shop, explain):
    for number in range(1, 13):
        shop.seen(str(number), phone=P1, email=f"someone{number}@example.com", at=number)

    answer = explain({"type": "email", "value": "someone3@example.com"})

    assert reasons(answer) == {("phone", "identifies_nobody", None)}


def test_what_leads_to_nobody_is_told_apart(shop, explain):
    for number in range(1, 13):
        shop.seen(str(number), phone=P1, email=f"someone{number}@example.com", at=number)
    somebody = {"type": "email", "value": "someone3@example.com"}
    others = [PHONE, {"type": "email", "value": E1}, {"type": "phone", "value": "no number"}]
    customer = {"type": "external_id", "source": "shop", "value": "no such"}

    found = explain(somebody, *others, customer).json()["explanation"]["given"]
    missing = explain(*others, customer)

    assert [one["standing"] for one in found] == ["found", "identifies_nobody", "unknown", "not_valid", "unknown"]
    assert missing.status_code == 404
    assert [one["reason"] for one in missing.json()["details"]] == [
        "so many have it that it identifies nobody",
        "nobody has it",
        "not a value of its type, so it leads to nobody",
        "nobody has it",
    ]


def test_a_conflict_says_why_the_contacts_are_two(shop, woo, explain):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("7", email=E2, phone=P1, name="Boris Klein", at=5)

    answer = explain(PHONE, {"type": "email", "value": E2})

    assert answer.status_code == 409
    why = "belongs to this contact (phone: names disagree)"
    assert [one["reason"] for one in answer.json()["details"]] == [why, why]


def test_an_answer_without_explanation_is_as_published(shop, explain):
    shop.seen("1", email=E1, at=0)

    assert list(explain(EMAIL, explain="false").json()) == ["data"]


def test_a_question_that_is_no_yes_or_no_is_refused(shop, explain):
    shop.seen("1", email=E1, at=now())

    answer = explain(EMAIL, explain="perhaps")

    assert answer.status_code == 422
    assert answer.json()["details"][0]["field"] == "explain"


def test_a_record_that_is_full_is_named(shop, api, explain):
    shop.seen("1", email=E1, name="Ayu Lestari", at=0)
    for turn in range(11):
        shop.tagged("1", *(f"tag {turn}-{number}" for number in range(100)), at=turn + 1)

    (full,) = explain(EMAIL).json()["explanation"]["full"]

    assert full == {"record": {"source": "shop", "external_id": "1"}, "left_out": ["tags"]}
    assert len(api.contact(E1)["tags"]) == 1_000
    assert "tag 0-0" not in api.contact(E1)["tags"]
