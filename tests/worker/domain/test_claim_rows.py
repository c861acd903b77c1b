"""Claim rows: what is written about the claims of stored records."""

from tests.worker.histories import EMAILS, PHONES, a_profile, statements_of
from tests.worker.memory_store import MemoryStore
from worker.domain.terms import CLAIM, FORMER


def a_store(*profiles):
    store = MemoryStore()
    for number, (source, profile) in enumerate(profiles, 1):
        store.apply([statements_of(source, profile, number=number)])
    return store


def test_a_new_record_has_new_claims_and_changes_none():
    people, _ = MemoryStore().apply([statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])

    assert [(claim.key, claim.role, claim.is_owner) for claim in people.new_claims] == [(EMAILS[0], CLAIM, True)]
    assert (people.claims, people.disowned_claims, people.deleted_claims) == ([], [], [])


def test_an_older_customer_takes_a_number_over_and_a_neighbour_is_written():
    store = a_store(("a", a_profile("1", phone=PHONES[0], created=5)))

    people, _ = store.apply([statements_of("a", a_profile("2", phone=PHONES[0], created=1), number=2)])

    (claim,) = people.claims
    assert (claim.is_owner, claim.is_contested) == (False, True)
    assert [known.is_owner for known in people.disowned_claims] == [True]
    assert [(new.is_owner, new.is_contested) for new in people.new_claims] == [(True, True)]


def test_what_a_customer_gives_up_is_kept_as_a_former_claim():
    store = a_store(("a", a_profile("1", phone=PHONES[0])))

    people, _ = store.apply([statements_of("a", a_profile("1", phone=PHONES[1], at=1), minute=1, number=2)])

    assert {(claim.key, claim.role, claim.is_owner) for claim in people.claims} == {
        (PHONES[0], FORMER, False),
        (PHONES[1], CLAIM, True),
    }
    assert people.deleted_claims == []


def test_a_repeated_statement_writes_no_claim():
    store = a_store(("a", a_profile("1", phone=PHONES[0])))

    people, _ = store.apply([statements_of("a", a_profile("1", phone=PHONES[0]), number=1)])

    assert (people.claims, people.disowned_claims, people.deleted_claims, people.touched) == ([], [], [], set())
