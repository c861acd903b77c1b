"""Folded: which records a batch changes, and which records only repeat what is stored."""

from datetime import timedelta
from itertools import count
from uuid import UUID

from connectors.contract import ProfileRemoved, ProfilesMerged, TagsAdded
from tests.worker.histories import EMAILS, T0, a_profile, statements_of
from worker.domain.folded import Withdrawn, fold_batch
from worker.domain.terms import CLAIM, FORMER

numbers = count(1)


def new_id():
    return UUID(int=next(numbers))


def stored_after(*statements):
    """Return the records that these statements result in, as a later batch loads them."""
    rows = fold_batch([], statements, new_id).rows
    for row in rows.values():
        row.version = 1
    return list(rows.values())


def test_a_new_record_is_active_and_nothing_tied_it_to_others_before():
    folded = fold_batch([], [statements_of("a", a_profile("1", email=EMAILS[0]))], new_id)

    assert folded.changed == set(folded.active) == {("a", "1")}
    assert folded.ties_before == {("a", "1"): {}}


def test_a_record_that_repeats_itself_later_is_stored_but_not_active():
    stored = stored_after(statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu")))

    folded = fold_batch(
        stored, [statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu", at=2), number=1)], new_id
    )

    assert (folded.changed, folded.active, folded.repeating) == ({("a", "1")}, {}, {("a", "1")})


def test_a_record_that_changes_is_active_and_its_earlier_ties_are_known():
    stored = stored_after(statements_of("a", a_profile("1", email=EMAILS[0])))

    folded = fold_batch(stored, [statements_of("a", a_profile("1", email=EMAILS[1], at=2), number=1)], new_id)

    assert set(folded.ties_before["a", "1"]) == {("email", EMAILS[0])}
    assert {ident: tie.role for ident, tie in folded.active["a", "1"].record.ties().items()} == {
        ("email", EMAILS[0]): FORMER,
        ("email", EMAILS[1]): CLAIM,
    }


def test_a_statement_older_than_what_is_stored_makes_no_record_active():
    stored = stored_after(statements_of("a", a_profile("1", note="new", at=3), minute=9))

    folded = fold_batch(stored, [statements_of("a", a_profile("1", note="old", at=1), minute=9, number=1)], new_id)

    assert (folded.changed, folded.active) == (set(), {})


def test_an_older_name_or_claim_makes_its_record_active_because_both_only_grow():
    for older in (a_profile("1", name="Old", at=1), a_profile("1", email=EMAILS[1], at=1)):
        newer = a_profile("1", name="New", email=EMAILS[0], at=3)
        stored = stored_after(statements_of("a", newer, minute=9))

        folded = fold_batch(stored, [statements_of("a", older, minute=9, number=1)], new_id)

        assert (folded.changed, set(folded.active)) == ({("a", "1")}, {("a", "1")})


def test_a_record_that_a_decision_is_about_is_active_though_it_repeats_itself():
    profiles = [a_profile("1", name="Ayu"), a_profile("2", name="Ayu")]
    stored = stored_after(statements_of("a", *profiles))
    merged = ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0)

    folded = fold_batch(stored, [statements_of("a", *profiles, merged, number=1)], new_id)

    assert set(folded.active) == {("a", "1"), ("a", "2")}


def test_a_statement_through_the_api_is_always_active():
    stored = stored_after(statements_of("api", TagsAdded(external_id="1", tags=("vip",), occurred_at=T0)))

    folded = fold_batch(stored, [statements_of("api", a_profile("1", name="Ayu"), number=1)], new_id)

    assert set(folded.active) == {("api", "1")}


def test_a_record_that_only_a_withdrawn_envelope_mentioned_is_deleted():
    first = statements_of("a", a_profile("1", email=EMAILS[0]))
    (row,) = stored_after(first)

    folded = fold_batch([row], [], new_id, Withdrawn([first.envelope_id], [row], {row.id}))

    assert folded.deleted == [row.id]
    assert not row.record.is_live
    assert {ref: set(ties) for ref, ties in folded.ties_before.items()} == {("a", "1"): {("email", EMAILS[0])}}


def test_statements_of_other_envelopes_stay_when_an_envelope_is_withdrawn():
    first = statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu"))
    second = statements_of("a", ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=1)), number=1)
    (row,) = stored_after(first, second)

    folded = fold_batch([row], [first], new_id, Withdrawn([second.envelope_id], [row], set()))

    assert (folded.deleted, row.record.is_live) == ([], True)
