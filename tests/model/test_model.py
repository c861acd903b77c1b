"""The model's people: examples B2, C and D of the issue, and the rules of sections 4 and 5 one by one."""

from tests.model.history import Apart, Link, Seen, Suppression, TagsChanged, TagsRead, guest_id
from tests.model.mirror import rows_due
from tests.model.model import World
from tests.model.stories import (
    E1,
    E2,
    E3,
    EU,
    MALLORY,
    P1,
    P2,
    P3,
    S,
    W,
    delete,
    edit,
    guest,
    merged,
    no,
    people,
    removed,
    seen,
    sendable,
    story,
    world,
    yes,
)


def together(*ids):
    return {frozenset(ids)}


def alone(*ids):
    return {frozenset((id_,)) for id_ in ids}


# B2. Guests are passengers, and their other identifiers are evidence


def test_b2_anyones_order_with_my_number_does_not_take_me_over():
    state = world(seen(S, "1", phone=P1), yes(S, "1", t=15, channel="sms"), guest(S, 30, MALLORY, P1))

    assert people(state) == alone("S1", f"Sguest:email:{MALLORY}")
    assert state.show((S, "1")).email is None
    assert state.people.resolve(("phone", P1)) == {(S, "1")}
    assert state.people.resolve(("email", MALLORY)) != {(S, "1")}
    assert sendable(state, (S, "1"), "sms") == P1
    assert state.show((S, guest_id(MALLORY, None))).phone is None


def test_b2_a_checkout_with_the_email_of_one_and_the_number_of_another_joins_nobody():
    state = world(seen(S, "1", E1), seen(W, "1", phone=P1), guest(S, 30, E1, P1))

    assert people(state) == {frozenset({"S1", f"Sguest:email:{E1}"}), frozenset({"W1"})}
    assert state.show((S, "1")).evidence == ((("phone", P1), False),)


def test_b2_checkouts_with_my_number_are_no_crowd():
    orders = [guest(S, 20 + n, f"buyer{n}@example.com", P1) for n in range(5)]

    assert world(seen(S, "1", phone=P1), *orders, crowd=3).people.resolve(("phone", P1)) == {(S, "1")}
    assert world(*orders, crowd=3).people.resolve(("phone", P1)) is None
    assert world(orders[0]).people.resolve(("phone", P1)) is not None


def test_a_guest_gives_values_only_to_a_contact_without_a_customer():
    order = guest(S, 5, E1, P1, "Ayu Lestari")

    shown = world(order).show((S, guest_id(E1, None)))
    assert (shown.name, shown.email, shown.phone) == ("Ayu Lestari", E1, P1)
    shown = world(order, seen(S, "1", E1)).show((S, "1"))
    assert (shown.name, shown.email, shown.phone) == (None, E1, None)


def test_guests_alone_are_one_person_by_the_same_key_only():
    state = world(guest(S, 5, E1, P1), guest(W, 6, E1), guest(W, 7, E2, P1), guest(EU, 8, None, P1))

    assert people(state) == {
        frozenset({f"Sguest:email:{E1}", f"Wguest:email:{E1}"}),
        frozenset({f"Wguest:email:{E2}"}),
        frozenset({f"EUguest:phone:{P1}"}),
    }


# C. Who is who


def test_c1_a_shared_number_joins_nobody_with_another_name():
    family = (seen(S, "1", E1, P1, "Ayu Lestari"), seen(W, "1", E2, P1, "Budi Santoso"))
    state = world(*family)

    assert people(state) == alone("S1", "W1")
    assert state.people.contested() == {("phone", P1)}
    assert people(world(*family, seen(W, "1", name="A. Lestari"))) == together("S1", "W1")
    assert people(world(*family, seen(W, "1", E1))) == together("S1", "W1")


def test_c1_emails_are_worked_before_numbers():
    """S1 and EU1 share the e-mail. Numbers first would have joined W1 with S1, whose name it does not contradict."""
    state = world(
        seen(S, "1", E1, P1, created=1),
        seen(EU, "1", E1, name="Budi Santoso", created=3),
        seen(W, "1", E2, P1, "Ayu Lestari", created=2),
    )

    assert people(state) == {frozenset({"S1", "EU1"}), frozenset({"W1"})}


def test_c1_the_names_of_passengers_do_not_count():
    order = guest(EU, 5, None, P1, "Budi Santoso")
    state = world(order, seen(S, "1", E1, P1), seen(W, "1", E2, P1, "Ayu Lestari"), removed(EU, guest_id(None, P1)))

    assert frozenset({"S1", "W1"}) <= next(iter(people(state)))


def test_c2_an_extension_is_part_of_the_key():
    assert people(world(seen(S, "1", phone=f"{P1};ext=1"), seen(W, "1", phone=f"{P1};ext=2"))) == alone("S1", "W1")


def test_c4_a_returning_guest_keeps_its_age_and_the_newest_name():
    steps = (guest(S, 5, E1, None, "Ayu"), guest(W, 15, E1, None, "A. Lestari"), guest(S, 25, E1, None, "Ayu Lestari"))
    state = world(*steps)

    assert state.records[S, guest_id(E1, None)].created() == 5
    assert state.show((W, guest_id(E1, None))).name == "Ayu Lestari"


def test_c5_until_the_survivor_is_seen_the_loser_stands():
    steps = (seen(S, "1", E1, P1, "Ayu"), TagsRead(S, "1", ("vip",), None), merged(S, "2", "1"))

    shown = world(*steps).show((S, "1"))
    assert (shown.name, shown.email, shown.tags) == ("Ayu", E1, ("vip",))
    state = world(*steps, seen(S, "2", E2, None, "Ayu L."))
    shown = state.show((S, "2"))
    assert people(state) == together("S1", "S2")
    assert (shown.name, shown.email, shown.tags) == ("Ayu L.", E2, ())
    assert state.people.resolve(("phone", P1)) == {(S, "1"), (S, "2")}


def test_what_was_merged_away_claims_for_its_survivor_after_all_others():
    old = (seen(S, "1", E1, created=1), seen(S, "2", created=2), merged(S, "2", "1"))

    assert people(world(*old, seen(W, "1", E1, created=9))) == together("S1", "S2", "W1")
    apart = world(*old, seen(W, "1", E1, created=9), Apart((S, "2"), (W, "1")))
    assert apart.people.owner(("email", E1)) == {(W, "1")}


def test_c7_a_guest_is_a_guest_whichever_envelope_mentions_it_first():
    one = guest_id(E1, None)

    assert World(story(no(S, one, E1), guest(S, 5, E1))).people.guests == {(S, one)}


def test_c8_a_write_with_the_pair_of_a_merged_away_customer_speaks_for_the_survivor():
    state = world(seen(S, "1", E1), seen(S, "2", E2), merged(S, "2", "1"))

    assert state.people.speaks_for((S, "1")) == (S, "2")
    assert world(seen(S, "1", E1), merged(S, "2", "1")).people.speaks_for((S, "1")) == (S, "1")


def test_c9_what_is_only_mentioned_makes_no_contact():
    said = (no(S, "1", E1), TagsChanged(S, "2", ("vip",), True, None), removed(S, "3"), merged(S, "4", "5"))

    assert world(*said).contacts == {}
    assert world(*said, seen(S, "2")).show((S, "2")).tags == ("vip",)


def test_c10_an_operators_link_and_a_later_merge_both_stand():
    steps = (seen(S, "1", E1), seen(S, "2", E2), Link((S, "1"), (S, "2")))

    assert people(world(*steps)) == together("S1", "S2")
    state = world(*steps, merged(S, "2", "1"))
    assert people(state) == together("S1", "S2")
    assert state.people.survivors == {(S, "1"): (S, "2")}


def test_an_operators_apart_beats_a_merge_and_the_loser_stays_itself():
    steps = (seen(S, "1", E1), seen(S, "2", E2), merged(S, "2", "1"), Apart((S, "1"), (S, "2")))

    assert people(world(*steps)) == alone("S1", "S2")
    assert people(world(*steps, Link((S, "2"), (S, "1")))) == together("S1", "S2")


def test_a_link_that_would_join_what_stands_apart_is_void():
    state = world(
        (seen(S, "1"), seen(W, "1"), seen(EU, "1")),
        Apart((S, "1"), (W, "1")),
        Link((W, "1"), (EU, "1")),
        Link((S, "1"), (EU, "1")),
    )

    assert people(state) == {frozenset({"S1", "EU1"}), frozenset({"W1"})}
    assert [(void.a, void.b) for void in state.people.decided.void] == [((W, "1"), (EU, "1"))]


def test_in_a_circle_of_merges_the_oldest_is_void():
    state = world(seen(S, "1"), seen(S, "2"), merged(S, "2", "1"), merged(S, "1", "2"))

    assert state.people.survivors == {(S, "2"): (S, "1")}


def test_c12_a_source_clock_ahead_does_not_outlive_a_delete():
    ahead = Seen(S, "1", 9999, E1)

    assert len(world(ahead, sent={1: 9999}).contacts) == 1
    assert world(ahead, delete((S, "1")), sent={1: 9999}).contacts == {}


def test_two_live_customers_of_a_source_are_two_people():
    state = world(seen(S, "1", E1, created=1), seen(S, "2", E1, created=2), seen(W, "1", E1, created=3))

    assert people(state) == {frozenset({"S1", "W1"}), frozenset({"S2"})}
    assert state.people.owner(("email", E1)) == {(S, "1"), (W, "1")}
    assert people(world(seen(S, "1", E1), seen("api", "x", E1), seen("api", "y", E1))) == together(
        "S1", "api x", "api y"
    )


def test_the_verified_claim_is_the_strongest():
    state = world(seen(S, "1", E1, created=1), seen(S, "2", E1, created=2, verified=True))

    assert state.people.owner(("email", E1)) == {(S, "2")}


def test_a_placeholder_or_a_crowded_value_joins_nobody_unless_somebody_proved_it():
    machine = (seen(S, "1", "noreply@example.com"), seen(W, "1", "noreply@example.com"))
    crowd = [seen(S, str(n), E1, created=n) for n in range(1, 5)]

    assert people(world(*machine)) == alone("S1", "W1")
    assert world(*crowd, crowd=4).people.owner(("email", E1)) == {(S, "1")}
    state = world(*crowd, crowd=3)
    assert state.people.owner(("email", E1)) is None
    assert state.show((S, "2")).email == E1
    proved = world(*crowd, seen(W, "1", E1, verified=True), crowd=3)
    assert proved.people.owner(("email", E1)) == {(W, "1"), (S, "1")}


def test_in_a_component_above_the_limit_only_decisions_join():
    chain = (seen(S, "1", E1), seen(W, "1", E1), seen(EU, "1", E2), Link((EU, "1"), (S, "1")))

    assert len(world(*chain, component=3).contacts) == 1
    assert people(world(*chain, component=2)) == {frozenset({"S1", "EU1"}), frozenset({"W1"})}


# Passengers


def test_a_removed_record_sits_value_by_value():
    """The e-mail seats it with nobody, because S2 is another customer of the same shop. The number does."""
    steps = (seen(S, "1", E1, P1, created=1), seen(S, "2", E1, created=2), seen(W, "1", E2, P1), removed(S, "1"))

    assert people(world(*steps)) == {frozenset({"S2"}), frozenset({"S1", "W1"})}
    again = seen(S, "3", E1, created=45)
    assert frozenset({"S1", "S3"}) in people(world(seen(S, "1", E1, created=1), removed(S, "1"), again))


def test_a_removed_record_sits_with_the_last_who_claimed_its_value_if_nobody_does_now():
    """Last is who was shown with it by the newest statement, whoever kept it longer."""
    steps = (
        seen(S, "1", E1),
        seen(EU, "1", E1),
        seen(W, "1", E1),
        seen(W, "1", E2),
        seen(EU, "1", E3),
        removed(S, "1"),
    )

    assert people(world(*steps)) == {frozenset({"S1", "W1"}), frozenset({"EU1"})}


def test_a_removed_record_whom_nobody_knows_sits_nowhere():
    assert world(seen(S, "1", E1), removed(S, "1")).contacts == {}


def test_a_removed_record_is_revived_with_what_it_says_since():
    state = world(seen(S, "1", E1, name="Ayu"), removed(S, "1"), seen(S, "1", phone=P1))

    assert (state.show((S, "1")).name, state.show((S, "1")).phone) == (None, P1)


def test_the_names_of_guests_who_sit_with_a_customer_seat_nobody_and_part_nobody():
    order = guest(W, 5, E1, None, "Budi Santoso")
    steps = (order, seen(S, "1", E1, P1), seen(EU, "1", None, P1, "Ayu Lestari"), removed(EU, "1"))

    assert len(world(*steps).contacts) == 1
    assert world(*steps).contact((EU, "1")) == world(*steps).contact((S, "1"))


def test_an_edit_overrides_and_claims_for_the_record_that_it_sits_with():
    both = ((S, "1"), (W, "1"))
    steps = (seen(S, "1", E1, name="Ayu"), seen(W, "1", E1), edit(*both, email=E2, name="Ayu Lestari"))

    shown = world(*steps).show((S, "1"))
    assert (shown.name, shown.email) == ("Ayu Lestari", E2)
    state = world(*steps, removed(S, "1"))
    assert state.show((W, "1")).email == E2
    assert state.people.resolve(("email", E2)) == state.contact((W, "1"))
    assert world(*steps, edit(*both, email=None)).show((S, "1")).email == E1
    assert world(*steps, removed(S, "1"), removed(W, "1")).people.resolve(("email", E2)) is None


def test_an_edit_whose_list_has_nobody_left_claims_nothing_but_stays_with_the_person():
    state = world(seen(S, "1", E1), edit((S, "1"), phone=P1, name="Ayu"), removed(S, "1"), seen(W, "1", E1))

    shown = state.show((W, "1"))
    assert (shown.name, shown.phone) == ("Ayu", None)
    assert state.people.resolve(("phone", P1)) is None


def test_a_delete_keeps_other_records_of_the_address_removed_until_they_say_something_newer():
    held = (("email", E1),)
    late = seen(W, "1", E1, name="Ayu", t=5)

    assert world(seen(S, "1", E1), delete((S, "1"), addresses=held), late).contacts == {}
    state = world(seen(S, "1", E1), delete((S, "1"), addresses=held), late, seen(W, "1", E2))
    assert (state.show((W, "1")).name, state.show((W, "1")).email) == (None, E2)
    assert len(world(seen(S, "1", E1), delete((S, "1"), addresses=held), seen(W, "1", E1)).contacts) == 1
    assert world(seen(S, "1", E1), delete((S, "1"), addresses=held), guest(W, 5, E1)).contacts == {}
    assert len(world(seen(S, "1", E1), delete((S, "1"), addresses=held), guest(W, 25, E1)).contacts) == 1
    assert len(world(seen(W, "1", E1), seen(W, "1", E2), delete((S, "1"), addresses=held)).contacts) == 1


def test_a_tag_that_is_older_than_the_whole_set_changes_nothing():
    steps = (seen(S, "1"), TagsRead(S, "1", ("vip",), 15), TagsChanged(S, "1", ("old",), True, 14))

    assert world(*steps).show((S, "1")).tags == ("vip",)
    assert world(*steps, TagsChanged(S, "1", ("vip",), False, 16)).show((S, "1")).tags == ()


# D. Mirrors


def feed(before, after):
    """Return whom the feed owes a row; the contacts are named after their least record."""
    rows = rows_due(
        *({min(contact): shown for contact, shown in state.contacts.items()} for state in (before, after)), {}
    )
    return set(rows)


def test_d1_a_no_about_a_shared_address_touches_everybody_who_holds_it():
    steps = (seen(W, "1", E1, created=1), seen(W, "2", E1, created=2), yes(W, "2", E1, t=15))
    before, after = world(*steps), world(*steps, no(W, "1", E1, t=45))

    assert feed(before, after) == {(W, "1"), (W, "2")}
    suppression = Suppression("esp", "email", E1, "hard_bounce", 45)
    assert feed(before, world(*steps, suppression)) == {(W, "1"), (W, "2")}


def test_d3_a_lost_identifier_is_in_the_feed():
    steps = (seen(S, "1", E1, P1, "Ayu", created=5), seen(W, "1", E2, P2, "Budi"))

    assert feed(world(*steps), world(*steps, seen(W, "1", phone=P1, created=1))) == {(S, "1"), (W, "1")}


def test_d4_a_contact_that_is_no_more_is_in_the_feed():
    steps = (seen(S, "1", E1), seen(W, "1", E2, P3))

    assert feed(world(*steps), world(*steps, removed(W, "1"))) == {(W, "1")}
