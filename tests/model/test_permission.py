"""The model's consent and suppressions: examples A and B1 of the issue, and the rules of sections 4 and 6."""

import pytest

from tests.model.history import NO, PENDING, UNKNOWN, YES, Link, Suppression, guest_id
from tests.model.stories import (
    E1,
    E2,
    E3,
    EU,
    P1,
    P2,
    S,
    W,
    api_consent,
    edit,
    guest,
    merged,
    no,
    pending,
    people,
    removed,
    seen,
    sendable,
    unknown,
    world,
    yes,
)


def suppressed(reason, t, *, address=E1, lift=False, expires=None, scope="all"):
    return Suppression("esp", "email", address, reason, t, lift, expires, scope)


def answer(state, ref, channel="email", purpose="marketing"):
    return state.show(ref).answer(channel, purpose)


# A. "No" becomes "yes" without a newer yes


def test_a1_who_said_no_says_no_at_another_address_too():
    steps = (
        seen(W, "1", E2, P1),
        yes(W, "1", E2, t=15),
        seen(S, "1", E1, P1),
        no(S, "1", E1, t=35),
        seen(S, "1", E2, P1),
    )
    state = world(*steps)

    assert people(state) == {frozenset({"S1", "W1"})}
    assert sendable(state, (W, "1")) is None
    assert answer(state, (W, "1")).status == NO
    assert sendable(world(*steps, yes(S, "1", E2, t=60)), (W, "1")) == E2


def test_a2_a_deleted_customer_stays_a_passenger_whose_no_counts():
    steps = (
        seen(W, "1", E2, P1),
        yes(W, "1", E2, t=15),
        seen(S, "1", E1, P1),
        no(S, "1", E1, t=35),
        seen(S, "1", E2, P1),
    )
    state = world(*steps, removed(S, "1"))

    assert people(state) == {frozenset({"S1", "W1"})}
    assert sendable(state, (W, "1")) is None


def test_a3_edits_and_their_no_stay_with_the_person():
    both = ((S, "1"), (EU, "1"))
    state = world(
        seen(S, "1", E1, created=1),
        seen(EU, "1", E1, created=2),
        api_consent(NO, *both, channel="sms"),
        edit(*both, name="Ayu", tags=("vip",)),
        seen(EU, "1", E1, P1),
        yes(EU, "1", P1, t=15, channel="sms"),
        removed(S, "1"),
    )

    assert len(state.contacts) == 1
    shown = state.show((EU, "1"))
    assert (shown.name, shown.tags) == ("Ayu", ("vip",))
    assert answer(state, (EU, "1"), "sms").status == NO


def test_a4_the_longest_suppression_counts_until_an_explicit_lift():
    steps = (
        seen(S, "1", E1),
        yes(S, "1", E1, t=15),
        suppressed("spam_complaint", 25),
        suppressed("spam_complaint", 35, expires=45),
    )

    assert sendable(world(*steps, now=99), (S, "1")) is None
    assert sendable(world(*steps, yes(S, "1", E1, t=50), now=99), (S, "1")) is None
    assert sendable(world(*steps, suppressed("spam_complaint", 50, lift=True), now=99), (S, "1")) == E1


def test_a5_pending_answers_no_opt_out():
    out = no(S, "1", E1, t=15, purpose="transactional")
    state = world(seen(S, "1", E1), out, pending(S, "1", E1, t=35, purpose="transactional"))

    assert sendable(state, (S, "1"), purpose="transactional") is None
    assert answer(state, (S, "1"), purpose="transactional").status == NO


def test_a6_a_newer_yes_with_the_address_replaces_the_records_own_no_without_it():
    steps = (seen(S, "1"), no(S, "1", t=15), seen(S, "1", E1), yes(S, "1", E1, t=35))

    assert sendable(world(*steps), (S, "1")) == E1
    assert sendable(world(*steps, seen(W, "1", E1, E2), no(W, "1", t=55)), (S, "1")) is None


# B1. A "yes" for an address that nobody said yes for


def test_b1_a_changed_address_does_not_inherit_the_yes():
    steps = (seen(S, "1", E1, P1), yes(S, "1", E1, t=15), seen(W, "1", E1, P1), seen(S, "1", E2, P1))

    assert answer(world(*steps), (S, "1")).address == E1
    assert sendable(world(*steps), (S, "1")) == E1
    assert sendable(world(*steps, no(W, "1", E1, t=55)), (S, "1")) is None


def test_b1_reverse_the_first_address_with_its_own_yes_that_nothing_refuses_is_named():
    state = world(
        seen(S, "1", E1, P1, created=1),
        seen(W, "1", E2, P1, created=2),
        (yes(S, "1", E1, t=25), yes(W, "1", E2, t=25)),
        suppressed("invalid_address", 35),
    )

    assert state.show((S, "1")).email == E1
    assert sendable(state, (S, "1")) == E2


# The rules one by one


def test_a_no_about_an_address_closes_it_for_everybody_who_holds_it():
    held = (seen(S, "1", E1), yes(S, "1", E1, t=15))

    assert sendable(world(*held), (S, "1")) == E1
    assert sendable(world(*held, no("esp", None, E1, t=35)), (S, "1")) is None
    assert sendable(world(*held, no(S, "2", E1, t=35)), (S, "1")) is None
    assert sendable(world(*held, no(S, "2", t=35)), (S, "1")) == E1


def test_a_yes_by_somebody_else_or_nobody_opens_nothing():
    said = (yes(S, "2", E1, t=15), yes("esp", None, E1, t=15))

    assert sendable(world(seen(S, "1", E1), said), (S, "1")) is None


def test_on_equal_times_the_no_counts():
    assert sendable(world(seen(S, "1", E1), (yes(S, "1", E1, t=15), no(S, "1", E1, t=15))), (S, "1")) is None


def test_a_recycled_number_does_not_inherit_the_yes_of_its_former_owner():
    state = world(
        seen(S, "1", E1, P1), yes(S, "1", P1, t=15, channel="sms"), seen(S, "1", E1, None), seen(W, "1", E2, P1)
    )

    assert sendable(state, (W, "1"), "sms") is None


def test_a_yes_without_an_address_is_for_what_was_claimed_by_then_else_for_the_first():
    late = yes(S, "1", t=25)

    assert sendable(world(seen(S, "1", E1), late, seen(S, "1", E2)), (S, "1")) is None
    assert sendable(world(seen(S, "1", E1), seen(S, "1", E2), late), (S, "1")) == E2
    assert sendable(world(seen(S, "1"), yes(S, "1", t=15), seen(S, "1", E1), seen(S, "1", E2)), (S, "1")) is None
    assert sendable(world(seen(S, "1"), yes(S, "1", t=15), seen(S, "1", E1)), (S, "1")) == E1


def test_a_yes_through_the_api_is_for_the_address_that_was_shown():
    steps = (seen(S, "1", E1), api_consent(YES, (S, "1"), address=E1))

    assert sendable(world(*steps), (S, "1")) == E1
    assert sendable(world(*steps, seen(S, "1", E2)), (S, "1")) is None


def test_a_yes_through_the_api_with_no_address_shown_is_for_the_first_that_a_record_of_its_list_claims():
    steps = (seen(S, "1"), api_consent(YES, (S, "1")), seen(S, "1", E1))

    assert sendable(world(*steps), (S, "1")) == E1
    assert sendable(world(*steps, seen(S, "1", E2)), (S, "1")) is None
    assert sendable(world(*steps[:2], seen(W, "1", E1), Link((S, "1"), (W, "1"))), (S, "1")) is None


def test_a_yes_without_a_time_is_a_baseline_and_a_no_counts_from_the_sending_time():
    assert sendable(world(seen(S, "1", E1), no(S, "1", E1, t=5), yes(S, "1", E1)), (S, "1")) is None
    assert sendable(world(seen(S, "1", E1), no(S, "1", E1), yes(S, "1", E1, t=15)), (S, "1")) is None
    assert sendable(world(seen(S, "1", E1), no(S, "1", E1), yes(S, "1", E1, t=25)), (S, "1")) == E1


def test_a_clock_that_is_wrong_opens_nothing_and_outlives_nothing():
    ahead = {"sent": {2: 999}}

    assert sendable(world(seen(S, "1", E1), yes(S, "1", E1, t=999), **ahead), (S, "1")) == E1
    assert sendable(world(seen(S, "1", E1), yes(S, "1", E1, t=999), no(S, "1", E1, t=5), **ahead), (S, "1")) is None
    assert sendable(world(seen(S, "1", E1), no(S, "1", E1, t=999), yes(S, "1", E1, t=30), **ahead), (S, "1")) == E1


def test_a_yes_with_a_time_counts_though_it_repeats_the_last_status():
    steps = (seen(S, "1", E1), yes(S, "1", E1, t=15), seen(W, "1", E1), no(W, "1", E1, t=35))

    assert sendable(world(*steps, yes(S, "1", E1, t=50)), (S, "1")) == E1
    assert sendable(world(*steps, yes(W, "1", E1, t=50)), (S, "1")) == E1
    assert sendable(world(*steps, api_consent(YES, (S, "1"), address=E1)), (S, "1")) == E1


def test_a_no_that_repeats_itself_without_a_time_is_answered_by_the_yes_after_the_first():
    answered = (seen(S, "1", E1), no(S, "1", E1), seen(W, "1", E1), yes(W, "1", E1, t=35))

    assert sendable(world(*answered, no(S, "1", E1)), (S, "1")) == E1
    assert sendable(world(*answered, no(S, "1", E1, t=50)), (S, "1")) is None


def test_a_records_newer_pending_replaces_its_own_yes():
    steps = (seen(S, "1", E1), yes(S, "1", E1, t=15))

    assert answer(world(*steps, pending(S, "1", E1, t=30)), (S, "1")).status == PENDING
    assert answer(world(*steps, pending(S, "1", t=30)), (S, "1")).status == PENDING
    assert sendable(world(*steps, pending(S, "1", E2, t=30)), (S, "1")) == E1
    assert sendable(world(*steps, pending(W, "9", E1, t=30)), (S, "1")) == E1
    assert sendable(world(*steps, unknown(S, "1", E1, t=30)), (S, "1")) == E1


def test_a_guests_yes_answers_only_what_guests_said():
    one = guest_id(E1, None)
    ordered = (seen(S, "1", E1), guest(S, 20, E1), yes(S, one, E1, t=30))

    assert sendable(world(*ordered), (S, "1")) == E1
    assert sendable(world(*ordered, no(S, one, E1, t=25)), (S, "1")) == E1
    assert sendable(world(*ordered, no(S, "1", E1, t=25)), (S, "1")) is None
    assert sendable(world(*ordered, no("esp", None, E1, t=25)), (S, "1")) is None


def test_a_guests_no_is_for_its_own_address_only():
    one = guest_id(E1, None)
    steps = (seen(S, "1", E1, P1), seen(W, "1", E2, P1), guest(S, 20, E1), yes(W, "1", E2, t=25))

    assert sendable(world(*steps, no(S, one, E1, t=45)), (W, "1")) == E2
    assert sendable(world(*steps, no(S, "1", E1, t=45)), (W, "1")) is None


def test_c6_a_merge_does_not_bring_back_an_opt_out_that_was_answered():
    steps = (seen(S, "1", E1), no(S, "1", E1, t=5), yes(S, "1", E1, t=25), seen(S, "2", E1), merged(S, "2", "1"))

    assert sendable(world(*steps), (S, "2")) == E1


def test_a_merged_away_record_can_still_say_no_but_its_yes_counts_up_to_the_merge():
    steps = (seen(S, "1", E1), seen(S, "2", E2), merged(S, "2", "1", t=30), seen(S, "2", E1))

    assert sendable(world(*steps, yes(S, "1", E1, t=30)), (S, "2")) == E1
    assert sendable(world(*steps, yes(S, "1", E1, t=31)), (S, "2")) is None
    assert sendable(world(*steps, yes(S, "2", E1, t=31), no(S, "1", t=55)), (S, "2")) is None


@pytest.mark.parametrize(("reason", "address"), [("unsubscribed", E1), ("stop_keyword", E1), ("hard_bounce", None)])
def test_a_newer_opt_in_lifts_an_unsubscription_and_never_a_bounce(reason, address):
    steps = (seen(S, "1", E1), (yes(S, "1", E1, t=5), no(S, "1", E1, t=15)), suppressed(reason, 15))

    assert sendable(world(*steps), (S, "1")) is None
    assert sendable(world(*steps, yes(S, "1", E1, t=40)), (S, "1")) == address
    assert sendable(world(*steps, yes(W, "9", E1, t=40)), (S, "1")) is None


def test_a_guests_opt_in_lifts_nothing():
    one = guest_id(E1, None)
    steps = (seen(S, "1", E1), (guest(S, 5, E1), yes(S, "1", E1, t=5)), suppressed("unsubscribed", 15))

    assert sendable(world(*steps, yes(S, one, E1, t=40)), (S, "1")) is None


def test_a_suppression_of_the_same_time_as_a_lift_stays():
    steps = (seen(S, "1", E1), yes(S, "1", E1, t=15), (suppressed("manual", 25), suppressed("manual", 25, lift=True)))

    assert sendable(world(*steps), (S, "1")) is None


def test_a_contact_lists_each_suppression_with_its_longest_expiry_and_it_ends_then():
    steps = (seen(S, "1", E1), yes(S, "1", E1, t=15), suppressed("soft_bounce", 25, expires=60))
    steps = (*steps, suppressed("soft_bounce", 35, expires=50))

    state = world(*steps, now=59)
    assert state.show((S, "1")).suppressions == (("email", E1, "all", "soft_bounce", 60),)
    assert sendable(state, (S, "1")) is None
    assert sendable(world(*steps, now=60), (S, "1")) == E1


def test_the_address_shown_comes_first_then_other_owned_ones_then_contested_ones():
    state = world(
        seen(S, "1", E1, P1, created=5),
        seen(S, "2", E1, created=1),
        seen(W, "1", E2, P1, created=2),
        seen(EU, "1", E3, P1, created=3),
    )

    assert state.addresses(state.contact((S, "1")), "email") == [E2, E3, E1]
    edited = edit((W, "1"), email=E3)
    other = world(seen(S, "1", E1), seen(W, "1", E2), edited)
    assert other.addresses(other.contact((W, "1")), "email") == [E3, E2]


def test_if_every_open_address_is_suppressed_the_first_open_one_is_named():
    steps = (seen(S, "1", E1, P1, created=1), seen(W, "1", E2, P1, created=2), yes(W, "1", E2, t=25))
    shown = answer(world(*steps, suppressed("hard_bounce", 35, address=E2)), (S, "1"))

    assert (shown.address, shown.is_open, shown.sendable) == (E2, True, False)


def test_a_time_after_the_sending_time_is_replaced_by_it():
    steps = (seen(S, "1", E1), no(S, "1", E1, t=23), yes(W, "9", E1, t=1))

    assert sendable(world(*steps, yes(S, "1", E1, t=22)), (S, "1")) == E1


def test_a_suppression_covers_the_purposes_of_its_scope():
    state = world(seen(S, "1", E1), yes(S, "1", E1, t=15), suppressed("manual", 20, scope="marketing"))

    assert sendable(state, (S, "1")) is None
    assert sendable(state, (S, "1"), purpose="transactional") == E1


def test_other_purposes_than_marketing_need_no_yes():
    state = world(seen(S, "1", E1), unknown(S, "1", E1, t=15, purpose="transactional"))

    assert sendable(state, (S, "1"), purpose="transactional") == E1
    assert answer(state, (S, "1"), purpose="transactional").status == UNKNOWN
    assert sendable(state, (S, "1")) is None


def test_where_records_part_each_side_has_what_its_own_records_and_addresses_say():
    together = (seen(S, "1", E1, P1), seen(W, "1", E2, P1), yes(W, "1", E2, t=25), no(S, "1", E1, t=35))

    assert sendable(world(*together), (W, "1")) is None
    assert sendable(world(*together, seen(W, "1", E2, P2)), (W, "1")) == E2


def test_without_an_address_the_contact_shows_what_its_records_said():
    said = (seen(S, "1", E1), no(S, "1", t=15, channel="sms"))

    assert answer(world(*said), (S, "1"), "sms").status == NO
    assert answer(world(*said, yes(S, "1", t=30, channel="sms")), (S, "1"), "sms").status == YES
    assert sendable(world(*said, yes(S, "1", t=30, channel="sms")), (S, "1"), "sms") is None


def test_the_consent_of_a_customer_never_seen_makes_no_contact_but_closes_the_address():
    assert world(no(S, "9", E3, t=5), yes(S, "9", E3, t=6)).contacts == {}
    assert sendable(world(no(S, "9", E1, t=9), seen(S, "1", E1), yes(S, "1", E1, t=5)), (S, "1")) is None
