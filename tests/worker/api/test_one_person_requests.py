"""Requests mean what they say: text is the same however it is encoded, and beats a clock that is ahead (C11, C12)."""

import pytest

from tests.worker.api.one_person import E1, E2, P1, P2, REFUSED
from tests.worker.api.shops import now, written

once = pytest.mark.parametrize("world", ["as sent", "as sent, mirrored"], indirect=True)
#: the same name with the accent in one code point, and in two
COMPOSED, DECOMPOSED = "L\u00e9on", "Le\u0301on"
both = pytest.mark.parametrize(("first", "second"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])


# C11


@once
@both
def test_a_tag_is_the_same_however_it_is_encoded(shop, api, first, second):
    shop.seen("1", email=E1, at=0)
    api.write("POST", "shop:1", "/tags", name=first)
    api.write("POST", "shop:1", "/tags", tags=[second, first])
    api.write("POST", None, email=E1, tags=[second])

    assert api.contact("shop:1")["tags"] == [COMPOSED]
    assert [tag["name"] for tag in api.rows("shop:1", "/tags")] == [COMPOSED]
    assert [contact["id"] for contact in api.rows(None, tag=second)] == [api.id("shop:1")]
    api.write("DELETE", "shop:1", f"/tags/{second}")
    assert api.contact("shop:1")["tags"] == []


@once
@both
def test_a_tag_of_a_shop_and_of_a_request_is_one(shop, api, first, second):
    shop.seen("1", email=E1, at=0)
    shop.tagged("1", first, at=1)
    api.write("POST", "shop:1", "/tags", name=second)

    assert api.contact("shop:1")["tags"] == [COMPOSED]


@once
@both
def test_a_name_is_the_same_however_it_is_encoded(shop, api, first, second):
    shop.seen("1", email=E1, at=0)
    assert api.write("PATCH", "shop:1", name=first)["name"] == COMPOSED
    before = api.contact("shop:1")
    assert api.write("PATCH", "shop:1", name=second)["name"] == COMPOSED

    assert api.contact("shop:1")["updated_at"] == before["updated_at"]
    assert [contact["id"] for contact in api.rows(None, search=second)] == [before["id"]]


@once
@both
def test_a_custom_field_is_the_same_however_it_is_encoded(shop, api, first, second):
    shop.seen("1", email=E1, at=0)
    api.write("PATCH", "shop:1", custom_fields={first: {first: first}})
    api.write("PATCH", "shop:1", custom_fields={second: {second: [second]}})

    fields = api.contact("shop:1")["custom_fields"]
    assert [fields[name] for name in fields if name in (COMPOSED, DECOMPOSED)] == [{COMPOSED: [COMPOSED]}]


@once
@both
def test_an_external_id_is_the_same_however_it_is_encoded(api, first, second):
    one = api.write("POST", None, external_source=f"kafé {first}", external_id=first, name="One")
    two = api.write("POST", None, external_source=f"kafé {second}", external_id=second, name="Two")

    assert one["id"] == two["id"]
    assert two["external_id"] == COMPOSED
    assert len(api.rows(None)) == 1
    assert api.id(f"kafé {second}:{second}") == api.id(f"kafé {first}:{first}") == one["id"]
    found = api.rows(None, external_source=f"kafé {second}", external_id=second)
    assert [contact["id"] for contact in found] == [one["id"]]


@once
@both
def test_an_email_is_the_same_however_it_is_encoded(api, first, second):
    one = api.write("POST", None, email=f"{first}@example.com")
    two = api.write("POST", None, email=f"{second}@example.com")

    assert one["id"] == two["id"] == api.id(f"{second}@example.com")


@once
def test_other_text_of_requests_is_composed(shop, api):
    shop.seen("1", email=E1, at=0)
    note = api.write("POST", "shop:1", "/notes", body=f"Met {DECOMPOSED}.", author_name=DECOMPOSED)
    said = {"method": DECOMPOSED, "source": DECOMPOSED, "evidence": {DECOMPOSED: DECOMPOSED}}
    consent = api.write("PUT", "shop:1", "/consent/email", status="opted_in", **said)
    about = {"reason": "manual", "source": DECOMPOSED, "note": DECOMPOSED}
    suppression = api.write("POST", "shop:1", "/suppressions", channel="email", **about)

    assert (note["body"], note["author"]["name"]) == (f"Met {COMPOSED}.", COMPOSED)
    assert (consent["method"], consent["source"], consent["evidence"]) == (COMPOSED, COMPOSED, {COMPOSED: COMPOSED})
    assert (suppression["source"], suppression["note"]) == (COMPOSED, COMPOSED)


# C12

AHEAD = {"three hours": {"hours": 3}, "days": {"days": 9}, "years": {"days": 20 * 365}}


@pytest.fixture(params=AHEAD)
def ahead(request):
    """A time on the clock of a source that is ahead."""
    return now(**AHEAD[request.param])


@pytest.fixture(params=["shop", "woo"])
def who(request, shop, woo, ahead):
    """A customer of a shop whose clock is ahead."""
    source = {"shop": shop, "woo": woo}[request.param]
    source.seen("1", email=E1, name="Shop's", at=ahead)
    return f"{request.param}:1"


@once
def test_a_request_for_a_customer_replaces_what_a_clock_ahead_said(who, api):
    source, external_id = who.split(":")
    said = {"name": "Newer", "email": E2, "phone_number": P1, "tags": ["vip"]}
    shown = api.write("POST", None, external_source=source, external_id=external_id, **said)

    assert {name: shown[name] for name in said} == said
    assert api.contact(who) == api.contact(E2) == shown


@once
@pytest.mark.parametrize("said", [{}, {"email": E1}, {"name": "Shop's"}])
def test_a_request_that_says_nothing_new_is_answered_beside_a_clock_ahead(who, api, said):
    source, external_id = who.split(":")
    before = api.contact(who)
    shown = api.write("POST", None, external_source=source, external_id=external_id, **said)

    assert shown["id"] == before["id"]
    assert (shown["email"], shown["name"]) == (E1, "Shop's")


@once
def test_a_request_brings_back_a_customer_whom_a_clock_ahead_deleted(shop, api, ahead):
    shop.seen("1", email=E1, name="Shop's", at=0)
    shop.deleted("1", at=ahead)
    assert api.rows(None) == []
    shown = api.write("POST", None, external_source="shop", external_id="1", email=E1, name="Newer")

    assert (shown["name"], shown["email"]) == ("Newer", E1)
    assert api.contact("shop:1") == shown


@once
def test_a_request_for_an_address_replaces_what_a_clock_ahead_said(who, api):
    shown = api.write("POST", None, email=E1, phone_number=P1, name="Newer")

    assert (shown["id"], shown["name"], shown["phone_number"]) == (api.id(who), "Newer", P1)
    assert api.write("PATCH", who, name="Newest")["name"] == "Newest"
    assert api.contact(who)["name"] == "Newest"


@once
def test_a_contact_of_a_clock_ahead_is_deleted(who, api):
    contact_id = api.id(who)
    api.write("DELETE", contact_id)

    assert api.contact(contact_id) is None
    assert api.id(who) is None
    assert api.rows(None) == []


@once
def test_a_tag_of_a_clock_ahead_is_taken_off(shop, api, ahead):
    shop.seen("1", email=E1, at=0)
    shop.tagged("1", "vip", at=ahead)
    api.write("DELETE", "shop:1", "/tags/vip")

    assert api.contact("shop:1")["tags"] == []


@once
def test_an_opt_out_replaces_the_yes_of_a_clock_ahead(shop, api, ahead):
    shop.seen("1", email=E1, at=ahead)
    shop.consent("1", "email", "subscribed", E1, at=ahead)
    api.write("PUT", "shop:1", "/consent/email", status="opted_out")

    assert api.sendable("shop:1") in REFUSED


@once
def test_an_opt_in_replaces_the_no_of_a_clock_ahead(shop, api, ahead):
    shop.seen("1", email=E1, at=ahead)
    shop.consent("1", "email", "unsubscribed", E1, at=ahead)
    assert api.sendable("shop:1") in REFUSED
    api.write("PUT", "shop:1", "/consent/email", status="opted_in")

    assert api.sendable("shop:1") == (True, E1)


@once
def test_a_suppression_and_its_lift_follow_a_clock_ahead(shop, api, ahead):
    shop.seen("1", email=E1, at=ahead)
    shop.consent("1", "email", "subscribed", E1, at=5)
    shop.consent("1", "email", "invalid", E1, at=ahead)
    assert api.sendable("shop:1") == (False, "suppressed")
    api.write("POST", "shop:1", "/suppressions", channel="email", reason="invalid_address", active=False)

    assert api.sendable("shop:1") == (True, E1)


def test_a_yes_of_a_clock_ahead_answers_no_no(shop, api, ahead):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "unsubscribed", E1, at=10)
    shop.consent("1", "email", "subscribed", E1, at=ahead)

    assert api.sendable("shop:1") in REFUSED


def test_a_no_of_a_clock_ahead_counts(shop, api, ahead):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=ahead)

    assert api.sendable("shop:1") in REFUSED


@once
def test_a_request_with_a_time_ahead_is_bounded_too(shop, api, ahead):
    shop.seen("1", email=E1, at=0)
    api.write("PUT", "shop:1", "/consent/email", status="opted_in", occurred_at=written(ahead))
    api.write("PUT", "shop:1", "/consent/email", status="opted_out")

    assert api.sendable("shop:1") in REFUSED


@once
def test_two_clocks_ahead_and_a_request_between_them(shop, eu, api, ahead):
    shop.seen("1", email=E1, name="Shop's", at=ahead)
    eu.seen("1", email=E1, name="Other's", at=ahead)
    assert api.write("PATCH", "shop:1", name="Ours", email=E2)["name"] == "Ours"
    shop.seen("1", email=E1, name="Shop's", at=ahead)

    contact = api.contact("eu:1")
    assert (contact["name"], contact["email"]) == ("Ours", E2)


def test_a_post_with_a_number_that_a_stranger_typed_makes_a_new_person(shop, api):
    shop.seen("1", email=E1, name="Ayu Lestari", at=0)
    shop.checkout(email=E1, phone=P2, name="Mallory Black", at=1)
    before = api.contact(E1)

    written = api.write("POST", None, phone_number=P2, name="Mallory Black")

    assert written["id"] != before["id"]
    assert {**api.contact(E1), "updated_at": None} == {**before, "updated_at": None}
    assert api.contact(P2)["name"] == "Mallory Black"


def test_a_patch_may_take_a_number_that_a_stranger_typed(shop, api):
    shop.seen("1", email=E1, name="Ayu Lestari", at=0)
    shop.seen("2", email=E2, name="Budi Santoso", at=0)
    shop.checkout(email=E1, phone=P2, name="Mallory Black", at=1)

    edited = api.write("PATCH", E2, phone_number=P2)

    assert (edited["name"], edited["phone_number"]) == ("Budi Santoso", P2)
    assert api.id(P2) == edited["id"]
