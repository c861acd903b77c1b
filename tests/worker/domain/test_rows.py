"""Rows: what a stored row is known by."""

from uuid import uuid4

from worker.domain.fold import Record
from worker.domain.rows import ClaimRow, Placement, RecordRow


def test_a_record_is_known_by_its_customer_and_placed_where_it_was_stored():
    contact_id = uuid4()
    row = RecordRow(uuid4(), Record("shop", "1", "customer"), version=3, contact_id=contact_id, is_lost=True)

    assert row.ref == ("shop", "1")
    assert row.placement == Placement(contact_id, is_lost=True, is_oversize=False)


def test_a_claim_is_known_by_its_identifier():
    claim = ClaimRow("email", "a@example.com", uuid4(), "shop", True, "A@example.com", False, True, False)

    assert claim.ident == ("email", "a@example.com")
