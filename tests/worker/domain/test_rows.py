"""Rows: by which key a stored row is found."""

from uuid import uuid4

from worker.domain.record import Record
from worker.domain.rows import ClaimRow, Placement, RecordRow


def test_the_key_of_a_record_is_its_customer_and_its_placement_is_the_stored_one():
    contact_id = uuid4()
    row = RecordRow(uuid4(), Record("shop", "1", "customer"), version=3, contact_id=contact_id, merged=5)

    assert row.ref == ("shop", "1")
    assert row.placement == Placement(contact_id, merged=5, is_oversize=False, joined=None)


def test_a_record_is_in_its_contact_since_it_came_to_it_or_else_since_it_is_there():
    record, moved = Record("shop", "1", "customer"), uuid4()
    row = RecordRow(uuid4(), record)

    assert row.since == row.id
    assert RecordRow(row.id, record, joined=moved).since == moved


def test_the_key_of_a_claim_is_its_identifier():
    claim = ClaimRow("email", "a@example.com", uuid4(), "shop", True, "A@example.com", False, True, False)

    assert claim.ident == ("email", "a@example.com")
