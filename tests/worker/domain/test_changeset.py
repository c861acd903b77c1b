"""Changeset: what a batch writes, on a store in memory. Order, batches and repeats make no difference to the result."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import ConsentStated, NoteAdded, ProfileRemoved, SuppressionStated
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, events, statements_of
from tests.worker.memory_store import MemoryStore
from worker.domain.grouping import Limits

LIMITS = [Limits(10, 200), Limits(1, 200), Limits(10, 4), Limits(1, 3)]


@st.composite
def facts_beside_profiles(draw):
    """Draw the statements of an envelope with a consent, a suppression or a note."""
    number = draw(st.integers(0, 10**9))
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


histories = st.lists(events() | facts_beside_profiles(), min_size=1, max_size=14)


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
    assert (ledger.new_consents, ledger.notes, ledger.touched, ledger.log) == ([], [], [], [])
    assert (store.contacts, store.log, store.state()) == (contacts, log, state)


@settings(max_examples=100, deadline=None)
@given(history=histories)
def test_one_snapshot_always_gives_one_changeset(history):
    first, second = MemoryStore(), MemoryStore()

    assert str(first.apply(history)) == str(second.apply(history))


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


def test_two_contacts_that_prove_to_be_one_become_the_older_one_and_can_be_split_again():
    store = MemoryStore()
    older = statements_of("a", a_profile("1", email=EMAILS[0], created=0), number=1)
    younger = statements_of("b", a_profile("2", email=EMAILS[1], created=1), number=2)
    store.apply([older, younger])
    apart = set(store.contacts)

    people, _ = store.apply([statements_of("b", a_profile("2", email=EMAILS[0], at=1, created=1), number=3)])
    merged = next(change for change in people.changes.values() if change.kind == "merged")
    assert set(store.contacts) == {store.records["a", "1"][0]}
    assert merged.details["merged_into"][1] == store.records["a", "1"][0].hex

    store.apply([statements_of("b", a_profile("2", email=EMAILS[1], at=2, created=1), number=4)])
    assert set(store.contacts) == apart


def test_an_identifier_that_its_owner_drops_passes_to_the_next_claim():
    store = MemoryStore()
    first = statements_of("a", a_profile("1", phone=PHONES[0], created=0), number=1)
    second = statements_of("a", a_profile("2", phone=PHONES[0], created=1), number=2)
    store.apply([first, second])
    assert {claim.source for claim in store.claims.values() if claim.is_contested} == {"a"}

    store.apply([statements_of("a", ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=1)), number=3)])

    (claim,) = store.claims.values()
    assert (claim.record_id, claim.is_owner, claim.is_contested) == (store.records["a", "2"][0], True, False)
