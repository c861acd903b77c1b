"""Changeset: what a batch writes, on a store in memory. Order, batches and repeats make no difference to the result."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import ConsentStated, NoteAdded, ProfileRemoved, SuppressionStated, TagsAdded
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, events, statements_of
from tests.worker.histories import histories as drawn
from tests.worker.memory_store import MemoryStore
from worker.domain.grouping import Limits
from worker.domain.terms import CLAIM, FORMER, LAST

LIMITS = [Limits(10, 200), Limits(1, 200), Limits(10, 4), Limits(1, 3)]


@st.composite
def facts_beside_profiles(draw, number):
    """Draw the statements of an envelope with a consent, a suppression or a note."""
    external_id = draw(st.sampled_from(["1", "2", "3"]))
    at = T0 + timedelta(minutes=draw(st.integers(0, 3)))
    address = draw(st.sampled_from(EMAILS))
    kind = draw(st.integers(0, 4))
    if kind == 0:
        event = NoteAdded(external_id=external_id, body="called", occurred_at=at)
    elif kind == 1:
        event = SuppressionStated(
            external_id=external_id,
            channel="email",
            address=address,
            scope="all",
            reason=draw(st.sampled_from(["unsubscribed", "hard_bounce"])),
            lifted=draw(st.booleans()),
            occurred_at=at,
        )
    else:
        event = ConsentStated(
            external_id=external_id,
            channel="email",
            status=draw(st.sampled_from(["opted_in", "opted_out", "pending", "unknown"])),
            address=draw(st.sampled_from([address, None])),
            occurred_at=draw(st.sampled_from([at, None])),
        )
    return statements_of(draw(st.sampled_from(["a", "b"])), event, minute=5, number=number)


histories = drawn(events, facts_beside_profiles)


def applied(batches, limits=LIMITS[0]):
    store = MemoryStore(limits)
    for batch in batches:
        store.apply(batch)
    return store


def in_batches(data, history):
    left, batches = list(history), []
    while left:
        size = data.draw(st.integers(1, len(left)))
        batches.append(left[:size])
        left = left[size:]
    return batches


@pytest.mark.parametrize("limits", LIMITS, ids=str)
@settings(max_examples=150, deadline=None)
@given(history=histories, data=st.data())
def test_order_batches_and_repeats_change_nothing(limits, history, data):
    expected = applied([history], limits).state()
    # The same statements in another order and in other batches, and some of them twice.
    shuffled = data.draw(st.permutations(history + data.draw(st.lists(st.sampled_from(history), max_size=4))))

    assert applied(in_batches(data, shuffled), limits).state() == expected


@settings(max_examples=150, deadline=None)
@given(history=histories, data=st.data())
def test_a_batch_that_says_nothing_new_writes_nothing(history, data):
    store = applied(in_batches(data, history))
    contacts, log = dict(store.contacts), list(store.log)
    state = store.state()

    people, ledger = store.apply(history)

    assert (people.changes, people.new_records, people.new_claims, people.new_contacts) == ({}, [], [], [])
    assert (people.claims, people.disowned_claims, people.deleted_claims, people.terms) == ([], [], [], [])
    assert (people.updated_contacts, people.deleted_contacts, people.decisions, people.updated_records) == (
        [],
        [],
        [],
        [],
    )
    assert (ledger.new_consents, ledger.suppressions, ledger.notes) == ([], [], [])
    assert (ledger.touched, ledger.shown, ledger.log) == (set(), {}, [])
    assert (store.contacts, store.log, store.state()) == (contacts, log, state)


@settings(max_examples=100, deadline=None)
@given(history=histories)
def test_one_snapshot_always_gives_one_changeset(history):
    first, second = MemoryStore(), MemoryStore()

    (people, ledger), (same_people, same_ledger) = first.apply(history), second.apply(history)

    assert str(replace(people, snapshot=None)) == str(replace(same_people, snapshot=None))
    assert ledger == same_ledger


def test_a_new_contact_is_inserted_and_a_later_statement_updates_it_and_is_the_cause():
    store = MemoryStore()
    created = statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu"), number=1)
    edited = statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu Lestari", at=2), number=2)

    people, _ = store.apply([created])
    assert ([change.kind for change in people.changes.values()], len(people.new_contacts)) == (["created"], 1)

    people, _ = store.apply([edited])
    (change,) = people.changes.values()
    assert (change.kind, change.details) == ("changed", {"name": ("Ayu", "Ayu Lestari")})
    assert change.causes == (edited.envelope_id,)
    assert (people.new_contacts, len(people.updated_contacts), people.new_claims) == ([], 1, [])


def test_two_contacts_that_prove_to_be_one_keep_the_older_id_and_can_be_split_again():
    store = MemoryStore()
    store.apply([statements_of("b", a_profile("2", email=EMAILS[1], created=1), number=2)])
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0], created=0), number=1)])
    apart = {ref: store.records[ref][4].contact_id for ref in (("a", "1"), ("b", "2"))}

    people, _ = store.apply([statements_of("b", a_profile("2", email=EMAILS[0], at=1, created=1), number=3)])
    merged = next(change for change in people.changes.values() if change.kind == "merged")
    assert set(store.contacts) == {apart["b", "2"]}  # known longer, though the customer is younger
    assert (merged.contact_id, merged.details["merged_into"][1]) == (apart["a", "1"], apart["b", "2"].hex)

    store.apply([statements_of("b", a_profile("2", email=EMAILS[1], at=2, created=1), number=4)])
    assert {ref: store.records[ref][4].contact_id for ref in apart} == apart


def test_an_identifier_that_its_owner_drops_passes_to_the_next_claim():
    store = MemoryStore()
    first = statements_of("a", a_profile("1", phone=PHONES[0], created=0), number=1)
    second = statements_of("a", a_profile("2", phone=PHONES[0], created=0), number=2)
    store.apply([first, second])
    assert {claim.source for claim in store.claims.values() if claim.is_contested} == {"a"}

    moved = statements_of("a", a_profile("1", phone=PHONES[1], created=0, at=1), minute=1, number=3)
    people, ledger = store.apply([moved])

    shared = {claim.record_id: claim for claim in store.claims.values() if claim.key == PHONES[0]}
    left, passed = (shared[store.records["a", id_][0]] for id_ in "12")
    assert (left.role, left.is_owner, left.is_contested) == (FORMER, False, False)
    assert (passed.role, passed.is_owner, passed.is_contested) == (CLAIM, True, False)
    assert people.touched == {passed.record_id, left.record_id}
    gained = next(entry for entry in ledger.log if entry.contact_id == passed.record_id)
    assert gained.details == {f"identity:phone:{PHONES[0]}": ("unowned", None)}
    assert gained.causes == (moved.envelope_id,)


def test_a_removed_customer_stays_as_a_passenger_of_who_has_its_address():
    store = MemoryStore()
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0], created=0), number=1)])
    store.apply([statements_of("b", a_profile("1", email=EMAILS[0], created=1), number=2)])
    (contact_id,) = store.contacts

    gone = ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=1))
    store.apply([statements_of("a", gone, minute=1, number=3)])

    assert {placed[4].contact_id for placed in store.records.values()} == {contact_id}
    assert {claim.source: (claim.role, claim.is_owner) for claim in store.claims.values()} == {
        "a": (LAST, False),
        "b": (CLAIM, True),
    }


def test_a_no_about_an_address_is_shown_and_logged_on_every_contact_that_holds_it():
    store = MemoryStore()
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0]), a_profile("2", email=EMAILS[0]), number=1)])
    refusal = ConsentStated(external_id="1", channel="email", status="opted_out", address=EMAILS[0], occurred_at=T0)
    stated = statements_of("a", refusal, minute=1, number=2)

    people, ledger = store.apply([stated])

    assert len(store.contacts) == 2
    assert {shown["consent:email:marketing"] for shown in store.shown.values()} == {"opted_out"}
    assert {entry.contact_id for entry in ledger.log} == set(store.contacts)
    assert [entry.details for entry in ledger.log] == [{"consent:email:marketing": (None, "opted_out")}] * 2
    assert {entry.causes for entry in ledger.log} == {(stated.envelope_id,)}
    assert (people.changes, ledger.shown, set(ledger.shown_only)) == ({}, {}, set(store.contacts))


def test_a_record_that_was_only_mentioned_makes_no_contact():
    store = MemoryStore()

    store.apply([statements_of("a", TagsAdded(external_id="1", tags=("vip",), occurred_at=T0), number=1)])

    assert (len(store.records), store.contacts, store.log) == (1, {}, [])
