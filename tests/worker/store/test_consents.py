"""The consent ledger: a statement is one row, and is found by its address, and by its record where that is needed."""

from uuid import uuid4

from worker.domain.keyed_consents import keyed
from worker.domain.statements import ConsentStatement
from worker.store import consents
from worker.store.db import Tx

ADDRESS, OTHER = "emma@example.com", "other@example.com"


def stated(status, address=ADDRESS, ref=("shop", "1"), occurred=1, **more):
    about = {"channel": "email", "purpose": "marketing", "address": address, "ref": ref}
    return keyed(ConsentStatement(**about, status=status, occurred=occurred, method=None, evidence={}, **more), uuid4())


def test_what_is_stored_is_known_by_its_key(engine, organization_id):
    first, second = stated("opted_in"), stated("opted_out")
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        consents.insert_new(tx, [first])

        assert consents.stored(tx, [first.key, second.key]) == {first.key}
        assert consents.stored(tx, []) == set()


def test_statements_are_found_by_address_and_refusals_by_their_record(engine, organization_id):
    about, without = stated("opted_in"), stated("opted_in", None)
    elsewhere, refused = stated("opted_in", OTHER), stated("opted_out", "old@example.com")
    before = stated("opted_in", "old@example.com", occurred=0)
    undated = stated("opted_out", ref=("shop", "2"), is_undated=True)
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        consents.insert_new(tx, [about, without, elsewhere, refused, before, undated])

        assert {e.key for e in consents.by_addresses(tx, [ADDRESS])} == {about.key, undated.key}
        found = consents.by_addresses(tx, [ADDRESS], [("shop", "1")])
        # What it said of the address that it refused comes along; what it said of others does not.
        assert {e.key for e in found} == {about.key, undated.key, without.key, refused.key, before.key}
        assert [e.is_undated for e in found if e.key == undated.key] == [True]


def test_what_envelopes_said_is_taken_back_and_named(engine, organization_id):
    about, without = stated("opted_in"), stated("opted_in", None)
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        consents.insert_new(tx, [about, without])

        assert consents.withdraw(tx, [about.envelope_id, without.envelope_id]) == {("email", ADDRESS)}
        assert consents.stored(tx, [about.key, without.key]) == set()
