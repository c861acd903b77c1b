"""Fold: the same statements give the same record, in any order and any number of times."""

from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.fold import Record, decode, encode, fold, repeats, withdraw
from worker.domain.statements import ProfileStatement, RemovalStatement, TagSnapshotStatement, TagsStatement
from worker.domain.terms import Stamp
from worker.domain.times import microseconds

STAMPS = st.builds(
    Stamp,
    st.integers(0, 4),
    st.integers(0, 2),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 1),
    st.just("00"),
)
NAMES = st.sampled_from(["first_name", "note", "#created"])
TAGS = st.dictionaries(st.sampled_from(["vip", "new", "old"]), st.sampled_from(["x", "X"]), max_size=2)


def _statement(stamp: Stamp, draw_kind: int, names: set[str], tags: dict[str, str], flag: bool):
    # Statements with the same stamp are equal, because a delivery has one body.
    value = repr(stamp)
    match draw_kind:
        case 0:
            return ProfileStatement(stamp, {name: f"{name}{value}" for name in names}, exists=flag)
        case 1:
            return RemovalStatement(stamp)
        case 2:
            return TagsStatement(stamp, {key: key for key in tags}, present=flag)
        case _:
            return TagSnapshotStatement(stamp, {key: key for key in tags})


@st.composite
def histories(draw):
    stamps = draw(st.lists(STAMPS, unique=True, max_size=8))
    return [
        _statement(s, draw(st.integers(0, 3)), draw(st.sets(NAMES)), draw(TAGS), draw(st.booleans())) for s in stamps
    ]


def folded(statements) -> Record:
    record = Record("shop", "1", "customer")
    fold(record, statements)
    return record


@given(histories(), st.randoms())
def test_order_and_repetition_change_nothing(history, random):
    shuffled = history * 3
    random.shuffle(shuffled)

    assert encode(folded(shuffled)) == encode(folded(history))


FEW = st.sampled_from(["1", "2"])
REPEATABLE = st.builds(ProfileStatement, STAMPS, st.dictionaries(NAMES, FEW | st.none()), st.booleans()) | st.builds(
    TagSnapshotStatement, STAMPS, st.dictionaries(FEW, FEW, max_size=1)
)


@given(histories(), st.lists(REPEATABLE, max_size=3), st.lists(REPEATABLE, max_size=3))
def test_statements_that_repeat_a_record_leave_its_content_as_it_was(history, first, again):
    record = folded([*history[:2], *first])
    before = record.content()

    if repeats(record, again):
        fold(record, again)
        assert record.content() == before


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_customer_that_is_read_again_only_repeats_its_record(is_stored):
    claim = ("email", "ayu@example.com", "ayu@example.com", True)
    statements = [
        ProfileStatement(Stamp(1, 1, "d", 0, "00"), {"@email": claim, "note": None}),
        TagSnapshotStatement(Stamp(1, 1, "d", 1, "00"), {"vip": "VIP"}),
    ]
    record = folded(statements)
    if is_stored:
        record = decode("shop", "1", "customer", orjson.loads(orjson.dumps(encode(record))))

    assert repeats(record, statements)
    assert not repeats(record, [ProfileStatement(Stamp(2, 2, "e", 0, "01"), {"note": "x"})])
    assert not repeats(record, [TagSnapshotStatement(Stamp(2, 2, "e", 0, "01"), {})])


def test_a_statement_that_was_made_before_the_removal_is_new_again_after_it():
    profile = ProfileStatement(Stamp(1, 1, "d", 0, "00"), {"note": "x"})
    record = folded([profile, RemovalStatement(Stamp(2, 2, "e", 0, "01"))])

    assert not repeats(record, [ProfileStatement(Stamp(3, 3, "f", 0, "02"), {"note": "x"})])


def test_a_snapshot_of_tags_is_new_if_it_overrules_a_change_of_tags():
    record = folded(
        [
            TagSnapshotStatement(Stamp(1, 1, "d", 0, "00"), {"vip": "VIP"}),
            TagsStatement(Stamp(2, 2, "e", 0, "01"), {"vip": "VIP"}, present=False),
        ]
    )

    assert not repeats(record, [TagSnapshotStatement(Stamp(3, 3, "f", 0, "02"), {"vip": "VIP"})])


@given(histories(), st.integers(0, 8))
def test_folding_in_two_parts_gives_what_folding_at_once_gives(history, cut):
    record = folded(history[:cut])
    record = decode("shop", "1", "customer", orjson.loads(orjson.dumps(encode(record))))
    fold(record, history[cut:])

    assert encode(record) == encode(folded(history))


@given(histories())
def test_a_statement_that_was_folded_before_changes_nothing(history):
    record = folded(history)
    before = encode(record)

    assert not fold(record, history)
    assert encode(record) == before


@given(histories())
def test_the_statements_of_an_envelope_can_be_withdrawn(history):
    ours = [
        type(s)(**{**{f: getattr(s, f) for f in s.__dataclass_fields__}, "stamp": s.stamp._replace(envelope_id="ff")})
        for s in history[:3]
    ]
    record = folded([*history[3:], *ours])

    withdraw(record, "ff")
    fold(record, history[3:])  # a replay folds the statements of the other envelopes again

    assert encode(record) == encode(folded(history[3:]))


def at(occurred: int) -> Stamp:
    return Stamp(occurred, occurred, f"d{occurred}", 0, "00")


def test_only_a_newer_profile_revives_a_removed_record():
    record = folded([ProfileStatement(at(1), {"note": "a"}), RemovalStatement(at(3))])

    fold(record, [ProfileStatement(at(2), {"note": "late"}), TagsStatement(at(5), {"vip": "vip"}, present=True)])
    assert not record.is_live
    assert record.effective() == {}
    assert record.effective_tags() == {}

    fold(record, [ProfileStatement(at(4), {"first_name": "Ayu"})])
    assert record.is_live
    assert set(record.effective()) == {"first_name"}  # the note is older than the removal
    assert set(record.effective_tags()) == {"vip"}


def test_a_delta_older_than_the_snapshot_changes_nothing():
    record = folded([TagSnapshotStatement(at(5), {"vip": "VIP"})])

    assert not fold(record, [TagsStatement(at(4), {"vip": "vip"}, present=False)])
    assert fold(record, [TagsStatement(at(6), {"new": "New"}, present=True)])
    assert {key: name for key, (_, name) in record.effective_tags().items()} == {"vip": "VIP", "new": "New"}


def test_side_facts_do_not_revive_a_removed_record():
    record = folded(
        [
            ProfileStatement(at(1), {}),
            RemovalStatement(at(2)),
            ProfileStatement(at(3), {"segments.1": True}, exists=False),
        ]
    )

    assert not record.is_live


def test_an_unverified_new_email_does_not_inherit_the_proof():
    record = folded(
        [
            ProfileStatement(at(1), {"@email": ("email", "a@example.com", "a@example.com", True)}),
            ProfileStatement(at(2), {"@email": ("email", "b@example.com", "b@example.com", False)}),
        ]
    )

    assert [claim.is_verified for claim in record.claims().values()] == [False]


def test_microseconds_are_exact():
    assert microseconds(datetime(2026, 11, 1, 9, 30, 0, 123457, tzinfo=UTC)) % 1_000_000 == 123457


def test_a_change_of_a_tag_in_the_second_of_the_snapshot_counts():
    """The times of sources are whole seconds, so the snapshot may be older or newer than the change of the tag."""
    snapshot = TagSnapshotStatement(Stamp(5, 9, "b", 0, "00"), {"vip": "VIP"})
    changes = [TagsStatement(Stamp(5, 7, "a", 0, "00"), {"new": "new"}, present=True)]
    changes += [TagsStatement(Stamp(5, 6, "c", 0, "00"), {"vip": "VIP"}, present=False)]
    changes += [TagsStatement(Stamp(4, 8, "d", 0, "00"), {"old": "old"}, present=True)]

    for statements in ([snapshot, *changes], [*changes, snapshot]):
        assert set(folded(statements).effective_tags()) == {"new"}


def test_changes_of_tags_without_a_time_are_compared_by_their_sending_time():
    snapshot = TagSnapshotStatement(Stamp(0, 9, "b", 0, "00"), {})
    changes = [TagsStatement(Stamp(0, sent, str(sent), 0, "00"), {str(sent): "x"}, present=True) for sent in (8, 10)]

    assert set(folded([*changes, snapshot]).effective_tags()) == {"10"}


def test_of_two_spellings_of_an_identifier_the_same_one_shows_in_any_order():
    registers = {"@second": ("email", "a@b.c", "A@b.c", False), "@email": ("email", "a@b.c", "a@b.c", False)}
    stamp = Stamp(1, 1, "d", 0, "0" * 32)
    shown = set()
    for names in (list(registers), list(registers)[::-1]):
        record = Record("shop", "1", "customer")
        fold(record, [ProfileStatement(stamp, {name: registers[name] for name in names})])
        shown.add(record.claims()["email", "a@b.c"].value)

    assert shown == {"a@b.c"}
