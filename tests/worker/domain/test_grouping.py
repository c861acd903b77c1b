"""Grouping: in which order claims are tried, and what keeps two groups apart."""

import pytest

from tests.worker.people import EMAILS, LIMITS, LINE, PHONES, a_person, a_record, an_edit, apart, mentioned, merge
from worker.domain.grouping import Grouping, Groups, Limits, crowds, is_crowd, seniority

A1, A2, B1, B2, C1 = ("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1")
AYU, BUDI = "Ayu Sari", "Budi Hartono"


def grouped(*records, decisions=(), limits=LIMITS, crowded=()):
    """Return a grouping, and the groups of living records in it."""
    grouping = Grouping(records, decisions, limits, crowded)
    return grouping, sorted(map(tuple, map(sorted, grouping.groups.living.values())))


def groups_of(*records, **more):
    return grouped(*records, **more)[1]


def reasons(*records, **more):
    grouping, _ = grouped(*records, **more)
    return {(refusal.claimant, refusal.other): refusal.reason for refusal in grouping.result.refusals}


def test_older_records_come_first_and_those_whose_age_nobody_told_last():
    old, young = a_record("b", "9", created=1), a_record("a", "1", created=2)
    of_api, unknown = a_person("1"), a_record("z", "1", created=None)

    assert sorted([of_api, unknown, young, old], key=seniority) == [old, young, unknown, of_api]


def test_emails_join_before_numbers_and_numbers_before_ids_of_messengers():
    by_email = a_record("a", "1", EMAILS[0])
    by_number = a_record("a", "2", PHONES[0])
    by_line = a_record("a", "3", LINE)

    assert (A1, B1) in groups_of(by_line, by_number, by_email, a_record("b", "1", EMAILS[0], PHONES[0], LINE))
    assert (A2, B1) in groups_of(by_line, by_number, by_email, a_record("b", "1", PHONES[0], LINE))


def test_a_claimant_tries_the_groups_of_the_stronger_claims_in_their_order():
    first = a_record("a", "1", PHONES[0], name=AYU, created=1)
    second = a_record("a", "2", PHONES[0], name=BUDI, created=2)
    third = a_record("b", "1", PHONES[0], name=BUDI, created=3)

    assert groups_of(third, second, first) == [(A1,), (A2, B1)]
    assert reasons(third, second, first) == {
        (A2, A1): "two customers of one source",
        (B1, A1): "names disagree",
    }


def test_a_group_that_refused_a_claimant_once_is_not_asked_again():
    ayu = a_record("a", "1", PHONES[0], name=AYU, created=1)
    also_ayu = a_record("c", "1", PHONES[0], name=AYU, created=2)
    budi = a_record("b", "1", PHONES[0], name=BUDI, created=3)

    grouping, _ = grouped(ayu, also_ayu, budi)

    assert [(one.claimant, one.other) for one in grouping.result.refusals] == [(B1, A1)]


@pytest.mark.parametrize(
    ("name", "others", "joined"),
    [
        (AYU, AYU, True),
        (AYU, "A. Sari", True),
        (AYU, None, True),
        (AYU, "12345", True),
        (AYU, BUDI, False),
    ],
)
def test_a_number_joins_two_unless_their_names_disagree(name, others, joined):
    people = [a_record("a", "1", PHONES[0], name=name), a_record("b", "1", PHONES[0], name=others)]

    assert groups_of(*people) == ([(A1, B1)] if joined else [(A1,), (B1,)])


def test_one_who_disagrees_keeps_the_whole_group_out():
    ayu = a_record("a", "1", PHONES[0], EMAILS[0], name=AYU, created=1)
    with_her_address = a_record("b", "1", EMAILS[0], name=BUDI, created=2)
    also_ayu = a_record("c", "1", PHONES[0], name=AYU, created=3)

    assert groups_of(ayu, with_her_address, also_ayu) == [(A1, B1), (C1,)]


def test_names_of_two_who_share_an_email_do_not_count():
    one = a_record("a", "1", PHONES[0], EMAILS[0], name=AYU, created=1)
    two = a_record("b", "1", PHONES[0], EMAILS[0], EMAILS[1], name=BUDI, created=2)
    three = a_record("c", "1", PHONES[0], EMAILS[1], name=AYU, created=3)
    groups = Groups({record.ref: record for record in (one, two, three)})
    for record in (one, two, three):
        groups.living[record.ref] = [record.ref]
        groups.emails[record.ref] = {ident for ident in record.ties() if ident[0] == "email"}

    assert groups.refuses(A1, B1, PHONES[0]) is None
    assert groups.refuses(A1, C1, PHONES[0]) is None
    groups.emails[B1] = {EMAILS[1]}
    assert groups.refuses(A1, B1, PHONES[0]) == "names disagree"
    assert groups.refuses(A1, B1, LINE) is None


def test_a_new_surname_parts_nobody_because_names_only_grow():
    before = a_record("a", "1", PHONES[0], name="Ayu Sari")
    married = a_record("b", "1", PHONES[0], name="Ayu Sari")
    renamed = a_record("b", "1", PHONES[0], name="Putri Hartono")
    married.past_names = {"Ayu Sari": married.registers["name"][0]}
    married.registers["name"] = renamed.registers["name"]

    assert groups_of(before, married) == [(A1, B1)]
    assert groups_of(before, renamed) == [(A1,), (B1,)]


def test_a_person_of_the_api_is_exempt_from_being_one_customer_of_a_source():
    first, second = a_person("1", EMAILS[0]), a_person("2", EMAILS[0])

    assert groups_of(first, second) == [(first.ref, second.ref)]


def test_an_edit_claims_for_the_first_live_record_that_it_was_made_of():
    edit = an_edit("x", [A1, B1], EMAILS[0])
    other = a_record("c", "1", EMAILS[0], created=9)

    gone, _ = grouped(edit, a_record("a", "1", removed=5), a_record("b", "1"), other)
    assert gone.hosts == {edit.ref: B1}
    assert groups_of(edit, a_record("a", "1"), a_record("b", "1"), other) == [(A1, C1), (B1,)]
    assert groups_of(edit, a_record("a", "1", removed=5), a_record("b", "1"), other) == [(B1, C1)]


def test_claims_of_a_record_that_was_merged_away_are_its_survivors_weakest():
    survivor, other = a_record("a", "1", created=1), a_record("b", "1", EMAILS[0], created=9)
    lost = a_record("a", "2", EMAILS[0], proven=EMAILS)

    grouping, groups = grouped(survivor, lost, other, decisions=[merge(A1, A2)])

    assert groups == [(A1, B1)]
    assert [(claim.ref, claim.holder) for claim in grouping.claimants[EMAILS[0]]] == [(B1, B1), (A1, A2)]


def test_until_its_survivor_was_seen_a_record_that_was_merged_away_is_like_any_other():
    lost = a_record("a", "2", EMAILS[0])

    grouping, groups = grouped(lost, mentioned("a", "1"), decisions=[merge(A1, A2)])
    assert (groups, grouping.result.lost) == ([(A2,)], {})

    grouping, groups = grouped(lost, a_record("a", "1"), decisions=[merge(A1, A2)])
    assert (groups, grouping.result.lost) == ([(A1,)], {A2: 1})


def test_two_who_are_kept_apart_are_not_joined_through_a_third():
    people = [a_record("a", "1", EMAILS[0], created=1), a_record("b", "1", EMAILS[0], created=2)]
    third = a_record("c", "1", EMAILS[0], created=3)

    grouping, groups = grouped(*people, third, decisions=[apart(A1, B1)])

    assert groups == [(A1, C1), (B1,)]
    assert reasons(*people, third, decisions=[apart(A1, B1)]) == {(B1, A1): "kept apart"}
    assert set(grouping.groups.kept_from(C1)) == {B1}


@pytest.mark.parametrize(
    ("claimants", "is_one"),
    [
        ([("a", True)] * 3, False),
        ([("a", True)] * 4, True),
        ([("a", True)] * 3 + [("b", True)] * 3, False),
        ([("a", True)] * 3 + [("a", False)] * 3, False),
        ([("a", True)] * 3 + [("b", True)] * 3 + [("c", True)] * 3 + [("d", False)] * 3, True),
    ],
)
def test_more_customers_of_one_source_than_the_limit_are_a_crowd_and_more_records_than_a_component_may_have(
    claimants, is_one
):
    assert is_crowd(claimants, Limits(crowd=3, component=11)) is is_one


def test_edits_and_what_was_claimed_before_make_no_crowd():
    limits = Limits(crowd=1, component=99)
    crowd = [a_record("a", str(n), EMAILS[0]) for n in range(2)]
    once = a_record("a", "9", once=[EMAILS[0]])

    edits = [an_edit(str(n), [A1], EMAILS[0]) for n in range(2)]

    assert crowds([crowd[0], once, *edits], limits) == set()
    assert crowds(crowd, limits) == {EMAILS[0]}
