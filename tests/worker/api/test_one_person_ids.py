"""A contact keeps its id and its values: meeting, parting, deletion, returning guests, merges (C3 to C6, and C8)."""

import pytest
from sqlalchemy import text

from tests.worker.api.one_person import E1, E2, E3, E4, P1, REFUSED
from tests.worker.api.shops import now
from worker import ids

once = pytest.mark.parametrize("world", ["as sent"], indirect=True)
NAME, OTHER_NAME = "Ayu Lestari", "Ayu Wulandari"


# C3


@pytest.mark.parametrize("world", ["in one batch"], indirect=True)
def test_an_older_source_that_is_connected_later_moves_no_id(shop, eu, api):
    people = {str(number): f"person{number}@example.com" for number in range(1, 65)}
    for number, email in people.items():
        shop.seen(number, email=email, at=int(number))
    given = {number: api.id(email) for number, email in people.items()}

    for number, email in people.items():
        eu.seen(number, email=email, at=100, created=int(number) * 7 - 200)
    assert {number: api.id(email) for number, email in people.items()} == given
    assert {number: api.id(f"eu:{number}") for number in people} == given
    assert len(api.rows(None)) == 64

    for number in people:
        (shop if int(number) % 2 else eu).deleted(number, at=200)
    contacts = {number: api.contact(id_) for number, id_ in given.items()}
    assert {number: (contact["id"], contact["email"]) for number, contact in contacts.items()} == {
        number: (given[number], email) for number, email in people.items()
    }


@pytest.mark.parametrize("gone", ["shop", "eu"])
@pytest.mark.parametrize("created", [-100, 100])
def test_the_deletion_of_one_record_leaves_the_id_alone(shop, eu, woo, api, gone, created):
    shop.seen("1", email=E1, at=0)
    contact_id = api.id("shop:1")
    eu.seen("1", email=E1, at=10, created=created)
    woo.guest(email=E1, at=20)
    assert api.id("eu:1") == contact_id
    {"shop": shop, "eu": eu}[gone].deleted("1", at=30)

    assert api.id(E1) == api.id(contact_id) == contact_id


@pytest.mark.parametrize("created", [-100, 100])
def test_when_contacts_meet_the_older_id_stays_and_the_other_leads_to_it(shop, eu, api, created):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E2, at=5, created=created)
    second = api.id("eu:1")
    assert first != second

    eu.seen("1", email=E1, at=10)
    assert {api.id(who) for who in ("shop:1", "eu:1", E1, first, second)} == {first}
    assert [contact["id"] for contact in api.rows(None)] == [first]


@pytest.mark.parametrize("created", [-100, 100])
def test_who_parts_gets_back_the_id_it_came_with(shop, eu, api, created):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E2, at=5, created=created)
    second = api.id("eu:1")
    eu.seen("1", email=E1, at=10)
    assert api.id("eu:1") == first

    eu.seen("1", email=E3, at=20)
    assert (api.id("shop:1"), api.id("eu:1")) == (first, second)
    assert (api.id(first), api.id(second)) == (first, second)
    assert (api.contact(first)["email"], api.contact(second)["email"]) == (E1, E3)


def test_the_id_stays_with_who_was_longest_in_the_contact(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E1, at=5, created=-100)
    assert api.id("eu:1") == first

    shop.seen("1", email=E2, at=10)
    assert api.id("shop:1") == first
    assert api.id("eu:1") not in (None, first)


def test_an_id_never_becomes_somebody_elses(shop, eu, woo, api):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E1, at=5, created=-100)
    shop.deleted("1", at=10)
    assert api.id(first) == api.id("eu:1") == first

    shop.seen("1", email=E2, at=20)
    assert api.id("eu:1") == first
    assert api.id("shop:1") not in (None, first)
    woo.seen("1", email=E2, at=30, created=-500)
    assert api.id("eu:1") == api.id(first) == first
    assert api.id("woo:1") == api.id("shop:1")


def test_an_id_that_was_left_to_another_is_not_taken_back(shop, eu, woo, api):
    """The record that carried the id comes back as somebody else, joins a third person, and leaves again."""
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E1, at=5)
    shop.deleted("1", at=10)
    assert api.id(E1) == first
    shop.seen("1", email=E2, at=20)
    assert api.id("eu:1") == first

    woo.seen("1", email=E3, at=20)
    shop.seen("1", email=E3, at=30)
    assert api.id("shop:1") == api.id("woo:1")
    shop.seen("1", email=E4, at=40)
    assert api.id("shop:1") not in (None, first, api.id("woo:1"))
    assert api.id("eu:1") == api.id(first) == first


def test_a_person_who_comes_back_has_the_id_of_before(shop, api):
    shop.seen("1", email=E1, at=0)
    contact_id = api.id("shop:1")
    shop.deleted("1", at=10)
    assert api.id(contact_id) is None

    shop.seen("1", email=E1, at=20)
    assert api.id("shop:1") == api.id(contact_id) == contact_id


def test_an_alias_of_an_alias_leads_to_the_person(shop, eu, woo, api):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E2, at=0)
    woo.seen("1", email=E3, at=0)
    given = [api.id(who) for who in ("shop:1", "eu:1", "woo:1")]
    woo.seen("1", email=E2, at=10)
    assert api.id("woo:1") == api.id("eu:1")

    eu.seen("1", email=E1, at=20)
    woo.seen("1", email=E1, at=20)
    assert len(api.rows(None)) == 1
    assert {api.id(id_) for id_ in given} == {api.id(E1)}


@once
def test_an_alias_answers_on_every_route(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E2, at=5, created=-100)
    second = api.id("eu:1")
    eu.seen("1", email=E1, at=10)

    assert api.write("PATCH", second, name=NAME)["id"] == first
    api.write("POST", second, "/tags", name="vip")
    api.write("PUT", second, "/consent/email", status="opted_in")
    assert api.sendable(first) == (True, E1)
    assert api.contact(first)["tags"] == ["vip"]
    api.write("DELETE", second)
    assert api.rows(None) == []


# C4


def test_a_guest_who_returns_is_as_old_as_the_first_order(shop, eu, api):
    shop.guest(email=E1, name=NAME, at=0)
    eu.guest(email=E1, name=OTHER_NAME, at=10)
    before = api.contact(E1)
    assert before["name"] == NAME
    shop.guest(email=E1, name=NAME, at=20)

    after = api.contact(E1)
    assert (after["id"], after["name"]) == (before["id"], NAME)


def test_a_guest_who_returns_to_a_shop_of_woocommerce_is_as_old_as_the_first_order(woo, crm, api):
    woo.guest(phone=P1, name=NAME, at=0)
    crm.guest(phone=P1, name="Ayu L", at=10)
    contact_id = api.id(P1)
    woo.guest(phone=P1, name=NAME, at=20)

    assert (api.id(P1), api.contact(P1)["name"]) == (contact_id, NAME)


def test_what_a_guest_typed_is_as_old_as_the_order_and_not_as_its_last_edit(shop, api):
    shop.guest(email=E1, name=NAME, at=0, edited=50)
    shop.guest(email=E1, name=OTHER_NAME, at=10)

    assert api.contact(E1)["name"] == OTHER_NAME


def test_what_a_guest_of_woocommerce_typed_is_as_old_as_the_order(woo, api):
    woo.guest(email=E1, name=NAME, at=0, edited=50)
    woo.guest(email=E1, name=OTHER_NAME, at=10)

    assert api.contact(E1)["name"] == OTHER_NAME


def test_an_edit_of_an_order_corrects_what_was_typed_there(woo, api):
    woo.guest(email=E1, name=NAME, at=0)
    woo.guest(email=E1, name=OTHER_NAME, at=0, edited=50)
    woo.guest(email=E1, name="Ayu L", at=0, edited=40)

    assert api.contact(E1)["name"] == OTHER_NAME


def test_a_customer_is_as_old_as_anybody_says(shop, eu, api):
    shop.seen("1", email=E1, name=NAME, at=0, created=-50)
    eu.seen("1", email=E1, name=OTHER_NAME, at=10, created=-20)
    shop.seen("1", email=E1, name=NAME, at=20, created=20)

    assert api.contact(E1)["name"] == NAME


# C5


def test_the_loser_of_a_merge_stands_until_the_survivor_is_seen(shop, api):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    shop.tagged("1", "vip", at=6)
    contact_id = api.id("shop:1")
    shop.merged(kept="2", lost="1", at=10)

    (contact,) = api.rows(None)
    assert (contact["id"], contact["name"], contact["email"], contact["tags"]) == (contact_id, NAME, E1, ["vip"])
    assert api.sendable(contact_id) == (True, E1)
    shop.seen("2", email=E2, name=OTHER_NAME, at=20)

    (contact,) = api.rows(None)
    assert (contact["id"], contact["name"], contact["email"]) == (contact_id, OTHER_NAME, E2)
    assert {api.id(who) for who in ("shop:1", "shop:2", E1, P1, E2, contact_id)} == {contact_id}


def test_the_loser_of_a_merge_keeps_its_customers_in_other_shops(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, name=NAME, at=0)
    woo.seen("1", phone=P1, name=NAME, at=5)
    contact_id = api.id("woo:1")
    shop.merged(kept="2", lost="1", at=10)
    assert api.id("woo:1") == api.id(E1) == contact_id

    shop.seen("2", email=E2, name=NAME, at=20)
    assert {api.id(who) for who in ("shop:2", "woo:1", E1, E2, P1)} == {contact_id}


def test_of_a_chain_of_merges_the_last_survivor_seen_shows(shop, api):
    shop.seen("1", email=E1, name=NAME, at=0)
    contact_id = api.id("shop:1")
    shop.merged(kept="2", lost="1", at=10)
    shop.merged(kept="3", lost="2", at=20)
    assert api.contact(contact_id)["name"] == NAME

    shop.seen("3", email=E3, name=OTHER_NAME, at=30)
    (contact,) = api.rows(None)
    assert (contact["id"], contact["name"], contact["external_id"]) == (contact_id, OTHER_NAME, "3")
    assert api.id(E1) == contact_id


def test_a_circle_of_merges_blanks_nobody(shop, api):
    shop.seen("1", email=E1, name=NAME, at=0)
    shop.seen("2", email=E2, name=OTHER_NAME, at=1)
    shop.merged(kept="1", lost="2", at=10)
    shop.merged(kept="2", lost="1", at=20)

    (contact,) = api.rows(None)
    assert (contact["external_id"], contact["name"]) == ("2", OTHER_NAME)
    assert api.id(E1) == api.id(E2) == contact["id"]


@once
def test_the_survivor_of_a_merge_is_read_back(shop, api, engine):
    with engine.begin() as conn:  # the shop can be read from; nobody does, so it does not matter with what
        conn.execute(text("UPDATE connections SET credentials = 'x' WHERE connector = 'shopify'"))
    shop.seen("1", email=E1, at=0)
    shop.seen("2", email=E2, at=0)
    shop.merged(kept="2", lost="1", at=10)
    assert len(api.rows(None)) == 1

    # No route tells who waits to be read from the shop; this is where the reader looks.
    with engine.connect() as conn:
        assert conn.execute(text("SELECT external_id FROM wanted")).scalars().all() == ["2"]


# C6


@pytest.mark.parametrize(("channel", "address", "other"), [("email", E1, E2), ("sms", P1, "+6281273509190")])
def test_a_merge_brings_back_no_opt_out_that_was_answered(shop, api, channel, address, other):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", channel, "unsubscribed", address, at=10)
    shop.consent("1", channel, "subscribed", address, at=20)
    shop.seen("2", email=E2, phone="+6281273509190", at=5)
    assert api.sendable("shop:1", channel) == (True, address)

    shop.merged(kept="2", lost="1", at=30)
    assert api.sendable("shop:2", channel) == (True, address)
    shop.consent("2", channel, "subscribed", other, at=40)
    assert api.sendable("shop:2", channel) == (True, other)


def test_a_merge_brings_back_no_opt_out_for_the_address_that_the_survivor_takes_over(shop, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "unsubscribed", E1, at=10)
    shop.consent("1", "email", "subscribed", E1, at=20)
    shop.merged(kept="2", lost="1", at=30)
    assert api.sendable(E1) == (True, E1)

    shop.seen("2", email=E1, at=40)
    assert api.sendable("shop:2") == (True, E1)


def test_a_merged_customer_says_no_yes_after_the_merge(shop, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "unsubscribed", E1, at=10)
    shop.seen("2", email=E2, at=5)
    shop.merged(kept="2", lost="1", at=30)
    shop.consent("1", "email", "subscribed", E1, at=40)

    assert not api.sendable("shop:2")[0]


@pytest.mark.parametrize("minute", [15, 40])
def test_a_merged_customer_can_still_say_no(shop, api, minute):
    shop.seen("1", email=E1, at=0)
    shop.seen("2", email=E2, at=5)
    shop.consent("2", "email", "subscribed", E2, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=minute)
    shop.merged(kept="2", lost="1", at=30)

    assert api.sendable("shop:2") == (False, "opted_out")


# C8


@pytest.mark.parametrize("chain", [["2"], ["2", "3"], ["2", "3", "4"]])
def test_a_request_for_a_merged_customer_speaks_for_the_survivor(shop, api, chain):
    shop.seen("1", email=E1, name=NAME, at=0)
    kept = "1"
    for minute, lost in enumerate(chain):
        shop.seen(lost, email=f"lost{lost}@example.com", name=OTHER_NAME, at=1)
        shop.merged(kept=kept, lost=lost, at=10 + minute)
        kept = lost
    contact_id = api.id("shop:1")

    fields = {"name": "Ayu L. Wulandari", "email": E4, "custom_fields": {"tier": "gold"}, "tags": ["vip"]}
    shown = api.write("POST", None, external_source="shop", external_id=chain[-1], **fields)

    assert shown["id"] == contact_id == api.id(E4)
    assert (shown["name"], shown["external_id"], shown["tags"]) == ("Ayu L. Wulandari", "1", ["vip"])
    assert shown["custom_fields"]["tier"] == "gold"
    assert api.contact("shop:1") == shown


def test_a_request_for_a_merged_customer_shows_before_the_survivor_is_seen(shop, api):
    shop.seen("1", email=E1, name=NAME, at=0)
    contact_id = api.id("shop:1")
    shop.merged(kept="2", lost="1", at=10)

    shown = api.write("POST", None, external_source="shop", external_id="1", name=OTHER_NAME)

    assert (shown["id"], shown["name"]) == (contact_id, OTHER_NAME)


# Deletion through the API, which the others lean on


@pytest.mark.parametrize("rest", ["", "?erase=true"])
def test_a_deleted_contact_stays_deleted_until_somebody_states_something_newer(shop, eu, api, rest):
    shop.seen("1", email=E1, at=0)
    contact_id = api.id("shop:1")
    api.write("DELETE", contact_id, rest)
    shop.seen("1", email=E1, at=20)
    assert api.rows(None) == []
    assert api.id(contact_id) is None

    eu.seen("1", email=E1, at=now())
    assert len(api.rows(None)) == 1
    assert api.id("eu:1") == api.id(E1)


def test_an_order_of_before_the_deletion_brings_nobody_back(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    api.write("DELETE", "shop:1")
    woo.guest(email=E1, at=10, edited=now())
    woo.guest(phone=P1, at=10)
    assert api.rows(None) == []

    woo.guest(email=E1, at=now())
    assert [contact["email"] for contact in api.rows(None)] == [E1]


def test_others_at_a_shared_number_live_on(shop, eu, woo, api):
    """Those who are known when the contact is deleted; nobody can know the others."""
    shop.seen("1", email=E1, phone=P1, name="Budi Santoso", at=0)
    eu.seen("1", email=E2, phone=P1, name=NAME, at=5)
    assert len(api.rows(None)) == 2
    api.write("DELETE", "shop:1")
    assert [contact["email"] for contact in api.rows(None)] == [E2]

    eu.seen("1", email=E2, phone=P1, name=NAME, at=10)
    woo.seen("1", email=E3, phone=P1, at=10)
    assert [contact["email"] for contact in api.rows(None)] == [E2]
    assert api.id("eu:1") is not None


def test_who_does_not_own_a_number_takes_nobody_along(shop, eu, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Budi Santoso", at=0)
    eu.seen("1", email=E2, phone=P1, name=NAME, at=5)
    assert api.id(P1) == api.id("shop:1")
    api.write("DELETE", "eu:1")

    woo.seen("1", email=E3, phone=P1, name="Budi Santoso", at=10)
    assert [contact["email"] for contact in api.rows(None)] == [E1]
    assert api.id("woo:1") == api.id("shop:1")


def test_a_request_after_the_deletion_makes_the_contact_anew(shop, api):
    shop.seen("1", email=E1, at=0)
    api.write("DELETE", "shop:1")

    assert api.write("POST", None, email=E1, name=NAME)["name"] == NAME
    assert api.write("POST", None, external_source="eu", external_id="7", email=E1)["email"] == E1


@once
def test_an_envelope_that_is_read_anew_brings_nobody_back(world, shop, eu, api, engine):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E2, at=0)
    first, second = world.deliver()
    api.write("DELETE", "shop:1")
    eu.seen("1", email=E1, at=10)
    (third,) = world.deliver()
    assert api.rows(None) == []

    with engine.connect() as conn:
        (deletion,) = conn.execute(text("SELECT DISTINCT envelope_id FROM deletions")).scalars()
    for envelope_id in (third, first, ids.show(ids.ENVELOPE, deletion), second, third):
        world.replay(envelope_id)
        assert api.rows(None) == []


@once
def test_the_address_of_a_deleted_contact_is_kept_as_a_hash(shop, api, engine):
    shop.seen("1", email=E1, phone=P1, at=0)
    api.write("DELETE", "shop:1")

    with engine.connect() as conn:
        kept = conn.execute(
            text("SELECT convert_from(body, 'UTF8') FROM envelopes WHERE topic LIKE 'DELETE%'")
        ).scalar()
        hashes = conn.execute(text("SELECT encode(digest, 'hex') FROM deletions")).scalars().all()
    assert len(hashes) == 2
    assert all(one in kept for one in hashes)
    assert E1 not in kept
    assert P1 not in kept


def test_a_refusal_outlives_the_deletion_of_its_contact(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "unsubscribed", E1, at=10)
    api.write("DELETE", "shop:1")
    eu.seen("1", email=E1, at=now())
    eu.consent("1", "email", "subscribed", E1, at=5)

    assert api.sendable("eu:1") in REFUSED
