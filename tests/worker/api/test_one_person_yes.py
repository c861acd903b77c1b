"""A "yes" opens the address that it was said for, and no other; a guest takes nothing over (examples B1 and B2)."""

import pytest

from tests.worker.api.one_person import E1, E2, E3, P1, P2, P3

MALLORY = "mallory@example.com"
once = pytest.mark.parametrize("world", ["as sent"], indirect=True)


# B1


def test_a_yes_stays_with_its_address_when_the_record_takes_another(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    woo.seen("1", email=E1, phone=P1, at=10)
    shop.seen("1", email=E2, phone=P1, at=20)

    assert api.contact("shop:1")["email"] == E2
    assert api.sendable("shop:1") == (True, E1)


def test_a_yes_stays_with_its_number_when_the_record_takes_another(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "sms", "subscribed", P1, at=5)
    eu.seen("1", email=E1, phone=P1, at=10)
    shop.seen("1", email=E1, phone=P2, at=20)

    assert api.contact("shop:1")["phone_number"] == P2
    assert api.sendable("shop:1", "sms") == (True, P1)


def test_an_address_that_cannot_be_used_gives_way_to_one_with_a_yes_of_its_own(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=4)
    shop.consent("1", "email", "invalid", E1, at=5)
    woo.seen("1", email=E2, phone=P1, at=10, newsletter=True)

    assert api.contact("shop:1")["email"] == E1
    assert api.sendable("shop:1") == (True, E2)


def test_an_address_that_cannot_be_used_gives_way_to_none_without_a_yes(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=4)
    shop.consent("1", "email", "invalid", E1, at=5)
    woo.seen("1", email=E2, phone=P1, at=10)

    assert not api.sendable("shop:1")[0]


def test_of_two_open_addresses_the_shown_one_is_named(shop, woo, api):
    woo.seen("1", email=E2, phone=P1, at=10, newsletter=True)
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)

    assert api.contact("woo:1")["email"] == E1
    assert api.sendable("woo:1") == (True, E1)


def test_a_yes_does_not_come_along_to_a_new_address(shop, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    shop.consent("1", "sms", "subscribed", P1, at=5)
    shop.seen("1", email=E2, phone=P2, at=10)

    assert not api.sendable("shop:1")[0]
    assert not api.sendable("shop:1", "sms")[0]


def test_a_yes_is_open_again_when_its_address_comes_back(shop, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    shop.seen("1", email=E2, at=10)
    shop.seen("1", email=E1, at=20)

    assert api.sendable("shop:1") == (True, E1)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_a_recycled_number_does_not_inherit_a_yes(shop, eu, api, is_deleted):
    shop.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=0)
    shop.consent("1", "sms", "subscribed", P1, at=5)
    if is_deleted:
        shop.deleted("1", at=10)
    else:
        shop.seen("1", email=E1, phone=P2, name="Ayu Lestari", at=10)
    eu.seen("1", email=E2, phone=P1, name="Budi Santoso", at=20)

    assert api.id(P1) == api.id("eu:1")
    assert not api.sendable("eu:1", "sms")[0]


def test_a_yes_of_somebody_else_about_the_address_opens_nothing(shop, api):
    shop.seen("1", email=E1, at=0)
    shop.seen("2", email=E2, at=1)
    shop.consent("2", "email", "subscribed", E1, at=5)

    assert not api.sendable("shop:1")[0]
    assert not api.sendable("shop:2")[0]


def test_a_yes_without_an_address_is_for_the_one_that_the_record_had(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", None, at=5)
    shop.seen("1", email=E2, phone=P1, at=10)
    assert not api.sendable("shop:1")[0]

    woo.seen("1", email=E1, phone=P1, at=20)
    assert api.sendable("shop:1") == (True, E1)


def test_a_yes_before_any_address_is_for_the_first(shop, api):
    shop.seen("1", at=0)
    shop.consent("1", "email", "subscribed", None, at=5)
    shop.seen("1", email=E1, at=10)
    assert api.sendable("shop:1") == (True, E1)

    shop.seen("1", email=E2, at=20)
    assert not api.sendable("shop:1")[0]


@once
def test_a_yes_through_the_api_is_for_the_address_that_was_shown(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    woo.seen("1", email=E2, phone=P1, at=10)
    api.write("PUT", "shop:1", "/consent/email", status="opted_in")
    assert api.sendable("shop:1") == (True, E1)

    shop.seen("1", email=E3, phone=P1, at=20)
    assert not api.sendable("shop:1")[0]


def test_a_yes_ends_with_the_record_that_said_it_only_if_its_address_does(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    woo.seen("1", email=E1, phone=P1, at=10)
    shop.deleted("1", at=20)
    assert api.sendable("woo:1") == (True, E1)

    woo.seen("1", email=E2, phone=P1, at=30)
    assert not api.sendable("woo:1")[0]


# B2


@pytest.fixture(params=["checkout", "order in the other shop", "order of WooCommerce"])
def guest(request, shop, eu, woo):
    """Somebody who types an e-mail and a number, and is no customer."""
    return {"checkout": shop.checkout, "order in the other shop": eu.guest}.get(request.param, woo.guest)


def test_a_guest_with_the_number_of_a_customer_is_somebody_else(shop, api, guest):
    shop.seen("1", phone=P1, at=0)
    shop.consent("1", "email", "subscribed", None, at=5)
    shop.consent("1", "sms", "subscribed", None, at=5)
    guest(email=MALLORY, phone=P1, name="Mallory", at=10)

    contact = api.contact("shop:1")
    assert (contact["email"], contact["name"]) == (None, None)
    assert contact["id"] == api.id(P1)
    assert contact["id"] != api.id(MALLORY)
    assert MALLORY not in {row["value"] for row in api.rows("shop:1", "/identities")}
    assert api.sendable("shop:1") == (False, "no_address")
    assert api.sendable("shop:1", "sms") == (True, P1)
    assert not api.sendable(MALLORY)[0]
    assert not api.sendable(MALLORY, "sms")[0]


def test_a_guest_with_the_identifiers_of_two_customers_joins_neither_to_the_other(shop, eu, api, guest):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", phone=P2, at=1)
    guest(email=E1, phone=P2, at=10)

    assert api.id(E1) == api.id("shop:1")
    assert api.id(P2) == api.id("eu:1")
    assert api.id("shop:1") != api.id("eu:1")
    assert len(api.rows(None)) == 2


@pytest.mark.parametrize("gone", ["shop:1", "eu:1"])
@pytest.mark.parametrize("rest", ["", "?erase=true"])
def test_the_end_of_one_customer_ends_no_other_whom_a_guest_connects(shop, eu, woo, api, gone, rest):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", phone=P2, at=1)
    woo.guest(email=E1, phone=P2, at=10)
    kept = {"shop:1": "eu:1", "eu:1": "shop:1"}[gone]
    kept_id = api.id(kept)

    api.write("DELETE", gone, rest)

    assert api.id(gone) is None
    assert api.id(kept) == api.id(kept_id) == kept_id


@once
@pytest.mark.parametrize("is_first", [True, False])
def test_a_crowd_of_guests_takes_no_number_from_a_customer(shop, woo, api, is_first):
    if is_first:
        shop.seen("1", email=E1, phone=P1, at=0)
        contact_id = api.id("shop:1")
    for number in range(203):
        shop.checkout(email=f"guest{number}@example.com", phone=P1, at=10)
    if not is_first:
        assert api.id("guest7@example.com") is not None
        shop.seen("1", email=E1, phone=P1, at=0)
        contact_id = api.id("shop:1")

    assert api.id(P1) == api.id(E1) == contact_id
    assert api.id("guest7@example.com") not in (None, contact_id)
    woo.seen("1", phone=P1, at=20)
    assert api.id("woo:1") == api.id(P1) == contact_id


@once
def test_a_crowd_of_orders_with_one_email_is_one_guest(shop, api):
    for number in range(30):
        shop.guest(email=E1, phone=f"+62812735{number:05}", at=number)

    (contact,) = api.rows(None)
    assert contact["id"] == api.id(E1)


def test_a_guest_with_the_email_of_a_customer_is_that_customer(shop, api, guest):
    shop.seen("1", email=E1, at=0)
    guest(email=E1, phone=P3, name="Mallory", at=10)

    (contact,) = api.rows(None)
    assert (contact["external_id"], contact["name"]) == ("1", None)
    assert api.id(E1) == contact["id"]


def test_the_number_of_a_guest_leads_to_the_person_until_a_customer_claims_it(shop, eu, api, guest):
    shop.seen("1", email=E1, at=0)
    guest(email=E1, phone=P3, at=10)
    assert api.id(P3) == api.id("shop:1")

    eu.seen("1", phone=P3, at=20)
    assert api.id(P3) == api.id("eu:1")
    assert api.id("eu:1") != api.id("shop:1")


def test_the_number_of_a_guest_leads_to_the_person_until_it_is_the_key_of_another_guest(shop, eu, api, guest):
    shop.seen("1", email=E1, at=0)
    guest(email=E1, phone=P3, at=10)
    eu.guest(phone=P3, at=20)

    assert api.id(P3) is not None
    assert api.id(P3) != api.id("shop:1")
    assert len(api.rows(None)) == 2


def test_guests_are_one_person_by_the_same_email(shop, eu, woo, api):
    shop.guest(email=E1, phone=P1, at=0)
    eu.guest(email=E1, phone=P2, at=1)
    woo.guest(email=E1, at=2)

    assert len(api.rows(None)) == 1


def test_guests_are_one_person_by_the_same_number_if_they_have_nothing_else(shop, eu, woo, api):
    shop.guest(phone=P1, at=0)
    eu.guest(phone=P1, at=1)
    woo.guest(email=E1, phone=P1, at=2)

    assert len(api.rows(None)) == 2
    assert api.id(P1) != api.id(E1)


def test_a_guest_who_becomes_a_customer_keeps_the_id(shop, woo, api):
    shop.guest(email=E1, phone=P1, name="Ayu Lestari", at=0)
    contact_id = api.id(E1)
    shop.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=10)
    woo.seen("1", phone=P1, name="Ayu Lestari", at=20)

    assert api.id("shop:1") == api.id("woo:1") == api.id(contact_id) == contact_id
    assert len(api.rows(None)) == 1


def test_a_guest_stays_a_guest_when_the_customer_is_deleted(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=0)
    woo.guest(email=E1, phone=P1, name="Ayu L", at=5)
    contact_id = api.id("shop:1")
    shop.deleted("1", at=10)

    contact = api.contact(E1)
    assert (contact["id"], contact["name"], contact["external_id"]) == (contact_id, "Ayu L", None)
