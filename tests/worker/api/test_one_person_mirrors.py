"""A mirror hears everything: whatever changes a contact's answers is in the feed and in its log (examples D1 to D4).

The world compares a mirror that follows the feed, and every change log, after each delivery and each request.
"""

from datetime import datetime

import pytest

from tests.worker.api.one_person import E1, E2, E3, P1, P2, REFUSED
from tests.worker.api.shops import written

mirrored = pytest.mark.parametrize("world", ["as sent, mirrored", "backwards, mirrored"], indirect=True)
#: compared after each request only, because so many deliveries would take long
mirrored_at_times = pytest.mark.parametrize("world", ["in one batch, mirrored"], indirect=True)


def changed_at(api, who):
    return datetime.fromisoformat(api.contact(who)["updated_at"])


def newest_changes(api, who):
    """Return the newest entry of a contact's own log, by field: before and after."""
    own_id = api.id(who)
    entry = next(entry for entry in api.rows(who, "/timeline") if entry["contact_id"] == own_id)
    return {change["field"]: (change["before"], change["after"]) for change in entry["fields"]}


def feed(api, **params):
    return api.rows(None, updated_after="2000-01-01T00:00:00Z", **params)


# D1


@pytest.fixture
def second_address(woo):
    """Customer 2 once said yes to an address that is another customer's, and has it as a second one."""
    woo.seen("1", email=E1, at=0)
    woo.seen("2", email=E1, at=10, newsletter=True)
    woo.seen("2", email=E2, billing_email=E1, at=20)


@mirrored
def test_a_no_touches_whoever_holds_its_address(second_address, woo, api):
    assert api.id("woo:1") != api.id("woo:2")
    assert api.sendable("woo:2") == (True, E1)
    before = changed_at(api, "woo:2")
    woo.seen("1", email=E1, at=30, newsletter=False)

    assert api.sendable("woo:2") in REFUSED
    assert changed_at(api, "woo:2") > before
    assert newest_changes(api, "woo:2")["consent:email:marketing"] == ("opted_in", "opted_out")
    assert [cause["source"] for cause in api.rows("woo:2", "/timeline")[0]["causes"]] == ["woo"]


@mirrored
def test_a_suppression_touches_whoever_holds_its_address(second_address, shop, api):
    assert api.sendable("woo:2") == (True, E1)
    before = {who: changed_at(api, who) for who in ("woo:1", "woo:2")}
    shop.consent("9", "email", "invalid", E1, at=30)

    assert not api.sendable("woo:2")[0]
    assert all(changed_at(api, who) > time for who, time in before.items())


@mirrored
def test_a_suppression_through_the_api_touches_whoever_holds_its_address(second_address, api):
    before = changed_at(api, "woo:2")
    api.write("POST", "woo:1", "/suppressions", channel="email", reason="hard_bounce")
    assert not api.sendable("woo:2")[0]
    assert changed_at(api, "woo:2") > before

    before = changed_at(api, "woo:2")
    api.write("POST", "woo:1", "/suppressions", channel="email", reason="hard_bounce", active=False)
    assert api.sendable("woo:2") == (True, E1)
    assert changed_at(api, "woo:2") > before


@mirrored
def test_an_opt_out_through_the_api_touches_whoever_holds_its_address(second_address, api):
    before = changed_at(api, "woo:2")
    api.write("PUT", "woo:1", "/consent/email", status="opted_out")

    assert api.sendable("woo:2") in REFUSED
    assert changed_at(api, "woo:2") > before


@mirrored
def test_a_no_that_changes_nobodys_answer_touches_nobody_else(shop, woo, eu, api):
    eu.seen("1", email=E2, phone=P2, at=0)
    shop.seen("1", email=E1, phone=P1, at=0)
    before = changed_at(api, "eu:1")
    shop.consent("1", "email", "unsubscribed", E1, at=10)

    assert api.sendable("shop:1") in REFUSED
    assert changed_at(api, "eu:1") == before


# D2


@pytest.mark.parametrize("world", ["as sent, mirrored"], indirect=True)  # backwards the other one keeps its id
def test_the_log_says_what_the_contact_showed_when_people_meet_and_part(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=1)
    eu.seen("1", email=E2, at=0, created=5)
    eu.consent("1", "email", "unsubscribed", E2, at=6)
    assert api.sendable("shop:1") == (True, E1)

    eu.seen("1", email=E1, at=10, created=5)
    assert api.sendable("shop:1") in REFUSED
    assert newest_changes(api, "shop:1")["consent:email:marketing"] == ("opted_in", "opted_out")

    eu.seen("1", email=E2, at=20, created=5)
    assert api.sendable("shop:1") == (True, E1)
    assert newest_changes(api, "shop:1")["consent:email:marketing"] == ("opted_out", "opted_in")


@mirrored
def test_the_log_says_what_the_contact_showed_with_two_addresses(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    woo.seen("1", email=E2, phone=P1, at=1, newsletter=True)
    assert api.sendable("shop:1") == (True, E2)
    shop.consent("1", "email", "pending", E1, at=5)
    shop.consent("1", "email", "subscribed", E1, at=10)
    assert api.sendable("shop:1") == (True, E1)
    shop.consent("1", "email", "invalid", E1, at=20)
    assert api.sendable("shop:1") == (True, E2)
    woo.seen("1", email=E2, phone=P1, at=30, newsletter=False)
    assert api.sendable("shop:1") in REFUSED
    shop.deleted("1", at=40)
    assert api.sendable("woo:1") in REFUSED


@mirrored
def test_the_log_says_what_the_contact_showed_through_merges_and_deletions(shop, eu, api):
    shop.seen("1", email=E1, name="Ayu", at=0)
    shop.consent("1", "email", "unsubscribed", E1, at=1)
    shop.consent("1", "email", "subscribed", E1, at=2)
    shop.seen("2", email=E2, name="Ayu Lestari", at=3)
    shop.merged(kept="2", lost="1", at=10)
    assert api.sendable("shop:2") == (True, E1)
    eu.seen("1", email=E2, name="Ayu L", at=20)
    shop.deleted("2", at=30)
    assert api.contact("eu:1")["email"] == E2
    eu.deleted("1", at=40)
    assert api.rows(None) == []
    eu.seen("1", email=E2, name="Ayu L", at=50)
    assert api.contact("eu:1")["name"] == "Ayu L"


@mirrored
def test_the_log_names_the_newest_of_several_consents_in_one_batch(shop, api):
    shop.seen("1", email=E1, at=0)
    assert not api.sendable("shop:1")[0]
    shop.consent("1", "email", "subscribed", E1, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=20)
    shop.consent("1", "email", "pending", E1, at=30)
    assert api.sendable("shop:1") in REFUSED


# D3


@mirrored
def test_who_loses_a_number_to_an_older_claim_is_in_the_feed_and_in_the_log(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    assert api.id(P1) == api.id("shop:1")
    before = changed_at(api, "shop:1")
    eu.seen("1", email=E2, phone=P1, name="Boris Klein", at=10, created=-100)

    assert api.id(P1) == api.id("eu:1") != api.id("shop:1")
    assert changed_at(api, "shop:1") > before
    assert P1 in str(newest_changes(api, "shop:1"))

    before = changed_at(api, "shop:1")
    eu.seen("1", email=E2, phone=P2, name="Boris Klein", at=20)
    assert api.id(P1) == api.id("shop:1")
    assert changed_at(api, "shop:1") > before
    assert P1 in str(newest_changes(api, "shop:1"))


@mirrored
def test_who_gains_a_second_address_is_in_the_feed_and_in_the_log(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    woo.seen("1", phone=P1, at=5)
    assert api.id("woo:1") == api.id("shop:1")
    before = changed_at(api, "shop:1")
    woo.seen("1", email=E3, phone=P1, at=10)

    assert api.contact("shop:1")["email"] == E1
    assert E3 in {row["value"] for row in api.rows("shop:1", "/identities")}
    assert changed_at(api, "shop:1") > before
    assert E3 in str(newest_changes(api, "shop:1"))


@mirrored
def test_the_number_that_a_guest_brings_and_a_customer_takes_is_in_the_feed(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    assert api.id(P1) is None
    before = changed_at(api, "shop:1")
    shop.guest(email=E1, phone=P1, at=5)
    assert api.id(P1) == api.id("shop:1")
    assert changed_at(api, "shop:1") > before

    before = changed_at(api, "shop:1")
    eu.seen("1", email=E2, phone=P1, at=10)
    assert api.id(P1) == api.id("eu:1")
    assert changed_at(api, "shop:1") > before


@mirrored_at_times
def test_a_crowd_that_makes_a_number_nobodys_is_in_the_feed(shop, eu, api):
    eu.seen("1", email=E1, phone=P1, at=0)
    assert api.id(P1) == api.id("eu:1")
    before = changed_at(api, "eu:1")
    for number in range(1, 13):
        shop.seen(
            str(number), email=f"person{number}@example.com", phone=P1, name=f"{'ABCDEFGHIJKL'[number - 1]}uni", at=5
        )

    assert api.id(P1) is None
    assert changed_at(api, "eu:1") > before


# D4


@mirrored
def test_removed_and_merged_contacts_are_in_the_feed(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E2, at=1)
    second = api.id("eu:1")
    assert first != second
    eu.seen("1", email=E1, at=10)

    (row,) = [row for row in feed(api, include="removed") if row.get("removed")]
    assert row == {"id": second, "updated_at": row["updated_at"], "removed": True, "merged_into": first}
    assert [one["id"] for one in feed(api)] == [first]

    shop.deleted("1", at=20)
    eu.deleted("1", at=20)
    rows = {row["id"]: row for row in feed(api, include="removed")}
    assert rows.keys() == {first, second}
    assert (rows[first]["removed"], rows[first]["merged_into"]) == (True, None)
    assert datetime.fromisoformat(rows[first]["updated_at"]) > datetime.fromisoformat(rows[second]["updated_at"])
    assert feed(api) == []


@mirrored
@pytest.mark.parametrize("rest", ["", "?erase=true"])
def test_a_contact_that_a_request_deletes_is_in_the_feed(shop, api, rest):
    shop.seen("1", email=E1, name="Ayu Lestari", at=0)
    contact_id = api.id("shop:1")
    api.write("DELETE", contact_id, rest)

    (row,) = feed(api, include="removed")
    assert row == {"id": contact_id, "updated_at": row["updated_at"], "removed": True, "merged_into": None}


@mirrored
def test_a_contact_that_comes_back_is_a_contact_in_the_feed(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    first = api.id("shop:1")
    eu.seen("1", email=E2, at=1)
    second = api.id("eu:1")
    eu.seen("1", email=E1, at=10)
    assert api.id(second) == first
    eu.seen("1", email=E3, at=20)

    rows = {row["id"]: row for row in feed(api, include="removed")}
    assert {id_: row.get("email") for id_, row in rows.items()} == {first: E1, second: E3}
    assert not any(row.get("removed") for row in rows.values())


@mirrored_at_times
def test_a_mirror_holds_no_ghosts_after_six_rounds(shop, eu, woo, api):
    people = range(1, 4)
    for round_ in range(6):
        at = round_ * 100
        for number in people:
            shop.seen(str(number), email=f"person{number}@example.com", at=at, created=-number)
            eu.seen(str(number), email=f"other{number}-{round_ % 2}@example.com", at=at + 1)
            woo.guest(email=f"person{number}@example.com", phone=f"+62812735091{number}0", at=at + 2)
        assert len(api.rows(None)) == 2 * len(people)
        for number in people:
            eu.seen(str(number), email=f"person{number}@example.com", at=at + 10)
        assert len(api.rows(None)) == len(people)
        shop.deleted("1", at=at + 20)
        eu.deleted("1", at=at + 20)
        shop.consent("2", "email", "unsubscribed" if round_ % 2 else "subscribed", "person2@example.com", at=at + 30)
        api.write("POST", "shop:3", "/tags", name=f"round {round_}")
    assert api.sendable("shop:2") in REFUSED


@mirrored
def test_a_mirror_hears_what_an_edit_changes_for_others(shop, woo, api):
    shop.seen("1", email=E1, phone=P1, name="Anna Berg", at=0)
    woo.seen("1", email=E2, name="Boris Klein", at=0)
    before = changed_at(api, "shop:1")
    api.write("PATCH", "woo:1", custom_fields={"tier": "gold"})
    assert changed_at(api, "shop:1") == before
    woo.seen("1", email=E2, phone=P1, name="Boris Klein", at=10, created=-100)
    assert api.id(P1) == api.id("woo:1") != api.id("shop:1")
    api.write("PATCH", "woo:1", phone_number=P2)
    assert changed_at(api, "shop:1") > before
    api.write("PUT", "shop:1", "/consent/sms", status="opted_out", occurred_at=written(30))
    assert api.sendable("shop:1", "sms") in REFUSED
