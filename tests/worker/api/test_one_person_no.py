"""A "no" stays a no: only a newer "yes" of the person, or a lift, opens what was refused (examples A1 to A6)."""

from itertools import permutations

import pytest

from tests.worker.api.one_person import E1, E2, E3, P1, P2, REFUSED
from tests.worker.api.shops import now, written

#: The calls come in the order of the test, so the order of deliveries does not matter.
calls = pytest.mark.parametrize("world", ["as sent"], indirect=True)
mirrored_calls = pytest.mark.parametrize("world", ["as sent, mirrored"], indirect=True)
EXPIRED = written(60)


def changed_address(shop, woo):
    """Somebody unsubscribes an address, and then takes the address that another shop has had a "yes" for."""
    woo.seen("1", email=E2, phone=P1, at=0, newsletter=True)
    shop.seen("1", email=E1, phone=P1, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=20)
    shop.seen("1", email=E2, phone=P1, at=30)


def changed_number(shop, eu):
    """The same with numbers."""
    eu.seen("1", email=E1, phone=P2, at=0)
    eu.consent("1", "sms", "subscribed", P2, at=5)
    shop.seen("1", email=E1, phone=P1, at=10)
    shop.consent("1", "sms", "unsubscribed", P1, at=20)
    shop.seen("1", email=E1, phone=P2, at=30)


# A1


def test_who_said_no_has_said_no_after_a_change_of_the_email(shop, woo, api):
    changed_address(shop, woo)

    assert api.id("shop:1") == api.id("woo:1")
    assert api.sendable("woo:1") == (False, "opted_out")


def test_who_said_no_has_said_no_after_a_change_of_the_number(shop, eu, api):
    changed_number(shop, eu)

    assert api.id("shop:1") == api.id("eu:1")
    assert api.sendable("eu:1", "sms") == (False, "opted_out")


def test_a_no_about_one_address_closes_the_other_addresses_of_the_person(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    eu.seen("1", email=E2, phone=P1, at=1)
    eu.consent("1", "email", "subscribed", E2, at=5)
    shop.consent("1", "email", "subscribed", E1, at=6)
    eu.consent("1", "email", "unsubscribed", E2, at=10)

    assert api.sendable("shop:1") in REFUSED


@pytest.mark.parametrize("who", ["shop", "eu"])
def test_a_newer_yes_to_the_address_answers_the_no(shop, eu, api, who):
    changed_number(shop, eu)
    {"shop": shop, "eu": eu}[who].consent("1", "sms", "subscribed", P2, at=40)

    assert api.sendable("shop:1", "sms") == (True, P2)


def test_a_yes_to_the_address_that_is_older_than_the_no_answers_nothing(shop, eu, api):
    changed_number(shop, eu)
    shop.consent("1", "sms", "subscribed", P2, at=19)

    assert api.sendable("shop:1", "sms") == (False, "opted_out")


def test_of_a_yes_and_a_no_at_the_same_time_the_no_counts(shop, eu, api):
    changed_number(shop, eu)
    shop.consent("1", "sms", "subscribed", P2, at=20)

    assert api.sendable("shop:1", "sms") == (False, "opted_out")


@pytest.mark.parametrize("is_ticked_again", [False, True])
def test_an_unticked_box_is_a_no_and_a_ticked_one_is_as_old_as_its_customer(shop, woo, api, is_ticked_again):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    woo.seen("1", email=E2, phone=P1, at=1, newsletter=True)
    woo.seen("1", email=E2, phone=P1, at=10, newsletter=False)
    if is_ticked_again:
        woo.seen("1", email=E2, phone=P1, at=20, newsletter=True)
    assert api.sendable("shop:1") in REFUSED

    shop.consent("1", "email", "subscribed", E1, at=30)
    assert api.sendable("woo:1") == (True, E1)


def test_a_no_closes_its_address_for_somebody_else_who_holds_it(shop, woo, api):
    shop.seen("1", email=E1, at=0)
    woo.seen("1", email=E1, phone=P1, at=1, newsletter=True)
    woo.seen("2", email=E2, billing_email=E1, at=2, newsletter=True)
    shop.consent("1", "email", "unsubscribed", E1, at=10)

    assert api.id("woo:1") != api.id("woo:2")
    assert api.sendable("woo:1") in REFUSED
    assert api.sendable("woo:2") == (True, E2)


# A2


def test_the_no_of_a_deleted_customer_counts_while_the_person_lives(shop, woo, api):
    changed_address(shop, woo)
    shop.deleted("1", at=40)

    assert api.id("woo:1") is not None
    assert api.sendable("woo:1") == (False, "opted_out")


def test_the_no_of_a_deleted_customer_counts_for_the_number_of_the_person(shop, eu, api):
    changed_number(shop, eu)
    shop.deleted("1", at=40)

    assert api.sendable("eu:1", "sms") == (False, "opted_out")


def test_the_no_of_a_deleted_customer_counts_for_whoever_shares_only_its_number(shop, woo, api):
    woo.seen("1", email=E2, phone=P1, at=0, newsletter=True)
    shop.seen("1", email=E1, phone=P1, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=20)
    shop.deleted("1", at=30)

    assert api.sendable("woo:1") == (False, "opted_out")


def test_the_no_of_a_deleted_customer_counts_when_the_person_has_changed_every_address(shop, woo, api):
    changed_address(shop, woo)
    shop.deleted("1", at=40)
    woo.seen("1", email=E3, phone=P2, at=50, newsletter=True)

    assert api.sendable("woo:1") == (False, "opted_out")


def test_the_no_of_a_deleted_customer_counts_when_the_shop_knows_the_person_again(shop, api):
    shop.seen("1", email=E1, at=10)
    shop.consent("1", "email", "unsubscribed", E1, at=20)
    shop.seen("1", email=E2, at=30)
    shop.deleted("1", at=40)
    shop.seen("2", email=E2, at=50)
    shop.consent("2", "email", "subscribed", E2, at=15)

    assert api.sendable("shop:2") == (False, "opted_out")


def test_a_newer_yes_answers_the_no_of_a_deleted_customer(shop, eu, api):
    changed_number(shop, eu)
    shop.deleted("1", at=40)
    eu.consent("1", "sms", "subscribed", P2, at=50)

    assert api.sendable("eu:1", "sms") == (True, P2)


def test_a_customer_who_is_deleted_and_made_again_has_said_no(shop, woo, api):
    changed_address(shop, woo)
    shop.deleted("1", at=40)
    shop.seen("1", email=E2, phone=P1, at=50)

    assert api.sendable("shop:1") == (False, "opted_out")


# A3


def test_an_opt_out_that_came_before_the_number_stays_with_the_person(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E1, at=10)
    contact_id = api.id("shop:1")
    api.write("PUT", contact_id, "/consent/sms", status="opted_out")
    eu.seen("1", email=E1, phone=P1, at=20)
    eu.consent("1", "sms", "subscribed", P1, at=15)

    assert api.sendable(contact_id, "sms") == (False, "opted_out")
    shop.deleted("1", at=30)
    assert api.id(contact_id) == api.id("eu:1") == contact_id
    assert api.sendable(contact_id, "sms") == (False, "opted_out")
    assert len(api.rows(None)) == 1


def test_an_opt_out_that_came_before_the_number_answers_to_a_newer_yes(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E1, at=10)
    api.write("PUT", "shop:1", "/consent/sms", status="opted_out", occurred_at=written(12))
    eu.seen("1", email=E1, phone=P1, at=20)
    eu.consent("1", "sms", "subscribed", P1, at=25)

    assert api.sendable("eu:1", "sms") == (True, P1)
    shop.deleted("1", at=30)
    assert api.sendable("eu:1", "sms") == (True, P1)


@pytest.mark.parametrize("gone", ["shop", "eu"])
def test_edits_stay_with_the_person_when_one_of_its_customers_is_deleted(shop, eu, api, gone):
    shop.seen("1", email=E1, name="Ayu", at=0)
    eu.seen("1", email=E1, name="Ayu", at=10)
    contact_id = api.id("shop:1")
    api.write("PATCH", contact_id, name="Ayu Lestari", phone_number=P2, custom_fields={"tier": "gold"})
    api.write("POST", contact_id, "/tags", name="vip")
    api.write("POST", contact_id, "/notes", body="Prefers the morning.")
    {"shop": shop, "eu": eu}[gone].deleted("1", at=30)

    (contact,) = api.rows(None)
    assert (contact["id"], contact["name"], contact["tags"]) == (contact_id, "Ayu Lestari", ["vip"])
    assert (contact["custom_fields"]["tier"], contact["phone_number"]) == ("gold", P2)
    assert api.id(P2) == contact_id
    assert [note["body"] for note in api.rows(contact_id, "/notes")] == ["Prefers the morning."]


def test_edits_are_no_person_and_come_back_with_the_person(shop, eu, api):
    shop.seen("1", email=E1, phone=P1, at=0)
    eu.seen("1", email=E1, at=10)
    api.write("PATCH", "shop:1", name="Ayu Lestari")
    api.write("PUT", "shop:1", "/consent/sms", status="opted_out")
    shop.deleted("1", at=30)
    eu.deleted("1", at=30)

    assert api.rows(None) == []
    eu.seen("1", email=E1, phone=P1, at=40)
    eu.consent("1", "sms", "subscribed", P1, at=41)
    assert api.contact("eu:1")["name"] == "Ayu Lestari"
    assert api.sendable("eu:1", "sms") == (False, "opted_out")


# A4


def suppressed(api, channel, reason, *statements):
    """Suppress an address at some minutes, each until a time, for ever (None), or lift that ("lift")."""
    for minute, until in statements:
        body = {"active": False} if until == "lift" else {"expires_at": until}
        api.write(
            "POST", "shop:1", "/suppressions", channel=channel, reason=reason, occurred_at=written(minute), **body
        )


@pytest.fixture
def subscriber(shop):
    """Somebody who has said yes to everything."""
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "email", "subscribed", E1, at=5)
    shop.consent("1", "sms", "subscribed", P1, at=5)


@calls
@pytest.mark.parametrize("reason", ["spam_complaint", "hard_bounce", "unsubscribed"])
@pytest.mark.parametrize("statements", [*permutations([(10, None), (20, EXPIRED)])])
def test_a_suppression_for_ever_outlasts_one_with_an_end(subscriber, api, reason, statements):
    suppressed(api, "email", reason, *statements)

    assert api.sendable("shop:1") == (False, "suppressed")
    (row,) = api.rows("shop:1", "/suppressions")
    assert (row["active"], row["expires_at"]) == (True, None)


@calls
@pytest.mark.parametrize("channel", ["email", "all"])
@pytest.mark.parametrize("days", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_of_several_suppressions_the_longest_counts(subscriber, api, channel, days):
    until = [written(now(days=number)) for number in days]
    suppressed(api, channel, "manual", (10, until[0]), (20, until[1]), (30, until[2]), (40, EXPIRED))

    assert api.sendable("shop:1") == (False, "suppressed")
    assert {row["expires_at"] for row in api.rows("shop:1", "/suppressions")} == {max(until)}


@calls
@pytest.mark.parametrize("statements", [*permutations([(10, None), (20, "lift"), (30, EXPIRED)])])
def test_a_lift_ends_every_suppression_before_it(subscriber, api, statements):
    suppressed(api, "email", "spam_complaint", (1, EXPIRED), *statements)

    assert api.sendable("shop:1") == (True, E1)


@calls
@pytest.mark.parametrize("statements", [*permutations([(10, EXPIRED), (20, "lift"), (30, None)])])
def test_a_lift_ends_no_suppression_after_it(subscriber, api, statements):
    suppressed(api, "email", "spam_complaint", (1, EXPIRED), *statements)

    assert api.sendable("shop:1") == (False, "suppressed")


@calls
@pytest.mark.parametrize("later", [EXPIRED, None])
def test_a_lift_at_the_time_of_a_suppression_does_not_lift_it(subscriber, api, later):
    suppressed(api, "email", "spam_complaint", (10, None), (10, "lift"), (20, later))

    assert api.sendable("shop:1") == (False, "suppressed")


@pytest.mark.parametrize(
    ("minute", "answer"),
    [
        pytest.param(5, (False, "suppressed"), id="before both"),
        pytest.param(15, (True, P1), id="between them"),
        pytest.param(25, (True, P1), id="after both"),
    ],
)
def test_a_newer_opt_in_lifts_a_stop_keyword_for_ever(shop, api, minute, answer):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", "sms", "subscribed", P1, at=minute)
    suppressed(api, "sms", "stop_keyword", (10, None), (20, EXPIRED))

    assert api.sendable("shop:1", "sms") == answer


def test_a_newer_opt_in_lifts_no_complaint(subscriber, shop, api):
    suppressed(api, "email", "spam_complaint", (10, None), (20, EXPIRED))
    shop.consent("1", "email", "subscribed", E1, at=30)

    assert api.sendable("shop:1") == (False, "suppressed")


def test_a_suppression_with_an_end_leaves_that_of_a_webhook_for_ever(subscriber, shop, api):
    suppressed(api, "email", "invalid_address", (20, EXPIRED))
    shop.consent("1", "email", "invalid", E1, at=10)

    assert api.sendable("shop:1") == (False, "suppressed")


@mirrored_calls
def test_a_mirror_hears_of_suppressions_and_lifts(subscriber, api):
    suppressed(api, "email", "manual", (10, None), (20, EXPIRED), (30, "lift"), (40, written(now(days=1))))

    assert api.sendable("shop:1") == (False, "suppressed")


# A5


@pytest.mark.parametrize("state", ["pending", "not_subscribed"])
def test_an_opt_out_stands_until_an_opt_in(shop, api, state):
    shop.seen("1", email=E1, phone=P1, at=0)
    for channel, address in (("email", E1), ("sms", P1), ("whatsapp", P1)):
        shop.consent("1", channel, "unsubscribed", address, at=10)
        shop.consent("1", channel, state, address, at=20)
        assert api.sendable("shop:1", channel) in REFUSED
        assert [row["status"] for row in api.rows("shop:1", "/consents") if row["channel"] == channel] == ["opted_out"]
        shop.consent("1", channel, "subscribed", address, at=30)
        assert api.sendable("shop:1", channel) == (True, address)


@pytest.mark.parametrize("address", [E1, None])
def test_an_opt_out_stands_whatever_another_shop_has_pending(shop, eu, api, address):
    shop.seen("1", email=E1, at=0)
    eu.seen("1", email=E1, at=1)
    shop.consent("1", "email", "unsubscribed", E1, at=10)
    eu.consent("1", "email", "pending", address, at=20)

    assert api.sendable("eu:1") in REFUSED


@calls
@pytest.mark.parametrize("purpose", ["transactional", "marketing"])
@pytest.mark.parametrize("later", ["pending", "unknown"])
@pytest.mark.parametrize("is_late", [False, True])
def test_an_opt_out_through_the_api_stands_for_its_purpose(shop, api, purpose, later, is_late):
    shop.seen("1", email=E1, at=0)
    said = [("opted_out", 10), (later, 20)]
    for status, minute in reversed(said) if is_late else said:
        about = {"purpose": purpose, "occurred_at": written(minute)}
        api.write("PUT", "shop:1", "/consent/email", status=status, **about)

    assert api.sendable("shop:1", "email", purpose) == (False, "opted_out")
    api.write("PUT", "shop:1", "/consent/email", status="opted_in", purpose=purpose, occurred_at=written(30))
    assert api.sendable("shop:1", "email", purpose) == (True, E1)


@mirrored_calls
def test_a_mirror_hears_of_opt_outs_and_opt_ins(shop, api):
    shop.seen("1", email=E1, at=0)
    for minute, status in enumerate(("opted_in", "pending", "opted_out", "pending", "opted_in")):
        api.write("PUT", "shop:1", "/consent/email", status=status, occurred_at=written(minute))

    assert api.sendable("shop:1") == (True, E1)


@calls
def test_pending_without_an_opt_out_refuses_no_receipt(shop, api):
    shop.seen("1", email=E1, at=0)
    api.write("PUT", "shop:1", "/consent/email", status="pending", purpose="transactional")

    assert api.sendable("shop:1", "email", "transactional") == (True, E1)


# A6

CHANNELS = pytest.mark.parametrize(("channel", "address"), [("email", E1), ("sms", P1), ("whatsapp", P1)])


@CHANNELS
def test_a_newer_yes_with_the_address_answers_a_no_without_one(shop, api, channel, address):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", channel, "unsubscribed", None, at=10)
    shop.consent("1", channel, "subscribed", address, at=20)

    assert api.sendable("shop:1", channel) == (True, address)


@CHANNELS
def test_a_newer_no_without_the_address_answers_a_yes_with_one(shop, api, channel, address):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", channel, "subscribed", address, at=10)
    shop.consent("1", channel, "unsubscribed", None, at=20)

    assert api.sendable("shop:1", channel) == (False, "opted_out")


@CHANNELS
def test_a_newer_yes_without_the_address_answers_a_no_with_one(shop, api, channel, address):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", channel, "unsubscribed", address, at=10)
    shop.consent("1", channel, "subscribed", None, at=20)

    assert api.sendable("shop:1", channel) == (True, address)


@CHANNELS
def test_without_any_address_the_newest_statement_of_the_record_counts(shop, api, channel, address):
    shop.seen("1", email=E1, phone=P1, at=0)
    shop.consent("1", channel, "unsubscribed", None, at=10)
    shop.consent("1", channel, "subscribed", None, at=20)
    assert api.sendable("shop:1", channel) == (True, address)

    shop.consent("1", channel, "unsubscribed", None, at=30)
    assert api.sendable("shop:1", channel) == (False, "opted_out")


def test_a_no_without_an_address_is_for_the_record_of_that_shop_alone_until_the_records_meet(shop, eu, api):
    shop.seen("1", email=E1, at=0)
    shop.consent("1", "email", "unsubscribed", None, at=10)
    eu.seen("1", email=E2, at=1)
    eu.consent("1", "email", "subscribed", E2, at=5)

    assert api.sendable("eu:1") == (True, E2)
    eu.seen("1", email=E2, phone=P1, at=20)
    shop.seen("1", email=E1, phone=P1, at=20)
    assert api.id("eu:1") == api.id("shop:1")
    assert api.sendable("eu:1") == (False, "opted_out")
