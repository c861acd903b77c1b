"""Terms: what lists of contacts are filtered and searched by."""

from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from worker.domain.rows import TermsChange
from worker.store import contact_terms


def test_a_term_that_is_left_of_an_earlier_contact_is_no_conflict(tx):
    left, new = uuid4(), uuid4()
    contact_terms.insert_new(tx, [(left, contact_terms.encode(None, ["vip"]))])

    contact_terms.ensure(tx, [("t:vip", left), ("w:emma", new)])

    assert contact_terms.is_used(tx, "w:emma")
    with pytest.raises(IntegrityError):
        contact_terms.insert_new(tx, [(new, contact_terms.encode("Emma", ["new"]))])


def test_an_update_deletes_and_adds_only_what_differs(tx):
    id_ = uuid4()
    contact_terms.ensure(tx, [(term, id_) for term in contact_terms.terms_of("Emma Sari", ["VIP"])])

    contact_terms.update(tx, [TermsChange(id_, ("Emma Sari", ["VIP"]), ("Emma Putri", ["vip"]))])

    found = {term for term in ("t:vip", "w:emma", "w:sari", "w:putri") if contact_terms.is_used(tx, term)}
    assert found == {"t:vip", "w:emma", "w:putri"}
