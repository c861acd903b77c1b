"""Record: what follows from what one source says about one customer."""

from tests.worker.people import a_guest, a_record, an_edit, mentioned
from worker.domain.terms import CLAIM, EVIDENCE, FORMER, LAST

E1, E2, P1 = ("email", "ayu@example.com"), ("email", "budi@example.com"), ("phone", "+6281273509140")


def roles(record):
    return {ident: tie.role for ident, tie in record.ties().items()}


def test_a_live_record_claims_what_it_holds_and_once_claimed_what_it_held():
    assert roles(a_record("a", "1", E1, once=[E2])) == {E1: CLAIM, E2: FORMER}


def test_a_guest_claims_its_key_and_the_rest_is_evidence():
    assert roles(a_guest("a", E1, P1)) == {E1: CLAIM, P1: EVIDENCE}


def test_a_removed_record_is_tied_by_what_it_claimed_last():
    assert roles(a_record("a", "1", E1, once=[E2], removed=5)) == {E1: LAST}
    assert roles(a_guest("a", E1, P1, removed=5)) == {E1: LAST}


def test_a_record_that_was_only_mentioned_is_nobody():
    record = mentioned("a", "1")

    assert (record.is_live, roles(record), record.effective()) == (False, {}, {})


def test_names_only_grow_and_the_first_claim_is_remembered():
    record = a_record("a", "1", E1, once=[E1], name="Ayu")

    assert record.names() == {"Ayu"}
    assert [stamp.occurred for stamp in record.history()[E1]] == [1, 2]


def test_an_edit_tells_whom_it_is_about_in_order():
    assert an_edit("a:1", [("b", "2"), ("a", "1")]).about() == (("b", "2"), ("a", "1"))
    assert a_record("a", "1").about() == ()
