"""Limits: what a record keeps when too much is said, the same in every order."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain import limits
from worker.domain.fold import fold, withdraw
from worker.domain.limits import left_out, units
from worker.domain.record import Record, is_older
from worker.domain.record_state import decode, encode
from worker.domain.statements import ProfileStatement, TagSnapshotStatement, TagsStatement
from worker.domain.terms import Stamp

SMALL, LARGE, LARGER = "x", "x" * 300, "x" * 700
FIELDS = tuple("abcdef")
MOST = 5


def stamp(occurred, delivery="d"):
    return Stamp(occurred, 0, delivery, 0, "00")


def folded(statements):
    record = Record("shop", "1", "customer")
    for statement in statements:
        fold(record, [statement])
    return record


def state(record):
    return orjson.dumps(encode(record))


@pytest.fixture(scope="module", autouse=True)
def _low_limits():
    with pytest.MonkeyPatch.context() as patch:
        for name, most in (("MAX_FIELDS", MOST), ("MAX_TAGS", 3), ("MAX_NAMES", 3), ("MAX_IDENTIFIERS", 3)):
            patch.setattr(limits, name, most)
        yield


@st.composite
def profiles(draw, values, most=10):
    times = draw(st.lists(st.integers(1, 40), unique=True, max_size=most))
    return [ProfileStatement(stamp(at), draw(values)) for at in times]


VALUES = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from([SMALL, LARGE, LARGER, None]), min_size=1)
NAMES = st.fixed_dictionaries({}, optional={"name": st.sampled_from([*"ABCDEFG"])})
EMAILS = st.builds(
    lambda name: {"@email": None if name is None else ("email", name, name, False)}, st.sampled_from([*"abcdefg", None])
)


def expected_fields(history):
    """The definition, in plain words: raise the floor until what lies above it has room."""
    said = [(one.stamp, name, value) for one in history for name, value in one.registers.items()]
    for floor in [None, *sorted({(at, name) for at, name, _ in said}, key=lambda f: (f[0], [-ord(f[1])]))]:
        above = [s for s in said if floor is None or s[0] > floor[0] or (s[0] == floor[0] and s[1] < floor[1])]
        takes = {name: max(units(value) for _, other, value in above if other == name) for _, name, _ in above}
        if sum(takes.values()) <= MOST:
            newest = {name: max((at, value) for at, other, value in above if other == name) for name in takes}
            return {name: value for name, (_, value) in newest.items()}, floor
    raise AssertionError


@given(profiles(VALUES), st.randoms())
def test_fields_are_the_newest_for_which_there_is_room_in_any_order(history, random):
    expected, floor = expected_fields(history)
    shuffled = history * 2
    random.shuffle(shuffled)

    record = folded(shuffled)

    assert {name: value for name, (_, value) in record.registers.items()} == expected
    assert record.fields_floor == floor
    assert state(record) == state(folded(history))
    assert state(decode("shop", "1", "customer", orjson.loads(state(record)))) == state(record)


@st.composite
def taggings(draw):
    times = draw(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("pq")), unique=True, max_size=10))
    tags = st.dictionaries(st.sampled_from("abcdef"), st.just("x"), min_size=1, max_size=3)
    return [
        draw(
            st.builds(TagsStatement, st.just(stamp(*at)), tags, st.booleans())
            | st.builds(TagSnapshotStatement, st.just(stamp(*at)), tags)
        )
        for at in times
    ]


@given(taggings(), st.randoms())
def test_tags_are_the_newest_in_any_order(history, random):
    shuffled = history * 2
    random.shuffle(shuffled)
    record = folded(shuffled)
    sets = [one.stamp for one in history if isinstance(one, TagSnapshotStatement)]
    newest = {}
    for one in history:
        if isinstance(one, TagsStatement) and not (sets and is_older(one.stamp, max(sets))):
            for key in one.tags:
                newest[key] = max(newest.get(key, one.stamp), one.stamp)

    assert set(record.tags) == set(sorted(newest, key=lambda key: (newest[key], key), reverse=True)[:3])
    assert state(record) == state(folded(history))
    assert (record.tags_floor is not None) == (len(newest) > 3)
    assert state(decode("shop", "1", "customer", orjson.loads(state(record)))) == state(record)


@given(profiles(NAMES), st.randoms())
def test_names_are_the_newest_in_any_order(history, random):
    shuffled = history * 2
    random.shuffle(shuffled)
    record = folded(shuffled)
    newest = {}
    for one in sorted(history, key=lambda one: one.stamp):
        if "name" in one.registers:
            newest[one.registers["name"]] = one.stamp

    assert record.names() == set(sorted(newest, key=newest.__getitem__, reverse=True)[:3])
    assert state(record) == state(folded(history))


@given(profiles(EMAILS), st.randoms())
def test_identifiers_are_those_that_were_claimed_last_in_any_order(history, random):
    shuffled = history * 2
    random.shuffle(shuffled)
    record = folded(shuffled)
    last = {}
    for one in sorted(history, key=lambda one: one.stamp):
        if one.registers["@email"] is not None:
            last[one.registers["@email"][:2]] = one.stamp

    assert set(record.history()) == set(sorted(last, key=last.__getitem__, reverse=True)[:3])
    assert state(record) == state(folded(history))
    assert state(decode("shop", "1", "customer", orjson.loads(state(record)))) == state(record)


def test_what_identifies_a_person_is_not_left_out_for_fields():
    claim = {"@email": ("email", "a", "a", False), "name": "Ayu", "#created": 1}
    record = folded([ProfileStatement(stamp(1), claim), ProfileStatement(stamp(2), dict.fromkeys(FIELDS, SMALL))])

    assert claim.keys() <= record.registers.keys()
    assert len(record.registers) == len(claim) + MOST
    assert left_out(record) == ["custom_fields"]


def test_what_was_there_and_is_pushed_out_is_told_once():
    record = folded([ProfileStatement(stamp(1), dict.fromkeys(FIELDS[:MOST], SMALL))])
    fold(record, [ProfileStatement(stamp(2), {"f": SMALL})])
    assert record.pushed_out == {"custom_fields"}

    fold(record, [ProfileStatement(stamp(3), {"f": "y"})])
    assert record.pushed_out == set()


def test_a_withdrawal_lets_what_is_read_again_be_bounded_again():
    many = ProfileStatement(Stamp(2, 0, "d", 0, "02"), dict.fromkeys(FIELDS, SMALL))
    few = ProfileStatement(stamp(1), {"f": SMALL})
    record = folded([few, many])
    withdraw(record, "02")
    fold(record, [few])

    assert state(record) == state(folded([few]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, 1), (7, 1), ("x" * 60, 1), ("x" * 259, 1), ("x" * 300, 2), ("\u00e9" * 300, 4), (["x" * 300] * 2, 4)],
)
def test_a_value_takes_a_power_of_two_of_units(value, expected):
    assert units(value) == expected
