"""Deletions: a record stays removed until it states something newer than the deletion of one of its addresses."""

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from connectors.contract import ProfileRemoved, TagsAdded
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, statements_of
from worker import ids
from worker.domain.api_writes import delivery_id
from worker.domain.deletions import Deletion, hide
from worker.domain.folded import fold_batch
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.domain.record_state import decode, encode
from worker.domain.rows import RecordRow
from worker.domain.terms import CLAIM, LAST, kind_of
from worker.domain.times import microseconds

EMAIL, PHONE = ("email", EMAILS[0]), ("phone", PHONES[0])
ENVELOPE_ID = uuid4()


def deleted(minute, *, spared=()):
    """Deletions of the address, by address."""
    return {EMAIL: [Deletion(ENVELOPE_ID, microseconds(T0 + timedelta(minutes=minute)), frozenset(spared))]}


def folded_of(*events, source="a"):
    statements = [statements_of(source, event, minute=60, number=n) for n, event in enumerate(events)]
    return fold_batch([], statements, ids.new)


def judged(folded, deletions):
    """Return the record as it is after these deletions."""
    hide(folded, folded.rows.values(), deletions)
    (row,) = folded.rows.values()
    return row.record


def test_a_record_that_claims_the_address_is_removed_and_holds_it_as_its_last():
    record = judged(folded_of(a_profile(email=EMAILS[0], phone=PHONES[0], at=5, name="Ayu")), deleted(10))

    assert not record.is_live
    assert (record.effective(), record.claims()) == ({}, {})
    assert {ident: tie.role for ident, tie in record.ties().items()} == {EMAIL: LAST, PHONE: LAST}
    assert record.gone_at == microseconds(T0 + timedelta(minutes=10))


@pytest.mark.parametrize(
    ("profile", "deletions"),
    [
        (a_profile(email=EMAILS[0], at=11), deleted(10)),
        (a_profile(email=EMAILS[0], at=5), deleted(10, spared=[("a", "1")])),
        (a_profile(email=EMAILS[1], phone=PHONES[0], at=5), deleted(10)),
        (a_profile(None, email=EMAILS[1], at=5), deleted(10)),
    ],
    ids=["newer", "spared", "another address", "a guest of another address"],
)
def test_other_records_live(profile, deletions):
    record = judged(folded_of(profile), deletions)

    assert (record.is_live, record.deleted) == (True, None)
    assert {tie.role for tie in record.ties().values()} == {CLAIM}


def test_what_a_guest_gave_beside_its_key_removes_nobody():
    deletions = {PHONE: deleted(10)[EMAIL]}

    assert judged(folded_of(a_profile(None, email=EMAILS[0], phone=PHONES[0], at=5)), deletions).is_live
    assert not judged(folded_of(a_profile(None, phone=PHONES[0], at=5)), deletions).is_live


def test_of_two_deletions_the_newer_one_counts_unless_it_spares_the_record():
    deletions = {EMAIL: [*deleted(10)[EMAIL], *deleted(20)[EMAIL], *deleted(30, spared=[("a", "1")])[EMAIL]]}

    assert judged(folded_of(a_profile(email=EMAILS[0], at=5)), deletions).gone_at == microseconds(
        T0 + timedelta(minutes=20)
    )
    assert not judged(folded_of(a_profile(email=EMAILS[0], at=15)), deletions).is_live
    assert judged(folded_of(a_profile(email=EMAILS[0], at=25)), deletions).is_live


def test_what_its_source_removed_is_not_removed_twice():
    removal = ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=6))

    assert judged(folded_of(a_profile(email=EMAILS[0], at=5), removal), deleted(10)).deleted is None


def test_a_revived_record_that_the_deletion_removes_holds_what_it_has_claimed_since():
    removal = ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=3))
    before, after = a_profile(phone=PHONES[0], at=2), a_profile(email=EMAILS[0], at=5)

    assert judged(folded_of(before, removal, after), deleted(10)).last_claims().keys() == {EMAIL}


def test_an_edit_is_never_removed_by_an_address():
    assert judged(folded_of(a_profile("edit:a:1", email=EMAILS[0], at=5), source="api"), deleted(10)).is_live


@pytest.mark.parametrize("ref", [("a", "1"), ("api", "guest:email:ayu@example.com")])
def test_what_a_request_stated_is_never_removed_by_an_address(ref):
    stated = replace(a_profile(ref[1], email=EMAILS[0]), occurred_at=None)
    sent_at, envelope_id = T0 + timedelta(minutes=5), uuid4()
    write = normalise_api_write(
        envelope_id,
        [(ref[0], stated)],
        sent_at=sent_at,
        delivery_id=delivery_id(envelope_id),
        ceiling=ceiling_of(sent_at),
    )

    assert judged(fold_batch([], [write], ids.new), deleted(10)).is_live


def test_a_stored_record_is_removed_by_a_deletion_that_comes_later_and_names_it():
    stored = stored_row(a_profile("2", email=EMAILS[0], at=5))
    folded = folded_of(a_profile("1", email=EMAILS[0], at=20))

    hidden = hide(folded, [*folded.rows.values(), stored], deleted(10))

    assert hidden == {("a", "2"): ENVELOPE_ID}
    assert not stored.record.is_live
    assert {tie.role for tie in folded.ties_before["a", "2"].values()} == {CLAIM}
    assert {("a", "1"), ("a", "2")} <= folded.changed
    assert hide(folded, [stored], deleted(10)) == {}


def test_of_a_stored_record_a_newer_deletion_that_was_known_before_stands():
    stored = stored_row(a_profile("2", email=EMAILS[0], at=5))
    stored.record.hide(microseconds(T0 + timedelta(minutes=30)))
    folded = folded_of(a_profile("1", email=EMAILS[0], at=20))

    assert hide(folded, [stored], deleted(10)) == {}
    assert stored.record.deleted == microseconds(T0 + timedelta(minutes=30))


@pytest.mark.parametrize(
    ("event", "is_active"),
    [
        (a_profile(email=EMAILS[0], at=4), False),
        (a_profile(email=EMAILS[0], at=40), True),
        (a_profile(email=EMAILS[1], at=6), True),
        (TagsAdded(external_id="1", tags=("vip",), occurred_at=T0 + timedelta(minutes=40)), False),
    ],
    ids=["older", "newer", "another address", "no profile"],
)
def test_a_removed_record_is_judged_anew_when_it_says_something_newer_or_claims_something_else(event, is_active):
    stored = stored_row(a_profile(email=EMAILS[0], at=5))
    stored.record.hide(microseconds(T0 + timedelta(minutes=10)))

    folded = fold_batch([stored], [statements_of("a", event, minute=60, number=9)], ids.new)
    hide(folded, folded.active.values(), deleted(10))

    assert stored.record.is_live is is_active


def test_the_state_of_a_removed_record_is_stored():
    record = judged(folded_of(a_profile(email=EMAILS[0], at=5)), deleted(10))

    assert decode(*record.ref, record.kind, encode(record)) == record


def stored_row(profile):
    folded = folded_of(profile)
    (row,) = folded.rows.values()
    record = decode(*row.ref, kind_of(row.ref), encode(row.record))
    return RecordRow(row.id, record, version=1, contact_id=row.id)
