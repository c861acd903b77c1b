"""Resolve: which records are one person depends on the set of records and decisions, and on nothing else."""

from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain.resolve import Limits, Member, _grouped, resolve
from worker.domain.terms import Decision

LIMITS = Limits(crowd=3, component=50)
PHONES = [("phone", f"+628127350914{n}") for n in range(4)]
EMAILS = [("email", f"{name}@example.com") for name in ("ayu", "budi", "citra", "noreply")]


@st.composite
def members(draw, most=12):
    refs = draw(
        st.lists(
            st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 6).map(str)),
            unique=True,
            min_size=1,
            max_size=most,
        )
    )
    found = []
    for ref in refs:
        is_live = draw(st.integers(0, 9)) > 0
        claims = draw(st.dictionaries(st.sampled_from(PHONES + EMAILS), st.booleans(), max_size=3))
        found.append(
            Member(
                ref,
                is_customer=draw(st.integers(0, 3)) > 0,
                is_live=is_live,
                created=draw(st.one_of(st.none(), st.integers(0, 3))),
                claims=tuple(claims.items()) if is_live else (),
            )
        )
    return found


@st.composite
def worlds(draw):
    people = draw(members())
    refs = [m.ref for m in people]
    decisions = []
    if len(refs) > 1:
        for n in range(draw(st.integers(0, 4))):
            a, b = draw(st.lists(st.sampled_from(refs), unique=True, min_size=2, max_size=2))
            kind = draw(st.sampled_from(["link", "apart", "source_merge"]))
            decisions.append(Decision(kind, a, b, draw(st.integers(0, 2)), str(n)))
    return people, decisions


@given(worlds(), st.sets(st.sampled_from(PHONES + EMAILS), max_size=2))
def test_setting_unconnected_records_aside_does_not_change_the_result(world, crowded):
    people, decisions = world

    found = resolve(people, decisions, LIMITS, crowded)

    expected = _grouped(people, decisions, LIMITS, crowded)
    expected.groups.sort()
    assert found == expected


@given(worlds(), st.randoms())
def test_order_changes_nothing(world, random):
    people, decisions = world
    expected = resolve(people, decisions, LIMITS)

    random.shuffle(people)
    random.shuffle(decisions)

    assert resolve(people, decisions, LIMITS) == expected


@given(worlds())
def test_components_can_be_resolved_one_by_one(world):
    people, decisions = world
    whole = resolve(people, decisions, LIMITS)

    groups, owners, contested, lost = [], {}, set(), set()
    for part in components(people, decisions):
        known = {m.ref for m in part}
        found = resolve(part, [d for d in decisions if d.a in known], LIMITS)
        groups += found.groups
        owners |= found.owners
        contested |= found.contested
        lost |= found.lost

    assert sorted(groups) == whole.groups
    assert (owners, contested, lost) == (whole.owners, whole.contested, whole.lost)


@given(worlds())
def test_every_live_record_has_one_person_and_every_identifier_one_owner(world):
    people, decisions = world
    found = resolve(people, decisions, LIMITS)

    placed = [ref for group in found.groups for ref in group]
    assert len(placed) == len(set(placed))
    assert {m.ref for m in people if m.is_live} - found.lost <= set(placed)
    claimed = {ident for m in people for ident, _ in m.claims}
    assert set(found.owners) <= claimed
    assert found.contested <= set(found.owners)


@given(worlds())
def test_two_live_customers_of_one_source_are_one_person_only_by_decision(world):
    people, _ = world
    by_ref = {m.ref: m for m in people}
    for group in resolve(people, [], LIMITS).groups:
        sources = [ref[0] for ref in group if by_ref[ref].is_customer]
        assert len(sources) == len(set(sources))


@given(worlds())
def test_records_kept_apart_stay_apart(world):
    people, decisions = world
    found = resolve(people, decisions, LIMITS)
    group_of = {ref: group for group in found.groups for ref in group}
    newest = {}
    for d in sorted(decisions, key=lambda d: d.strength):
        newest[frozenset((d.a, d.b))] = d
    for d in newest.values():
        if d.kind == "apart" and d.a in group_of and d.b in group_of:
            assert group_of[d.a] != group_of[d.b]


def components(people, decisions):
    """Yield the records that claims or decisions connect, found the slow way."""
    left = list(people)
    while left:
        part, idents = [left.pop()], set()
        grown = True
        while grown:
            idents = {ident for m in part for ident, _ in m.claims}
            refs = {m.ref for m in part}
            tied = {r for d in decisions if d.a in refs or d.b in refs for r in (d.a, d.b)}
            more = [m for m in left if m.ref in tied or any(ident in idents for ident, _ in m.claims)]
            left = [m for m in left if m not in more]
            part += more
            grown = bool(more)
        yield part


def a_customer(source, id_, *claims, created=0, is_customer=True, is_live=True):
    return Member((source, id_), is_customer, is_live, created, tuple((c, False) for c in claims))


def test_a_number_joins_records_before_an_email_does():
    people = [
        a_customer("a", "1", PHONES[0]),
        a_customer("a", "2", EMAILS[0], created=1),
        a_customer("b", "1", PHONES[0], EMAILS[0], created=2),
    ]

    found = resolve(people, [], LIMITS)

    assert found.groups == [(("a", "1"), ("b", "1")), (("a", "2"),)]
    assert found.contested == {EMAILS[0]}
    assert found.owners[EMAILS[0]] == ("a", "2")


def test_a_verified_claim_is_stronger_than_an_older_one():
    old = a_customer("a", "1", EMAILS[0])
    proven = Member(("a", "2"), True, True, 9, ((EMAILS[0], True),))

    assert resolve([old, proven], [], LIMITS).owners[EMAILS[0]] == ("a", "2")


def test_a_crowded_value_and_a_machine_mailbox_identify_nobody():
    people = [a_customer("a", str(n), PHONES[0], EMAILS[3]) for n in range(4)] + [a_customer("b", "1", PHONES[0])]

    found = resolve(people, [], LIMITS)

    assert len(found.groups) == 5
    assert found.owners == {}


def test_in_an_oversize_component_only_decisions_join():
    chain = [
        a_customer("abc"[n % 3], str(n), ("email", f"{n}@example.com"), ("email", f"{n + 1}@example.com"))
        for n in range(6)
    ]
    limits = Limits(crowd=3, component=5)

    assert len(resolve(chain[:5], [], limits).groups) < 5
    found = resolve(chain, [Decision("link", ("a", "0"), ("c", "5"), 1, "")], limits)
    assert found.oversize == {m.ref for m in chain}
    assert len(found.groups) == 5


def test_a_deleted_customer_that_was_merged_away_stays_with_its_survivor():
    people = [a_customer("a", "1", EMAILS[0]), a_customer("a", "2", is_live=False, created=1)]

    found = resolve(people, [Decision("source_merge", ("a", "1"), ("a", "2"), 1, "")], LIMITS)

    assert found.groups == [(("a", "1"), ("a", "2"))]
    assert found.lost == {("a", "2")}


def test_a_merged_away_customer_does_not_keep_a_deleted_survivor_alive():
    people = [a_customer("a", "1", is_live=False), a_customer("a", "2", EMAILS[0])]

    assert resolve(people, [Decision("source_merge", ("a", "1"), ("a", "2"), 1, "")], LIMITS).groups == []


def test_a_decision_of_an_operator_beats_a_later_merge_by_the_source():
    people = [a_customer("a", "1"), a_customer("a", "2")]
    apart = Decision("apart", ("a", "1"), ("a", "2"), 1, "")
    merge = Decision("source_merge", ("a", "1"), ("a", "2"), 9, "")

    found = resolve(people, [merge, apart], LIMITS)

    assert len(found.groups) == 2
    assert found.lost == set()


@settings(max_examples=20)
@given(st.integers(2, 30))
def test_a_circle_of_merges_leaves_one_survivor(size):
    people = [a_customer("a", str(n)) for n in range(size)]
    merges = [Decision("source_merge", ("a", str(n)), ("a", str((n + 1) % size)), n, "") for n in range(size)]

    found = resolve(people, merges, Limits(crowd=99, component=99))

    assert len(found.groups) == 1
    assert len(found.lost) == size - 1
