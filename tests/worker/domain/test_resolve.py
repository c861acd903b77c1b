"""Resolve: which records are one person depends on the set of records and decisions, and on nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.people import EMAILS, LIMITS, PHONES, a_guest, a_record, apart, link, merge, worlds
from worker.domain.grouping import Grouping, Limits
from worker.domain.passengers import place
from worker.domain.resolve import resolve
from worker.domain.terms import CLAIM, EVIDENCE, kind_of

FEW = Limits(crowd=1, component=4)
limits = st.sampled_from([LIMITS, FEW])
A1, A2, B1, B2, C1 = ("a", "1"), ("a", "2"), ("b", "1"), ("b", "2"), ("c", "1")


@given(worlds(), limits, st.sets(st.sampled_from(PHONES + EMAILS), max_size=2))
def test_setting_unconnected_records_aside_does_not_change_the_result(world, limits, crowded):
    people, decisions = world

    found = resolve(people, decisions, limits, crowded)

    grouping = Grouping(people, decisions, limits, crowded)
    place(grouping, ())
    grouping.result.groups.sort()
    assert found == grouping.result


@given(worlds(), limits, st.randoms())
def test_order_and_repeated_decisions_change_nothing(world, limits, random):
    people, decisions = world
    expected = resolve(people, decisions, limits)

    random.shuffle(people)
    decisions = decisions * 2
    random.shuffle(decisions)

    assert resolve(people, decisions, limits) == expected


@given(worlds(), limits)
def test_components_can_be_resolved_one_by_one(world, limits):
    people, decisions = world
    whole = resolve(people, decisions, limits)

    groups, owners, contested, lost, oversize = [], {}, set(), {}, set()
    for part in components(people, decisions):
        known = {record.ref for record in part}
        found = resolve(part, [d for d in decisions if d.a in known], limits)
        groups += found.groups
        owners |= found.owners
        contested |= found.contested
        lost |= found.lost
        oversize |= found.oversize

    assert sorted(groups) == whole.groups
    assert (owners, contested, lost, oversize) == (whole.owners, whole.contested, whole.lost, whole.oversize)


def components(people, decisions):
    """Yield the records that ties, decisions or edits connect, found the slow way."""
    left = list(people)
    while left:
        part, grown = [left.pop()], True
        while grown:
            idents = {ident for record in part for ident in record.ties()}
            refs = {record.ref for record in part}
            about = {ref for record in part for ref in record.about()}
            tied = about | {ref for d in decisions if {d.a, d.b} & refs for ref in (d.a, d.b)}
            more = [
                record
                for record in left
                if record.ref in tied or refs & set(record.about()) or idents & record.ties().keys()
            ]
            left = [record for record in left if record not in more]
            part += more
            grown = bool(more)
        yield part


@given(worlds(), limits)
def test_every_live_record_has_one_person_and_every_identifier_at_most_one_owner(world, limits):
    people, decisions = world
    found = resolve(people, decisions, limits)
    by_ref = {record.ref: record for record in people}
    placed = [ref for group in found.groups for ref in group]
    living = {r.ref for r in people if r.is_live and r.kind != "edit"} - found.lost.keys()

    assert len(placed) == len(set(placed))
    assert living <= set(placed)
    assert all(living & set(group) for group in found.groups)
    for ident, owner in found.owners.items():
        assert by_ref[owner].ties()[ident].role in (CLAIM, EVIDENCE)
        assert owner in placed
    assert found.contested <= found.owners.keys()


@given(worlds(), limits)
def test_two_live_customers_of_one_source_are_one_person_only_by_decision(world, limits):
    people, _ = world
    live = {record.ref for record in people if record.is_live and record.kind == "customer"}
    for group in resolve(people, [], limits).groups:
        sources = [ref[0] for ref in group if ref in live]
        assert len(sources) == len(set(sources))


@given(worlds(), limits)
def test_records_kept_apart_stay_apart_and_a_decision_that_would_join_them_is_void(world, limits):
    people, decisions = world
    found = resolve(people, decisions, limits)
    group_of = {ref: group for group in found.groups for ref in group}
    newest = {}
    for d in sorted(decisions, key=lambda d: d.strength):
        if d.kind != "source_merge":
            newest[frozenset((d.a, d.b))] = d
    for d in newest.values():
        if d.kind == "apart" and d.a in group_of and d.b in group_of:
            assert group_of[d.a] != group_of[d.b]
    for d in decisions:
        if d.kind == "link" and newest[frozenset((d.a, d.b))] is d and d not in found.void:
            assert group_of.get(d.a) == group_of.get(d.b) or d.a not in group_of or d.b not in group_of


@given(worlds(), limits)
def test_passengers_join_nobody(world, limits):
    people, decisions = world
    found = resolve(people, decisions, limits)
    named = {ref for d in decisions for ref in (d.a, d.b)} | {ref for record in people for ref in record.about()}
    riding = {
        record.ref
        for record in people
        if record.ref not in named and record.kind != "edit" and (record.kind == "guest" or not record.is_live)
    }

    alone = resolve([record for record in people if record.ref not in riding], decisions, limits)

    somebody = {record.ref for record in people if record.is_live and record.kind in ("customer", "person")}
    somebody -= found.lost.keys()
    assert among(somebody, found.groups) == among(somebody, alone.groups)
    # What a guest gave, or an edit for a guest, is evidence: another guest who gives it makes it nobody's.
    giving = {record.ref for record in people if is_of_guest(record, people, found.lost)}
    of_others = {ident: ref for ident, ref in alone.owners.items() if ref not in giving}
    assert of_others.items() <= found.owners.items()


def is_of_guest(record, people, lost):
    live = {one.ref for one in people if one.is_live and one.kind != "edit"}
    made_of = sorted((ref for ref in record.about() if ref in live), key=lambda ref: ref in lost)
    return kind_of(made_of[0] if made_of else record.ref) == "guest"


def among(refs, groups):
    return {rest for group in groups if (rest := frozenset(group) & refs)}


def test_an_email_joins_records_before_a_number_does():
    people = [
        a_record("a", "1", PHONES[0]),
        a_record("a", "2", EMAILS[0], created=1),
        a_record("b", "1", PHONES[0], EMAILS[0], created=2),
    ]

    found = resolve(people, [], LIMITS)

    assert found.groups == [(A1,), (A2, B1)]
    assert found.contested == {PHONES[0]}
    assert found.owners[PHONES[0]] == A1


def test_a_number_joins_nobody_whose_name_disagrees_but_an_email_does():
    ayu = a_record("a", "1", PHONES[0], EMAILS[0], name="Ayu Sari")
    budi = a_record("b", "1", PHONES[0], name="Budi Hartono", created=1)
    married = a_record("c", "1", EMAILS[0], name="Putri Lestari", created=2)

    found = resolve([ayu, budi, married], [], LIMITS)

    assert found.groups == [(A1, C1), (B1,)]
    assert (found.contested, found.owners[PHONES[0]]) == ({PHONES[0]}, A1)
    assert [(refusal.claimant, refusal.reason) for refusal in found.refusals] == [(B1, "names disagree")]


def test_a_verified_claim_is_stronger_than_an_older_one():
    old = a_record("a", "1", EMAILS[0])
    proven = a_record("a", "2", EMAILS[0], created=1, proven=EMAILS)

    assert resolve([old, proven], [], LIMITS).owners[EMAILS[0]] == A2


def test_a_crowded_value_and_a_machine_mailbox_identify_nobody():
    crowd = [a_record("a", str(n), PHONES[0], EMAILS[3]) for n in range(4)]

    found = resolve([*crowd, a_record("b", "1", PHONES[0])], [], LIMITS)

    assert (len(found.groups), found.owners, found.contested) == (5, {}, set())


def test_proof_of_a_crowded_value_stands():
    crowd = [a_record("a", str(n), PHONES[0]) for n in range(4)]
    proven = a_record("b", "1", PHONES[0], proven=PHONES, created=8)

    found = resolve([*crowd, proven, a_record("c", "1", PHONES[0], proven=PHONES, created=9)], [], LIMITS)

    assert (B1, C1) in found.groups
    assert found.owners == {PHONES[0]: B1}


def test_guests_are_no_crowd_against_the_claim_of_a_customer():
    guests = [a_guest(str(n), EMAILS[0]) for n in range(9)]

    found = resolve([*guests, a_record("a", "1", EMAILS[0])], [], LIMITS)

    assert len(found.groups) == 1
    assert found.owners == {EMAILS[0]: A1}


def test_in_an_oversize_component_only_decisions_join():
    chain = [
        a_record("abc"[n % 3], str(n), ("email", f"{n}@example.com"), ("email", f"{n + 1}@example.com"))
        for n in range(6)
    ]
    limits = Limits(crowd=3, component=5)

    assert len(resolve(chain[:5], [], limits).groups) < 5
    found = resolve(chain, [link(("a", "0"), ("c", "5"))], limits)
    assert found.oversize == {record.ref for record in chain}
    assert len(found.groups) == 5


def test_a_lost_customer_stays_with_its_survivor_and_its_claims_are_the_weakest_of_the_survivor():
    lost = a_record("a", "2", EMAILS[0], EMAILS[1], created=-9, proven=EMAILS)
    survivor = a_record("a", "1", EMAILS[0])
    other = a_record("b", "1", EMAILS[1], created=9)

    found = resolve([survivor, lost, other], [merge(A1, A2, at=7)], LIMITS)

    assert found.groups == [(A1, B1, A2)]
    assert found.lost == {A2: 7}
    assert found.owners == {EMAILS[0]: A1, EMAILS[1]: B1}


def test_a_lost_customer_does_not_keep_a_deleted_survivor_alive():
    people = [a_record("a", "1", removed=5), a_record("a", "2", EMAILS[0])]

    assert resolve(people, [merge(A1, A2)], LIMITS).groups == []


def test_a_newer_decision_of_a_person_replaces_an_older_one_of_the_same_pair():
    people = [a_record("a", "1"), a_record("b", "1")]

    for first, second, size in ((link(A1, B1, 1), apart(A1, B1, 2), 2), (apart(A1, B1, 1), link(B1, A1, 2), 1)):
        assert len(resolve(people, [first, second], LIMITS).groups) == size


def test_a_merge_of_a_source_and_a_decision_of_a_person_stand_side_by_side():
    people = [a_record("a", "1"), a_record("a", "2")]

    linked = resolve(people, [merge(A1, A2, 9), link(A1, A2, 1)], LIMITS)
    parted = resolve(people, [merge(A1, A2, 9), apart(A1, A2, 1)], LIMITS)

    assert (linked.groups, linked.lost) == ([(A1, A2)], {A2: 9})
    assert (parted.groups, parted.lost, parted.void) == ([(A1,), (A2,)], {}, [merge(A1, A2, 9)])


def test_a_link_that_would_join_two_who_are_kept_apart_is_void():
    people = [a_record("a", "1"), a_record("b", "1"), a_record("c", "1")]
    older, newer = link(B1, C1, 1), link(A1, C1, 2)

    found = resolve(people, [older, newer, apart(A1, B1, 0)], LIMITS)

    assert (found.groups, found.void) == ([(A1, C1), (B1,)], [older])


@settings(max_examples=20)
@given(st.integers(2, 30))
def test_a_circle_of_merges_leaves_one_survivor_because_its_oldest_merge_is_void(size):
    people = [a_record("a", str(n)) for n in range(size)]
    merges = [merge(("a", str(n)), ("a", str((n + 1) % size)), at=n) for n in range(size)]

    found = resolve(people, merges, Limits(crowd=99, component=99))

    assert len(found.groups) == 1
    assert found.lost.keys() == {record.ref for record in people} - {A1}


def test_what_many_guests_gave_has_no_owner():
    guest = a_guest("a", EMAILS[0], PHONES[0])

    assert resolve([guest], [], LIMITS).owners == {EMAILS[0]: guest.ref, PHONES[0]: guest.ref}
    assert resolve([guest], [], LIMITS, given_by_many=[PHONES[0]]).owners == {EMAILS[0]: guest.ref}
