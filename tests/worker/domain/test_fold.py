"""Fold: the same statements give the same record, in any order and any number of times."""

from collections import defaultdict
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.fold import fold, repeats, withdraw
from worker.domain.past import name_in
from worker.domain.record import Record
from worker.domain.record_state import decode, encode
from worker.domain.statements import ProfileStatement, RemovalStatement, TagSnapshotStatement, TagsStatement
from worker.domain.terms import CLAIM, EVIDENCE, FORMER, LAST, Stamp
from worker.domain.times import microseconds

STAMPS = st.builds(
    Stamp,
    st.integers(0, 4),
    st.integers(0, 2),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 1),
    st.just("00"),
)
EMAILS = st.sampled_from([("email", f"{name}@b.c", f"{name}@b.c", False) for name in ("ayu", "budi")])
REGISTERS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["Ayu Sari", ""]),
        "first_name": st.sampled_from(["Ayu", "Budi", None]),
        "last_name": st.sampled_from(["Sari", None]),
        "note": st.sampled_from(["x", "y", None]),
        "#created": st.integers(0, 3),
        "@email": EMAILS | st.none(),
        "@second": EMAILS | st.none(),
    },
)
TAGS = st.dictionaries(st.sampled_from(["vip", "new", "old"]), st.sampled_from(["x", "X"]), max_size=2)


@st.composite
def histories(draw, size=8):
    """Draw statements with stamps of their own: a delivery has one body, so a stamp is of one statement."""
    return [
        draw(
            st.builds(ProfileStatement, st.just(stamp), REGISTERS, st.booleans())
            | st.builds(RemovalStatement, st.just(stamp))
            | st.builds(TagsStatement, st.just(stamp), TAGS, st.booleans())
            | st.builds(TagSnapshotStatement, st.just(stamp), TAGS)
        )
        for stamp in draw(st.lists(STAMPS, unique=True, max_size=size))
    ]


def folded(statements) -> Record:
    record = Record("shop", "1", "customer")
    fold(record, statements)
    return record


def state(record: Record) -> bytes:
    return orjson.dumps(encode(record))


@given(histories(), st.randoms())
def test_order_and_repetition_change_nothing(history, random):
    shuffled = history * 3
    random.shuffle(shuffled)

    assert state(folded(shuffled)) == state(folded(history))


REPEATABLE = st.builds(ProfileStatement, STAMPS, REGISTERS, st.booleans()) | st.builds(
    TagSnapshotStatement, STAMPS, TAGS
)


@given(histories(2), st.lists(REPEATABLE, max_size=3), st.lists(REPEATABLE, max_size=3))
def test_statements_that_repeat_a_record_leave_its_content_as_it_was(history, first, again):
    record = folded([*history, *first])
    before = record.content()

    if repeats(record, again):
        fold(record, again)
        assert record.content() == before


def test_a_part_of_a_known_name_is_news_because_it_is_a_name_of_its_own():
    record = folded([ProfileStatement(at(1), {"first_name": "Ayu", "last_name": "Sari"})])

    assert not repeats(record, [ProfileStatement(at(2), {"first_name": "Ayu"})])
    assert repeats(record, [ProfileStatement(at(2), {"first_name": "Ayu", "last_name": "Sari"})])


@pytest.mark.parametrize("is_stored", [False, True])
def test_a_customer_that_is_read_again_only_repeats_its_record(is_stored):
    claim = ("email", "ayu@example.com", "ayu@example.com", True)
    statements = [
        ProfileStatement(Stamp(1, 1, "d", 0, "00"), {"@email": claim, "note": None}),
        TagSnapshotStatement(Stamp(1, 1, "d", 1, "00"), {"vip": "VIP"}),
    ]
    record = folded(statements)
    if is_stored:
        record = decode("shop", "1", "customer", orjson.loads(state(record)))

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


def test_a_claim_that_was_made_earlier_than_was_known_is_news():
    profile = {"@email": a_claim("ayu")}
    record = folded([ProfileStatement(at(2), profile)])

    assert not repeats(record, [ProfileStatement(at(1), profile)])
    assert repeats(record, [ProfileStatement(at(3), profile)])


@given(histories(), st.integers(0, 8))
def test_folding_in_two_parts_gives_what_folding_at_once_gives(history, cut):
    record = folded(history[:cut])
    record = decode("shop", "1", "customer", orjson.loads(state(record)))
    fold(record, history[cut:])

    assert state(record) == state(folded(history))


@given(histories())
def test_a_statement_that_was_folded_before_changes_nothing(history):
    record = folded(history)
    before = state(record)

    assert not fold(record, history)
    assert state(record) == before


@given(histories())
def test_the_statements_of_an_envelope_can_be_withdrawn(history):
    ours = [
        type(s)(**{**{f: getattr(s, f) for f in s.__dataclass_fields__}, "stamp": s.stamp._replace(envelope_id="ff")})
        for s in history[:3]
    ]
    record = folded([*history[3:], *ours])

    withdraw(record, "ff")
    fold(record, history[3:])  # a replay folds the statements of the other envelopes again

    assert state(record) == state(folded(history[3:]))


def test_a_name_that_a_withdrawal_left_in_part_was_never_said():
    whole = ProfileStatement(at(1), {"first_name": "Ayu", "last_name": "Sari"})
    record = folded([whole, ProfileStatement(at(2)._replace(envelope_id="ff"), {"last_name": "Putri"})])

    withdraw(record, "ff")
    assert record.names() == {"Ayu Sari"}

    fold(record, [whole])
    assert state(record) == state(folded([whole]))


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
    record = folded([ProfileStatement(at(1), {}), TagSnapshotStatement(at(5), {"vip": "VIP"})])

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


SEEN = ProfileStatement(at(1), {})


def test_a_change_of_a_tag_in_the_second_of_the_snapshot_counts():
    """The times of sources are whole seconds, so the snapshot may be older or newer than the change of the tag."""
    snapshot = TagSnapshotStatement(Stamp(5, 9, "b", 0, "00"), {"vip": "VIP"})
    changes = [TagsStatement(Stamp(5, 7, "a", 0, "00"), {"new": "new"}, present=True)]
    changes += [TagsStatement(Stamp(5, 6, "c", 0, "00"), {"vip": "VIP"}, present=False)]
    changes += [TagsStatement(Stamp(4, 8, "d", 0, "00"), {"old": "old"}, present=True)]

    for statements in ([snapshot, *changes], [*changes, snapshot]):
        assert set(folded([SEEN, *statements]).effective_tags()) == {"new"}


def test_changes_of_tags_without_a_time_are_compared_by_their_sending_time():
    snapshot = TagSnapshotStatement(Stamp(0, 9, "b", 0, "00"), {})
    changes = [TagsStatement(Stamp(0, sent, str(sent), 0, "00"), {str(sent): "x"}, present=True) for sent in (8, 10)]

    assert set(folded([SEEN, *changes, snapshot]).effective_tags()) == {"10"}


def test_of_two_spellings_of_an_identifier_the_same_one_shows_in_any_order():
    registers = {"@second": ("email", "a@b.c", "A@b.c", False), "@email": ("email", "a@b.c", "a@b.c", False)}
    stamp = Stamp(1, 1, "d", 0, "0" * 32)
    shown = set()
    for names in (list(registers), list(registers)[::-1]):
        record = Record("shop", "1", "customer")
        fold(record, [ProfileStatement(stamp, {name: registers[name] for name in names})])
        shown.add(record.claims()["email", "a@b.c"].value)

    assert shown == {"a@b.c"}


def profiles(history):
    return [statement for statement in history if type(statement) is ProfileStatement]


@given(histories())
def test_a_record_knows_every_name_that_was_said_whatever_was_said_since(history):
    said = {name_in(statement.registers) for statement in profiles(history)}

    assert folded(history).names() == said - {""}


@given(histories())
def test_a_record_knows_when_each_identifier_was_first_and_last_claimed(history):
    stamps = defaultdict(list)
    for statement in profiles(history):
        for claim in (statement.registers.get("@email"), statement.registers.get("@second")):
            if claim is not None:
                stamps[claim[:2]].append(statement.stamp)

    assert folded(history).history() == {ident: (min(found), max(found)) for ident, found in stamps.items()}


@given(histories())
def test_a_customer_was_created_at_the_earliest_of_the_times_given(history):
    record = folded([*history, ProfileStatement(at(9), {})])

    created = [s.registers["#created"] for s in profiles(history) if "#created" in s.registers]

    assert record.is_live
    assert record.created() == min(created, default=None)


def test_a_record_that_was_only_mentioned_has_nothing_to_show():
    record = folded([TagsStatement(at(1), {"vip": "VIP"}, present=True), ProfileStatement(at(2), {"note": "x"}, False)])

    assert (record.is_live, record.effective(), record.effective_tags(), record.ties()) == (False, {}, {}, {})


def a_claim(name):
    return ("email", f"{name}@b.c", f"{name}@b.c", True)


def roles(record):
    return {key.partition("@")[0]: tie.role for (_, key), tie in record.ties().items()}


def test_a_live_record_is_tied_by_what_it_claims_and_by_what_it_claimed_once():
    record = folded(
        [ProfileStatement(at(1), {"@email": a_claim("ayu")}), ProfileStatement(at(2), {"@email": a_claim("budi")})]
    )

    assert roles(record) == {"ayu": FORMER, "budi": CLAIM}
    assert [tie.is_verified for tie in record.ties().values()] == [True, False]


def test_a_removed_record_is_tied_by_what_it_claimed_last():
    record = folded(
        [
            ProfileStatement(at(1), {"@email": a_claim("ayu")}),
            ProfileStatement(at(2), {"@email": a_claim("budi")}),
            RemovalStatement(at(3)),
        ]
    )

    assert roles(record) == {"budi": LAST}


def test_a_guest_is_tied_by_its_key_and_what_else_it_gave_is_evidence():
    record = Record("shop", "guest:email:ayu@b.c", "guest")
    fold(record, [ProfileStatement(at(1), {"@email": a_claim("ayu"), "@second": a_claim("budi")})])

    assert roles(record) == {"ayu": CLAIM, "budi": EVIDENCE}

    fold(record, [RemovalStatement(at(2))])

    assert roles(record) == {"ayu": LAST}
