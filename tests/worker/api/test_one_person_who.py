"""Who is who: names, extensions, guests, customers never seen, decisions (examples C1, C2, C7, C9 and C10)."""

import pytest

from tests.worker.api.one_person import E1, E2, E3, P1, P2, REFUSED
from tests.worker.api.shops import now

both_ways = pytest.mark.parametrize("world", ["as sent", "backwards"], indirect=True)
OFFICE = "+1 415 555 0100"


# C1


def test_people_who_share_a_number_and_no_name_stay_two(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("1", email=E2, phone=P1, name="Boris Klein", at=10)

    assert api.id("shop:1") != api.id("woo:1")
    assert api.id(P1) == api.id("shop:1")
    (number,) = [row for row in api.rows("shop:1", "/identities") if row["type"] == "phone"]
    assert number["contested"]


def test_the_older_customer_owns_a_shared_number_whoever_comes_first(shop, woo, api):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    woo.seen("1", phone=P1, name="Boris Klein", at=10, created=-100)

    assert api.id(P1) == api.id("woo:1") != api.id("shop:1")


def test_three_names_at_the_number_of_an_office_are_three_people(shop, eu, woo, crm, api):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    eu.seen("1", phone=P1, name="Boris Klein", at=1)
    woo.seen("1", phone=P1, name="Chiara Rossi", at=2)
    crm.seen("1", phone=P1, name="Boris P. Klein", at=3)

    assert len({api.id(who) for who in ("shop:1", "eu:1", "woo:1")}) == 3
    assert api.id("crm:1") == api.id("eu:1")


@both_ways
@pytest.mark.parametrize(
    "name",
    [
        "anna müller",
        "ANNA MULLER",
        "Müller Anna",
        "Müller, Anna",
        "Anna",
        "A. Müller",
        "Anna M",
        "Anna Maria Müller",
        "Ana Müller",
        "Anna Mueller",
        "",
        "12345",
    ],
)
def test_a_name_that_is_alike_joins_beside_a_number(shop, woo, api, name):
    shop.seen("1", phone=P1, name="Anna Müller", at=0)
    woo.seen("1", phone=P1, name=name, at=10)

    assert api.id("shop:1") == api.id("woo:1")


@both_ways
@pytest.mark.parametrize("name", ["Boris Müller", "C. Müller", "Anna Klein", "Boris", "Klein Boris"])
def test_a_name_that_is_another_does_not_join_beside_a_number(shop, woo, api, name):
    shop.seen("1", phone=P1, name="Anna Müller", at=0)
    woo.seen("1", phone=P1, name=name, at=10)

    assert api.id("shop:1") != api.id("woo:1")


def test_an_email_joins_whatever_the_names_are(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("1", email=E1, phone=P1, name="Boris Klein", at=10)

    assert api.id("shop:1") == api.id("woo:1")


def test_emails_join_before_numbers(shop, eu, woo, api):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    eu.seen("1", email=E1, phone=P1, at=1)
    woo.seen("1", email=E1, name="Boris Klein", at=2)

    assert api.id("eu:1") == api.id("woo:1")
    assert api.id("shop:1") != api.id("eu:1")


def test_one_record_that_disagrees_keeps_a_whole_group_out(shop, eu, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("1", email=E1, name="Boris Klein", at=1)
    eu.seen("1", phone=P1, name="Anna Berg", at=2)

    assert api.id("shop:1") == api.id("woo:1")
    assert api.id("eu:1") != api.id("shop:1")


def test_a_new_surname_splits_nobody(shop, woo, api):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    woo.seen("1", phone=P1, name="Anna Berg", at=5)
    contact_id = api.id("shop:1")
    shop.seen("1", phone=P1, name="Anna Klein", at=10)
    woo.seen("1", phone=P1, name="Anna Rossi", at=20)

    assert api.id("shop:1") == api.id("woo:1") == contact_id


def test_a_name_said_once_is_kept_for_comparison(shop, woo, api):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    woo.seen("1", phone=P1, name="Boris Klein", at=5)
    shop.seen("1", phone=P1, name="Boris Klein", at=10)
    shop.seen("1", phone=P1, name="Anna Berg", at=20)

    assert api.id("shop:1") == api.id("woo:1")


@pytest.mark.parametrize(
    ("name", "is_same"), [("Anna Berg", True), ("A Berg", True), ("", True), ("Boris Klein", False)]
)
def test_a_guest_with_nothing_but_a_number_sits_with_its_owner_if_the_names_agree(shop, woo, api, name, is_same):
    shop.seen("1", phone=P1, name="Anna Berg", at=0)
    woo.guest(phone=P1, name=name, at=10)

    assert api.id(P1) == api.id("shop:1")
    assert len(api.rows(None)) == (1 if is_same else 2)


def test_the_name_of_a_guest_says_nothing_about_a_customer(shop, eu, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.guest(email=E1, name="Boris Klein", at=5)
    eu.seen("1", phone=P1, name="Boris Klein", at=10)
    woo.seen("1", phone=P1, name="Anna Berg", at=20)

    assert api.id("eu:1") != api.id("shop:1")
    assert api.id("woo:1") == api.id("shop:1")


# C2


def test_an_extension_is_part_of_a_number(woo, crm, api):
    woo.seen("1", phone=f"{OFFICE} ext. 12", at=0)
    crm.seen("1", phone=f"{OFFICE} ext. 34", at=10)

    assert api.id("woo:1") != api.id("crm:1")
    assert api.id(f"{OFFICE} ext. 12") == api.id("woo:1")
    assert api.id(f"{OFFICE};ext=34") == api.id("crm:1")
    assert api.id(OFFICE) is None


def test_the_same_extension_joins_however_it_is_written(woo, crm, api):
    woo.seen("1", phone=f"{OFFICE} ext. 12", at=0)
    crm.seen("1", phone="+14155550100 x12", at=10)

    assert api.id("woo:1") == api.id("crm:1")


def test_a_number_without_an_extension_is_another_number(woo, crm, eu, api):
    woo.seen("1", phone=f"{OFFICE} ext. 12", at=0)
    crm.seen("1", phone=OFFICE, at=10)
    eu.seen("1", phone="+14155550100", at=20)

    assert api.id("woo:1") != api.id("crm:1")
    assert api.id("crm:1") == api.id("eu:1") == api.id(OFFICE)


def test_a_guest_is_known_by_number_and_extension(woo, crm, api):
    woo.guest(phone=f"{OFFICE} ext. 12", at=0)
    woo.guest(phone=f"{OFFICE} ext. 34", at=1)
    crm.seen("1", phone=f"{OFFICE} ext. 12", at=10)

    assert len(api.rows(None)) == 2
    assert api.id(f"{OFFICE} ext. 34") != api.id("crm:1")


@pytest.mark.parametrize("world", ["as sent"], indirect=True)
def test_a_request_finds_the_extension(woo, api):
    woo.seen("1", phone=f"{OFFICE} ext. 12", at=0)

    same = api.write("POST", None, phone_number=f"{OFFICE} x12", name="Anna Berg")
    other = api.write("POST", None, phone_number=f"{OFFICE} x34", name="Boris Klein")

    assert same["id"] == api.id("woo:1") != other["id"]


# C7


def test_a_guest_is_a_guest_whichever_envelope_is_read_first(shop, world, api):
    shop.guest(email=E1, name="Ayu Lestari", at=0)
    (envelope_id,) = world.deliver()
    api.write("PUT", E1, "/consent/email", status="opted_in")
    api.write("POST", E1, "/tags", name="vip")
    world.replay(envelope_id)
    shop.seen("1", email=E1, at=10)

    (contact,) = api.rows(None)
    assert (contact["external_id"], contact["tags"]) == ("1", ["vip"])
    assert api.id("shop:1") == api.id(E1)


@pytest.mark.parametrize("write", [("PUT", "/consent/email"), ("POST", "/tags"), ("POST", "/notes"), ("PATCH", "")])
def test_a_guest_is_a_guest_after_the_order_is_read_anew(shop, eu, world, api, write):
    bodies = {"/tags": {"name": "vip"}, "/notes": {"body": "Called."}, "": {"name": "Ayu L"}}
    shop.guest(email=E1, at=0)
    eu.guest(email=E1, at=1)
    envelope_ids = world.deliver()
    api.write(write[0], E1, write[1], **bodies.get(write[1], {"status": "opted_out"}))
    for envelope_id in envelope_ids:
        world.replay(envelope_id)
    shop.seen("1", email=E1, at=10)
    eu.seen("1", email=E1, at=10)

    assert len(api.rows(None)) == 1
    assert api.id("shop:1") == api.id("eu:1") == api.id(E1)


def test_a_guest_who_was_deleted_is_a_guest_when_it_orders_again(shop, world, api):
    shop.guest(email=E1, at=0)
    (envelope_id,) = world.deliver()
    api.write("DELETE", E1)
    world.replay(envelope_id)
    assert api.rows(None) == []

    shop.guest(email=E1, at=now())
    shop.seen("1", email=E1, at=now())
    (contact,) = api.rows(None)
    assert contact["external_id"] == "1"


# C9


@pytest.mark.parametrize(("channel", "address"), [("email", E1), ("sms", P1), ("email", None)])
def test_a_yes_of_a_customer_never_seen_makes_nobody_and_counts_later(shop, api, channel, address):
    shop.consent("9", channel, "subscribed", address, at=0)
    assert api.rows(None) == []
    assert address is None or api.id(address) is None

    shop.seen("9", email=E1, phone=P1, at=10)
    assert api.sendable("shop:9", channel) == (True, address or E1)


@pytest.mark.parametrize(("channel", "address"), [("email", E1), ("sms", P1), ("email", None)])
def test_a_no_of_a_customer_never_seen_makes_nobody_and_counts_later(shop, eu, api, channel, address):
    shop.consent("9", channel, "unsubscribed", address, at=5)
    assert api.rows(None) == []

    eu.seen("1", email=E1, phone=P1, at=0)
    eu.consent("1", channel, "subscribed", address or E1, at=1)
    shop.seen("9", email=E1, phone=P1, at=10)
    assert api.id("shop:9") == api.id("eu:1")
    assert api.sendable("eu:1", channel) in REFUSED


def test_a_no_of_a_customer_never_seen_closes_its_address_for_who_holds_it(shop, woo, api):
    woo.seen("1", email=E1, at=0, newsletter=True)
    shop.consent("9", "email", "unsubscribed", E1, at=10)

    assert api.sendable("woo:1") in REFUSED
    assert len(api.rows(None)) == 1


def test_a_yes_of_a_customer_never_seen_opens_its_address_for_nobody(shop, woo, api):
    woo.seen("1", email=E1, at=0)
    shop.consent("9", "email", "subscribed", E1, at=10)

    assert not api.sendable("woo:1")[0]
    assert len(api.rows(None)) == 1


def test_a_tag_of_a_customer_never_seen_makes_nobody_and_shows_later(shop, api):
    shop.tagged("9", "vip", at=0)
    assert api.rows(None) == []

    shop.seen("9", email=E1, at=10)
    assert api.contact("shop:9")["tags"] == ["vip"]


def test_the_merge_of_customers_never_seen_makes_nobody(shop, api):
    shop.merged(kept="9", lost="8", at=0)
    assert api.rows(None) == []

    shop.seen("9", email=E1, name="Ayu Lestari", at=10)
    shop.seen("8", email=E2, name="Budi Santoso", at=-10)
    (contact,) = api.rows(None)
    assert (contact["external_id"], contact["name"], contact["email"]) == ("9", "Ayu Lestari", E1)
    assert api.id(E2) == contact["id"]


def test_the_end_of_a_customer_never_seen_makes_nobody(shop, woo, api):
    shop.deleted("9", at=0)
    woo.deleted("9")

    assert api.rows(None) == []


def test_a_customer_never_seen_stays_nobody_through_everything(shop, world, api):
    shop.consent("9", "email", "subscribed", E1, at=0)
    shop.consent("9", "sms", "unsubscribed", P1, at=1)
    shop.tagged("9", "vip", at=2)
    shop.merged(kept="9", lost="8", at=3)
    for envelope_id in world.deliver():
        world.replay(envelope_id)

    assert api.rows(None) == []


# C10


@pytest.mark.parametrize("linked_at", [5, 15])
def test_a_link_and_a_merge_of_the_same_pair_both_stand(shop, world, api, linked_at):
    world.decide("link", "shop:1", "shop:2", at=linked_at)
    shop.seen("1", email=E1, name="Ayu Lestari", at=1)
    shop.seen("2", email=E2, name="Budi Santoso", at=2, created=-100)
    shop.merged(kept="1", lost="2", at=10)

    (contact,) = api.rows(None)
    assert (contact["external_id"], contact["name"], contact["email"]) == ("1", "Ayu Lestari", E1)
    assert api.id(E2) == api.id("shop:2") == contact["id"]


def test_a_link_stands_when_its_customer_is_merged_away(shop, eu, world, api):
    world.decide("link", "shop:1", "eu:1", at=5)
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E2, at=1)
    eu.seen("3", email=E3, at=2)
    eu.merged(kept="3", lost="1", at=10)

    (contact,) = api.rows(None)
    assert {api.id(who) for who in ("shop:1", "eu:1", "eu:3", E1, E2, E3)} == {contact["id"]}


@pytest.mark.parametrize("world", ["as sent", "as sent, mirrored"], indirect=True)
def test_a_customer_named_in_an_edit_stays_linked_when_its_shop_merges_it(shop, eu, api):
    shop.seen("1", email=E1, name="Ayu Lestari", at=0)
    api.write("PATCH", "shop:1", external_source="eu", external_id="1")
    eu.seen("1", email=E2, at=1)
    eu.seen("3", email=E3, at=2)
    eu.merged(kept="3", lost="1", at=10)

    (contact,) = api.rows(None)
    assert {api.id(who) for who in ("shop:1", "eu:1", "eu:3", E1, E2, E3)} == {contact["id"]}


@pytest.mark.parametrize(("kinds", "people"), [(("link", "apart"), 2), (("apart", "link"), 1)])
def test_the_newest_decision_of_an_operator_counts(shop, eu, world, api, kinds, people):
    for minute, kind in enumerate(kinds):
        world.decide(kind, "shop:1", "eu:1", at=minute)
    shop.seen("1", email=E1, phone=P1, at=0)
    eu.seen("1", email=E1, phone=P2, at=1)

    assert len(api.rows(None)) == people
