"""Ledger: what a batch adds beside profiles, what contacts show of it, and what the change log says."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.contract import ConnectionRevoked, ConsentStated, NoteAdded, ProfileSeen, SuppressionStated
from tests.worker.histories import EMAILS, T0, a_profile, statements_of
from tests.worker.memory_store import MemoryStore
from worker.domain.concerned import concerned
from worker.domain.ledger import _Said
from worker.domain.times import microseconds


def a_consent(status, *, at=0, address=EMAILS[0], number=0, external_id="1"):
    occurred_at = None if at is None else T0 + timedelta(minutes=at)
    event = ConsentStated(
        external_id=external_id, channel="email", status=status, address=address, occurred_at=occurred_at
    )
    return statements_of("a", event, minute=9, number=number)


def a_suppression(at, *, lifted=False, address=EMAILS[0]):
    event = SuppressionStated(
        external_id="1", channel="email", address=address, scope="all", reason="hard_bounce", lifted=lifted,
        occurred_at=T0 + timedelta(minutes=at),
    )  # fmt: skip
    return statements_of("a", event, minute=9, number=at)


def a_store():
    store = MemoryStore()
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0]), number=99)])
    store.log.clear()
    return store


def shown(store):
    (found,) = store.shown.values()
    return found


def test_a_consent_is_new_shown_and_logged_with_its_cause():
    store, stated = a_store(), a_consent("opted_in")

    _, ledger = store.apply([stated])

    assert [one.envelope_id for one in ledger.new_consents] == [stated.envelope_id]
    assert shown(store) == {"consent:email:marketing": "opted_in"}
    (entry,) = ledger.log
    assert (entry.kind, entry.details, entry.causes) == (
        "changed",
        {"consent:email:marketing": (None, "opted_in")},
        (stated.envelope_id,),
    )


def test_an_older_consent_is_stored_and_touches_but_changes_nothing_shown():
    store = a_store()
    store.apply([a_consent("opted_out", at=2)])

    _, ledger = store.apply([a_consent("opted_in", at=1)])

    assert (len(ledger.new_consents), ledger.log, ledger.shown_only) == (1, [], {})
    assert ledger.touched == set(store.contacts)


def test_the_same_consent_again_is_nothing():
    store = a_store()
    store.apply([a_consent("opted_in"), a_consent("opted_in")])
    assert len(store.consents) == 1

    _, ledger = store.apply([a_consent("opted_in")])

    assert (ledger.new_consents, ledger.log, ledger.touched) == ([], [], set())


def test_what_happens_beside_a_profile_joins_its_entry():
    store = a_store()
    renamed = statements_of("a", a_profile("1", email=EMAILS[0], at=1, name="Ayu"), number=1)
    stated = a_consent("opted_in")

    store.apply([renamed, stated])

    (entry,) = store.log
    assert entry.details == {
        "name": (None, "Ayu", renamed.envelope_id.hex),
        "consent:email:marketing": (None, "opted_in", stated.envelope_id.hex),
    }


def test_a_suppression_is_logged_when_it_begins_and_when_it_ends():
    store, name = a_store(), "suppression:email:hard_bounce:all"

    store.apply([a_suppression(1)])
    store.apply([a_suppression(2, lifted=True)])

    assert [entry.details[name][:2] for entry in store.log] == [(None, "active"), ("active", "lifted")]


def test_a_suppression_stated_twice_is_added_once():
    store = a_store()
    store.apply([a_suppression(1)])

    _, ledger = store.apply([a_suppression(1)])

    assert (ledger.suppressions, ledger.log) == ([], [])


def test_a_note_that_is_stored_already_is_not_logged_again():
    store = a_store()
    stated = statements_of("a", NoteAdded(external_id="1", body="called", occurred_at=T0))

    _, first = store.apply([stated])
    _, again = store.apply([stated])

    assert [note.note.body for note in first.notes] == ["called"]
    assert first.log[0].details == {"note": (None, "note")}
    assert (again.notes, again.log) == ([], [])


def test_a_revocation_names_the_connection_of_its_envelope():
    _, ledger = MemoryStore().apply([statements_of("a", ConnectionRevoked(occurred_at=T0), minute=0)])

    assert [at for _, at in ledger.revocations] == [microseconds(T0)]


said = st.builds(
    a_consent,
    st.sampled_from(["opted_in", "opted_out", "pending", "unknown"]),
    at=st.sampled_from([None, 0, 1, 2, 3]),
    address=st.sampled_from([EMAILS[0], EMAILS[0], EMAILS[1], None]),
    number=st.integers(0, 999),
    external_id=st.sampled_from(["1", "1", "2"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(said, min_size=1, max_size=5), st.lists(said, max_size=4))
def test_what_is_plain_to_see_is_what_it_comes_to_when_it_is_worked_out(before, batch):
    store = a_store()
    store.apply([statements_of("a", ProfileSeen(external_id="2", occurred_at=T0), number=98)])
    store.apply(before)

    people, about, ledgers, ledger = store.worked_out(batch)

    what = _Said(ledgers, ledger)
    for holding in about.contacts:
        plain = what.plainly(holding)
        if plain is not None:
            assert plain[0] == what.shown_of(about.holder(holding))[0]
    assert concerned(people).contacts == about.contacts
