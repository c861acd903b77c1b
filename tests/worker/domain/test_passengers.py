"""Passengers: where guests, removed records and edits sit, and whose an identifier is that only they have."""

import pytest

from tests.worker.people import (
    EMAILS,
    LIMITS,
    PHONES,
    REMOVED,
    a_guest,
    a_person,
    a_record,
    an_edit,
    apart,
    link,
    mentioned,
    merge,
)
from worker.domain.grouping import Grouping, Limits
from worker.domain.passengers import place

A1, A2, B1, C1 = ("a", "1"), ("a", "2"), ("b", "1"), ("c", "1")
AYU, BUDI = "Ayu Sari", "Budi Hartono"


def placed(*records, decisions=(), limits=LIMITS, given_by_many=()):
    grouping = Grouping(records, decisions, limits, ())
    place(grouping, given_by_many)
    grouping.result.groups.sort()
    return grouping.result


def groups_of(*records, **more):
    return placed(*records, **more).groups


def test_a_guest_sits_with_the_customer_who_owns_its_key_and_joins_nobody_by_what_else_it_gave():
    guest = a_guest("a", EMAILS[0], PHONES[0])
    by_email, by_number = a_record("b", "1", EMAILS[0]), a_record("c", "1", PHONES[0])

    found = placed(guest, by_number, by_email)

    assert found.groups == [(B1, guest.ref), (C1,)]
    assert found.owners == {EMAILS[0]: B1, PHONES[0]: C1}
    assert found.contested == set()


def test_a_guest_sits_with_nobody_whose_name_disagrees_if_it_is_known_by_its_number():
    guest = a_guest("a", PHONES[0], name=BUDI)
    customer = a_record("b", "1", PHONES[0], name=AYU)

    found = placed(guest, customer)

    assert found.groups == [(guest.ref,), (B1,)]
    assert (found.owners, found.contested) == ({PHONES[0]: B1}, {PHONES[0]})
    assert [(refusal.claimant, refusal.reason) for refusal in found.refusals] == [(guest.ref, "names disagree")]
    assert groups_of(a_guest("a", EMAILS[0], name=BUDI), a_record("b", "1", EMAILS[0], name=AYU)) == [
        (B1, ("a", f"guest:email:{EMAILS[0][1]}"))
    ]


def test_guests_alone_are_one_person_by_the_same_key_only():
    one, two = a_guest("a", EMAILS[0], PHONES[0], created=1), a_guest("b", EMAILS[0], created=2)
    other = a_guest("c", EMAILS[1], PHONES[0])

    found = placed(other, two, one)

    assert found.groups == [(one.ref, two.ref), (other.ref,)]
    assert found.owners == {EMAILS[0]: one.ref, EMAILS[1]: other.ref}


def test_what_a_guest_gave_is_its_own_only_while_nobody_claims_it():
    guest = a_guest("a", EMAILS[0], PHONES[0], PHONES[1])

    assert placed(guest).owners[PHONES[0]] == guest.ref
    assert placed(guest, a_record("b", "1", PHONES[0])).owners[PHONES[0]] == B1
    keyed = a_guest("b", PHONES[0])
    assert placed(guest, keyed).owners == {EMAILS[0]: guest.ref, PHONES[0]: keyed.ref, PHONES[1]: guest.ref}
    assert PHONES[0] not in placed(guest, a_guest("a", EMAILS[1], PHONES[0])).owners


def test_what_more_guests_gave_than_a_crowd_has_is_nobodys():
    guests = [a_guest(source, EMAILS[0], PHONES[0]) for source in "abc"]

    assert PHONES[0] in placed(*guests, limits=Limits(crowd=3, component=99)).owners
    assert PHONES[0] not in placed(*guests, limits=Limits(crowd=2, component=99)).owners
    assert PHONES[0] not in placed(*guests, given_by_many=[PHONES[0]]).owners


def test_a_placeholder_is_no_key_of_a_guest():
    noreply, customer = a_guest("a", EMAILS[3]), a_record("b", "1", EMAILS[3])

    found = placed(noreply, customer)

    assert (len(found.groups), found.owners) == (2, {})


def test_a_removed_record_sits_with_who_claims_what_it_claimed_last():
    removed = a_record("a", "1", PHONES[0], EMAILS[0], once=[EMAILS[1]], removed=REMOVED)
    by_email, by_number = a_record("b", "1", EMAILS[0]), a_record("c", "1", PHONES[0])
    guest = a_guest("b", EMAILS[0])
    before = a_record("b", "2", EMAILS[1])

    assert groups_of(removed, by_number, by_email) == [(B1, A1), (C1,)]
    assert groups_of(removed, by_number, guest) == [(guest.ref, A1), (C1,)]
    assert groups_of(removed, by_number) == [(C1, A1)]
    assert groups_of(removed, guest) == [(guest.ref, A1)]
    assert groups_of(removed, before) == [(("b", "2"),)]


def test_a_removed_record_sits_with_the_live_record_that_claimed_the_value_last_if_nobody_claims_it_now():
    removed = a_record("a", "1", EMAILS[0], removed=REMOVED)
    moved = a_record("b", "1", EMAILS[1], once=[EMAILS[0]])

    assert groups_of(removed, moved) == [(B1, A1)]
    assert groups_of(removed, moved, a_record("c", "1", EMAILS[0])) == [(B1,), (C1, A1)]


@pytest.mark.parametrize(("created", "sits"), [(REMOVED - 1, False), (REMOVED + 1, True), (None, False)])
def test_a_removed_customer_sits_with_another_of_its_source_only_if_that_was_created_later(created, sits):
    removed, other = a_record("a", "1", EMAILS[0], removed=REMOVED), a_record("a", "2", EMAILS[0], created=created)

    assert groups_of(removed, other) == ([(A2, A1)] if sits else [(A2,)])


def test_a_removed_record_goes_on_to_the_next_claimant_if_a_rule_keeps_it_out():
    removed = a_record("a", "1", PHONES[0], name=AYU, removed=REMOVED)
    stranger = a_record("b", "1", PHONES[0], name=BUDI, created=1)
    herself = a_record("c", "1", PHONES[0], name="A. Sari", created=2)

    assert groups_of(removed, stranger, herself) == [(B1,), (C1, A1)]
    assert groups_of(removed, stranger, herself, decisions=[apart(A1, C1)]) == [(B1,), (C1,)]


def test_a_removed_record_that_a_decision_ties_to_somebody_sits_there():
    removed = a_record("a", "1", EMAILS[0], removed=REMOVED)
    people = [a_record("b", "1", EMAILS[0]), a_record("c", "1")]

    assert groups_of(removed, *people, decisions=[link(A1, C1)]) == [(B1,), (C1, A1)]


def test_two_removed_records_that_are_kept_apart_do_not_sit_together():
    removed = [a_record(source, "1", EMAILS[0], removed=REMOVED) for source in "ab"]

    assert groups_of(*removed, a_record("c", "1", EMAILS[0])) == [(C1, A1, B1)]
    assert groups_of(*removed, a_record("c", "1", EMAILS[0]), decisions=[apart(A1, B1)]) == [(C1, A1)]


def test_passengers_alone_are_nobody():
    assert groups_of(a_record("a", "1", EMAILS[0], removed=REMOVED), mentioned("b", "1"), an_edit("x", [A1])) == []


def test_an_edit_sits_with_the_first_live_record_that_it_was_made_of_or_where_the_first_of_them_sits():
    edit = an_edit("x", [A1, B1])
    gone = a_record("a", "1", EMAILS[0], removed=REMOVED)
    heir = a_record("c", "1", EMAILS[0])

    assert groups_of(edit, a_record("a", "1"), a_record("b", "1")) == [(A1, edit.ref), (B1,)]
    assert groups_of(edit, gone, a_record("b", "1"), heir) == [(B1, edit.ref), (C1, A1)]
    assert groups_of(edit, gone, heir) == [(C1, A1, edit.ref)]


def test_an_edit_goes_with_the_survivor_of_a_merge():
    people = [a_record("a", "1"), a_record("a", "2"), an_edit("x", [A2])]

    assert groups_of(*people, decisions=[merge(A1, A2)]) == [(A1, A2, ("api", "edit:x"))]


def test_an_identifier_in_the_edit_of_a_guest_is_evidence():
    guest = a_guest("a", EMAILS[0])
    edit = an_edit("x", [guest.ref], PHONES[0])

    assert placed(guest, edit).owners == {EMAILS[0]: guest.ref, PHONES[0]: edit.ref}
    assert placed(guest, edit, a_record("b", "1", PHONES[0])).owners[PHONES[0]] == B1


def test_of_two_edits_that_give_a_guest_the_same_identifier_the_same_one_has_it_in_any_order():
    guest = a_guest("a", EMAILS[0])
    edits = [an_edit(name, [guest.ref], PHONES[0]) for name in "xy"]

    for one, two in (edits, edits[::-1]):
        assert placed(guest, one, two).owners[PHONES[0]] == edits[0].ref


def test_a_person_of_the_api_owns_what_it_claims():
    person = a_person("1", EMAILS[0])
    guest = a_guest("a", EMAILS[0])

    found = placed(guest, person)

    assert (found.groups, found.owners) == ([(person.ref, guest.ref)], {EMAILS[0]: person.ref})


def test_a_group_names_its_living_records_first_the_oldest_before_the_others():
    young, old = a_record("a", "1", EMAILS[0], created=2), a_record("b", "1", EMAILS[0], created=1)
    gone = a_record("a", "0", EMAILS[0], removed=REMOVED)

    assert groups_of(young, gone, a_guest("a", EMAILS[0]), old) == [(B1, A1, ("a", f"guest:email:{EMAILS[0][1]}"))]
