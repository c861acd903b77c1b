"""Concerned: whom a batch concerns beside those it is about, and how identifiers stand in the change log."""

from connectors.contract import ConsentStated, Identifier, ProfileSeen
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, statements_of
from tests.worker.memory_store import MemoryStore
from worker.domain.concerned import shown_identifiers


def a_no(external_id, address, number=9):
    event = ConsentStated(external_id=external_id, channel="email", status="opted_out", address=address, occurred_at=T0)
    return statements_of("a", event, minute=9, number=number)


def test_a_no_concerns_everybody_who_holds_its_address():
    store = MemoryStore()
    store.apply([statements_of("a", *(a_profile(n, email=EMAILS[0]) for n in "12"), a_profile("3", email=EMAILS[1]))])

    _, about, _, _ = store.worked_out([a_no("1", EMAILS[0])])

    assert {record.external_id for holding in about.contacts for record in holding.records} == {"1", "2"}
    assert EMAILS[0] in about.addresses


def test_a_no_about_an_address_that_nobody_holds_concerns_the_one_who_said_it():
    store = MemoryStore()
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0]))])

    _, about, _, _ = store.worked_out([a_no("1", EMAILS[2])])

    assert [record.external_id for holding in about.contacts for record in holding.records] == ["1"]


def test_a_batch_that_says_nothing_new_concerns_nobody():
    store, said = MemoryStore(), [statements_of("a", a_profile("1", email=EMAILS[0])), a_no("1", EMAILS[0])]
    store.apply(said)

    assert store.worked_out(said)[1].contacts == []


def shown_by(store, external_id):
    """Return how the identifiers of a customer of the source ``a`` stand."""
    return store.shown[store.records["a", external_id][4].contact_id]


def test_an_identifier_that_the_fields_show_is_told_only_when_it_is_disputed():
    store = MemoryStore()
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0], created=0), number=1)])
    assert shown_by(store, "1") == {}

    store.apply([statements_of("a", a_profile("2", email=EMAILS[0], created=1), number=2)])

    assert shown_by(store, "1") == {f"identity:email:{EMAILS[0]}": "contested"}
    assert shown_by(store, "2") == {f"identity:email:{EMAILS[0]}": "unowned"}


def test_further_identifiers_and_customers_of_other_shops_are_told():
    store = MemoryStore()
    second = ProfileSeen(
        external_id="1", occurred_at=T0, identifiers={"email2": Identifier(type="email", value=EMAILS[1])}
    )
    store.apply([statements_of("a", a_profile("1", email=EMAILS[0], created=0)), statements_of("a", second, number=2)])
    store.apply([statements_of("b", a_profile("7", email=EMAILS[0], created=1), number=3)])

    assert shown_by(store, "1") == {f"identity:email:{EMAILS[1]}": "owned", "identity:external_id:b:7": "owned"}


def test_the_fields_show_an_address_in_lower_case_and_a_number_by_its_key():
    assert shown_identifiers("Ayu@Example.com", "+5215512345678") == {
        ("email", "ayu@example.com"),
        ("phone", "+525512345678"),
    }
    assert shown_identifiers(None, None) == set()
    assert shown_identifiers(None, PHONES[0]) == {("phone", PHONES[0])}
