"""Folded: which records of a batch changed, and which only repeat themselves."""

from datetime import timedelta
from itertools import count
from uuid import UUID

from connectors.contract import ProfileRemoved, TagsAdded
from tests.worker.histories import EMAILS, T0, a_profile, a_reading
from worker.domain.folded import Withdrawn, fold_batch

numbers = count(1)


def new_id():
    return UUID(int=next(numbers))


def stored_after(*statements):
    """The records that these statements leave, as they are loaded later."""
    rows = fold_batch([], statements, new_id).rows
    for row in rows.values():
        row.version = 1
    return list(rows.values())


def test_a_new_record_is_active_and_claimed_nothing_before():
    folded = fold_batch([], [a_reading("a", a_profile("1", email=EMAILS[0]))], new_id)

    assert folded.changed == set(folded.active) == {("a", "1")}
    assert folded.claims_before == {("a", "1"): {}}


def test_a_record_that_says_the_same_later_is_stored_and_regroups_nobody():
    stored = stored_after(a_reading("a", a_profile("1", email=EMAILS[0], name="Ayu")))

    folded = fold_batch(stored, [a_reading("a", a_profile("1", email=EMAILS[0], name="Ayu", at=2), number=1)], new_id)

    assert (folded.changed, folded.active, folded.repeating) == ({("a", "1")}, {}, {("a", "1")})


def test_a_record_that_changes_is_active_with_what_it_claimed_before():
    stored = stored_after(a_reading("a", a_profile("1", email=EMAILS[0])))

    folded = fold_batch(stored, [a_reading("a", a_profile("1", email=EMAILS[1], at=2), number=1)], new_id)

    assert set(folded.claims_before["a", "1"]) == {("email", EMAILS[0])}
    assert set(folded.active["a", "1"].record.claims()) == {("email", EMAILS[1])}


def test_a_late_statement_that_lost_already_makes_nothing_active():
    stored = stored_after(a_reading("a", a_profile("1", name="new", at=3), minute=9))

    folded = fold_batch(stored, [a_reading("a", a_profile("1", name="old", at=1), minute=9, number=1)], new_id)

    assert (folded.changed, folded.active) == (set(), {})


def test_a_statement_through_the_api_is_always_active():
    stored = stored_after(a_reading("api", TagsAdded(external_id="1", tags=("vip",), occurred_at=T0)))

    folded = fold_batch(stored, [a_reading("api", a_profile("1", name="Ayu"), number=1)], new_id)

    assert set(folded.active) == {("api", "1")}


def test_a_record_that_only_a_withdrawn_envelope_was_about_is_deleted():
    first = a_reading("a", a_profile("1", email=EMAILS[0]))
    (row,) = stored_after(first)

    folded = fold_batch([row], [], new_id, Withdrawn([first.envelope_id], [row], {row.id}))

    assert folded.deleted == [row.id]
    assert not row.record.is_live
    assert folded.claims_before == {
        ("a", "1"): {("email", EMAILS[0]): folded.claims_before["a", "1"]["email", EMAILS[0]]}
    }


def test_what_another_envelope_states_stays_when_one_is_withdrawn():
    first = a_reading("a", a_profile("1", email=EMAILS[0], name="Ayu"))
    second = a_reading("a", ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=1)), number=1)
    (row,) = stored_after(first, second)

    folded = fold_batch([row], [first], new_id, Withdrawn([second.envelope_id], [row], set()))

    assert (folded.deleted, row.record.is_live) == ([], True)
