"""Ledger: which consents, suppressions and notes a batch adds, and what the change log says of them."""

from datetime import timedelta
from uuid import UUID, uuid4

from connectors.contract import ConnectionRevoked, ConsentStated, NoteAdded, SuppressionStated
from tests.worker.histories import EMAILS, T0, statements_of
from worker.domain.changes import Change
from worker.domain.ledger import Ledgers, PriorConsent, keyed_consents, ledger_changes
from worker.domain.times import microseconds

CONTACT, RECORD, CONNECTION = UUID(int=1), UUID(int=2), UUID(int=3)
REF = ("a", "1")


def a_consent(status, *, at=0, address=EMAILS[0], number=0):
    event = ConsentStated(
        external_id="1", channel="email", status=status, address=address, occurred_at=T0 + timedelta(minutes=at)
    )
    return statements_of("a", event, minute=9, number=number)


def changes_of(statements, ledgers=Ledgers(), changes=None):  # noqa: B008 - empty
    return ledger_changes(
        statements,
        keyed_consents(statements),
        ledgers,
        contact_of={REF: CONTACT},
        record_ids={REF: RECORD},
        connection_of={one.envelope_id: CONNECTION for one in statements},
        changes=changes or {},
        name_note=lambda _envelope_id, position: (UUID(int=position + 9), f"nte_{position}"),
    )


def prior(status, at):
    return PriorConsent("email", "marketing", EMAILS[0], status, microseconds(T0 + timedelta(minutes=at)), b"")


def test_the_first_consent_of_an_address_is_new_and_logged():
    stated = a_consent("opted_in")
    found = changes_of([stated])

    assert ([one.envelope_id for one in found.new_consents], found.consents) == ([stated.envelope_id], [])
    (entry,) = found.log
    assert (entry.kind, entry.details) == ("changed", {"consent:email:marketing": (None, "opted_in")})
    assert found.touched == [CONTACT]


def test_an_older_consent_is_stored_but_not_logged():
    found = changes_of([a_consent("opted_in", at=1)], Ledgers(consents=[prior("opted_out", 2)]))

    assert (len(found.consents), found.new_consents, found.log) == (1, [], [])


def test_on_equal_times_the_more_restrictive_counts():
    restricted = changes_of([a_consent("opted_out", at=2)], Ledgers(consents=[prior("opted_in", 2)]))
    opened = changes_of([a_consent("opted_in", at=2)], Ledgers(consents=[prior("opted_out", 2)]))

    assert [entry.details for entry in restricted.log] == [{"consent:email:marketing": ("opted_in", "opted_out")}]
    assert opened.log == []


def test_the_same_consent_stated_twice_is_one_row():
    found = changes_of([a_consent("opted_in"), a_consent("opted_in")])

    assert len(found.new_consents) == 1


def test_a_consent_joins_a_copy_of_the_entry_that_a_changed_profile_has():
    stated = a_consent("opted_in")
    other = uuid4()
    entry = Change(CONTACT, "changed", {"name": (None, "Ayu")}, (other,))
    found = changes_of([stated], changes={CONTACT: entry})

    (joined,) = found.log
    assert joined.details == {
        "name": (None, "Ayu"),
        "consent:email:marketing": (None, "opted_in", stated.envelope_id.hex),
    }
    assert entry.details == {"name": (None, "Ayu")}
    assert found.touched == []


def test_a_suppression_is_logged_when_it_begins_and_when_it_ends():
    def a_suppression(at, *, lifted):
        event = SuppressionStated(
            external_id="1", channel="email", address=EMAILS[0], scope="all", reason="hard_bounce", lifted=lifted,
            occurred_at=T0 + timedelta(minutes=at),
        )  # fmt: skip
        return statements_of("a", event, minute=9, number=at)

    begun = changes_of([a_suppression(1, lifted=False)])
    both = changes_of([a_suppression(1, lifted=False), a_suppression(2, lifted=True)])

    name = "suppression:email:hard_bounce:all"
    assert [entry.details for entry in begun.log] == [{name: (None, "active")}]
    assert both.log[0].details[name][:2] == (None, "lifted")


def test_a_note_that_is_stored_already_is_not_logged_again():
    stated = statements_of("a", NoteAdded(external_id="1", body="called", occurred_at=T0))

    first = changes_of([stated])
    again = changes_of([stated], Ledgers(noted={UUID(int=9)}))

    assert [(note.record_id, note.note.body) for note in first.notes] == [(RECORD, "called")]
    assert first.log[0].details == {"note": (None, "nte_0")}
    assert (again.notes, again.log) == ([], [])


def test_a_revocation_names_the_connection_of_its_envelope():
    found = changes_of([statements_of("a", ConnectionRevoked(occurred_at=T0), minute=0)])

    assert found.revocations == [(CONNECTION, microseconds(T0))]
