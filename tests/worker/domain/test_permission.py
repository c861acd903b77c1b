"""Permission: what counts for each address of a contact, and whether a message may be sent to it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.worker.people import a_guest, a_record, an_edit
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.permission import first_statement, holder_of, permissions, types_of, verdict

NOW = datetime(2026, 11, 1, tzinfo=UTC)
E1, E2, P1 = ("email", "ayu@example.com"), ("email", "budi@example.com"), ("phone", "+6281273509140")
KEY = ("email", "marketing")
S1, S2, W1 = ("shop", "1"), ("shop", "2"), ("woo", "1")


def said(status, at, ref=S1, address=E1[1], **more):
    about = {"channel": "email", "purpose": "marketing", "method": None, "evidence": {}, "envelope_id": None}
    about |= {"created_at": NOW, "id": uuid4(), "key": uuid4().bytes}
    return ConsentEntry(status=status, occurred=at, ref=ref, address=address, **about | more)


def suppressed(address, at=9, **more):
    about = {"channel": "email", "scope": "all", "reason": "hard_bounce", "is_lift": False, "expires_at": None}
    about |= {"id": uuid4(), "ref": S1, "envelope_id": None, "created_at": NOW}
    return SuppressionEntry(address=address, occurred=at, **about | more)


def a_holder(*records, merged=None, shown=(E1,), others=()):
    """Return the holder that records make; they own what they claim, but for what is ``others``."""
    return holder_of(
        records, merged or {}, lambda ident, _: ident not in others, lambda ident: ident not in others, shown
    )


ALONE = a_holder(a_record(*S1, E1))
TWO = a_holder(a_record(*S1, E1), a_record(*W1, E2))


def decided(*entries, holder=ALONE, key=KEY, blocked=(), now=NOW):
    found = verdict(holder, permissions(holder, entries, blocked, now), key, now)
    return (found.sendable, found.address if found.sendable else found.reason)


def test_a_yes_opens_its_address():
    assert decided(said("opted_in", 1)) == (True, E1[1])


def test_without_a_yes_marketing_is_not_sent_and_a_receipt_is():
    assert decided() == (False, "no_consent")
    assert decided(key=("email", "transactional")) == (True, E1[1])


def test_a_yes_of_somebody_else_opens_nothing():
    assert decided(said("opted_in", 1, ref=S2)) == (False, "no_consent")


def test_a_no_of_anybody_closes_its_address():
    assert decided(said("opted_in", 1), said("opted_out", 2, ref=S2)) == (False, "opted_out")
    assert decided(said("opted_in", 1), said("opted_out", 2, ref=("mailer", ""))) == (False, "opted_out")


def test_a_no_closes_every_address_of_the_person():
    yes = said("opted_in", 1, ref=W1, address=E2[1])

    assert decided(yes, holder=TWO) == (True, E2[1])
    assert decided(yes, said("opted_out", 2), holder=TWO) == (False, "opted_out")
    assert decided(yes, said("opted_out", 2, address=None), holder=TWO) == (False, "opted_out")
    assert decided(yes, said("opted_out", 2, address="gone@example.com"), holder=TWO) == (False, "opted_out")


def test_a_newer_yes_to_the_address_answers_every_no():
    no = said("opted_out", 2, address=None)

    assert decided(no, said("opted_in", 3)) == (True, E1[1])
    assert decided(no, said("opted_in", 2)) == (False, "opted_out")
    assert decided(no, said("opted_in", 3, ref=W1, address=E2[1]), holder=TWO) == (True, E2[1])


def test_on_equal_times_the_more_restrictive_counts():
    assert decided(said("opted_in", 2), said("pending", 2)) == (False, "pending")
    assert decided(said("opted_in", 2), said("opted_out", 2), said("pending", 2)) == (False, "opted_out")


def test_pending_answers_no_opt_out_and_takes_back_the_yes_before_it():
    assert decided(said("opted_out", 1), said("pending", 2)) == (False, "opted_out")
    transactional = {"purpose": "transactional"}
    both = said("opted_out", 1, **transactional), said("pending", 2, **transactional)
    assert decided(*both, key=("email", "transactional")) == (False, "opted_out")
    assert decided(said("opted_in", 1), said("pending", 2)) == (False, "pending")
    assert decided(said("opted_in", 1), said("pending", 2, ref=W1), holder=TWO) == (True, E1[1])


def test_unknown_replaces_nothing():
    assert decided(said("opted_in", 1), said("unknown", 9)) == (True, E1[1])
    assert decided(said("unknown", 9)) == (False, "unknown")


def test_a_yes_without_a_time_beats_no_statement_with_one():
    assert decided(said("opted_in", 0), said("opted_out", 1)) == (False, "opted_out")
    assert decided(said("opted_in", 0)) == (True, E1[1])


def test_a_no_without_a_time_of_its_own_that_repeats_itself_is_nothing_new():
    no, again = said("opted_out", 1, is_undated=True), said("opted_out", 9, is_undated=True)
    yes = said("opted_in", 5, ref=W1)

    assert decided(no, yes, again, holder=TWO) == (True, E1[1])
    assert decided(no, yes, said("opted_out", 9), holder=TWO) == (False, "opted_out")
    assert decided(no, said("opted_in", 3), yes, again, holder=TWO) == (False, "opted_out")


def test_a_yes_without_an_address_is_for_those_claimed_by_then_or_for_the_first():
    early, late = a_record(*S1, E1, once=[E2]), a_record(*S1, E1)

    assert decided(said("opted_in", 1, address=None), holder=a_holder(late)) == (True, E1[1])
    assert decided(said("opted_in", 0, address=None), holder=a_holder(late)) == (True, E1[1])
    # It had claimed another address by then, which it claims no more.
    assert decided(said("opted_in", 1, address=None), holder=a_holder(early)) == (False, "no_consent")
    assert decided(said("opted_in", 2, address=None), holder=a_holder(early)) == (True, E1[1])


def test_a_yes_of_an_edit_without_an_address_is_for_the_first_that_the_person_claims():
    edit = an_edit("shop:1", [S1])
    yes = said("opted_in", 1, ref=edit.ref, address=None)

    assert decided(yes, holder=a_holder(a_record(*S1, E1), edit)) == (True, E1[1])
    assert decided(yes, holder=a_holder(a_record(*S1), edit)) == (False, "no_address")


def test_a_guests_yes_answers_only_guests_and_its_no_is_for_its_own_address():
    guest = a_guest("shop", E1)
    holder = a_holder(a_record(*S1, E1), a_record(*W1, E2), guest)
    yes = said("opted_in", 5, ref=guest.ref)

    assert decided(yes, holder=holder) == (True, E1[1])
    assert decided(said("opted_out", 1), yes, holder=holder) == (False, "opted_out")
    assert decided(said("opted_out", 1, ref=("woo", f"guest:email:{E1[1]}")), yes, holder=holder) == (True, E1[1])
    of_customer = said("opted_in", 1, ref=W1, address=E2[1])
    for address in (E1[1], None):
        assert decided(of_customer, said("opted_out", 9, ref=guest.ref, address=address), holder=holder) == (
            True,
            E2[1],
        )


def test_a_customer_that_was_merged_away_says_yes_up_to_the_merge_and_no_at_any_time():
    holder = a_holder(a_record(*S1, E1), a_record(*S2), merged={S2: 5})

    assert decided(said("opted_out", 1), said("opted_in", 5, ref=S2), holder=holder) == (True, E1[1])
    assert decided(said("opted_out", 1), said("opted_in", 6, ref=S2), holder=holder) == (False, "opted_out")
    assert decided(said("opted_in", 1), said("opted_out", 9, ref=S2), holder=holder) == (False, "opted_out")


def test_it_answers_for_the_first_address_that_is_open_and_not_suppressed():
    both = said("opted_in", 1), said("opted_in", 1, ref=W1, address=E2[1])

    assert decided(*both, holder=TWO) == (True, E1[1])
    assert decided(*both, holder=TWO, blocked=[suppressed(E1[1])]) == (True, E2[1])
    assert decided(both[1], holder=TWO, blocked=[suppressed(E1[1])]) == (True, E2[1])
    assert decided(*both, holder=TWO, blocked=[suppressed(E1[1]), suppressed(E2[1])]) == (False, "suppressed")


def test_an_address_that_is_another_contacts_comes_last():
    both = said("opted_in", 1), said("opted_in", 1, ref=W1, address=E2[1])
    holder = a_holder(a_record(*S1, E1), a_record(*W1, E2), shown=(), others={E1})

    assert decided(*both, holder=holder) == (True, E2[1])


@pytest.mark.parametrize(
    ("scope", "purpose", "sendable"),
    [
        ("all", "marketing", False),
        ("all", "conversational", False),
        ("marketing", "marketing", False),
        ("marketing", "transactional", True),
        ("transactional", "transactional", False),
        ("transactional", "marketing", True),
    ],
)
def test_a_suppression_beats_every_opt_in_within_its_scope(scope, purpose, sendable):
    yes = said("opted_in", 10, purpose=purpose)

    found = decided(yes, key=("email", purpose), blocked=[suppressed(E1[1], scope=scope)])

    assert found[0] is sendable


def test_a_suppression_of_all_channels_counts_and_one_that_is_over_or_lifted_does_not():
    yes = said("opted_in", 5)

    assert decided(yes, blocked=[suppressed(E1[1], channel="all")]) == (False, "suppressed")
    assert decided(yes, blocked=[suppressed(E1[1], expires_at=NOW)])[0]
    assert decided(yes, blocked=[suppressed(E1[1], 1), suppressed(E1[1], 2, is_lift=True)])[0]
    assert decided(yes, blocked=[suppressed(E1[1], 1, reason="unsubscribed")])[0]
    assert not decided(said("opted_in", 5, ref=S2), blocked=[suppressed(E1[1], 1, reason="unsubscribed")])[0]


def test_an_opt_in_that_has_expired_does_not_count_where_another_lasts():
    over = said("opted_in", 5, expires_at=NOW)

    assert decided(over) == (False, "consent_expired")
    assert decided(said("opted_in", 5, expires_at=NOW + timedelta(seconds=1)))[0]
    assert decided(over, said("opted_in", 1, ref=W1), holder=TWO) == (True, E1[1])


def test_a_contact_without_an_address_gets_no_message():
    assert decided(said("opted_out", 1, address=None), holder=a_holder(a_record(*S1))) == (False, "no_address")
    assert decided(holder=a_holder(a_record(*S1, P1))) == (False, "no_address")


def test_a_statement_that_repeats_itself_is_shown_as_it_was_first_made():
    first, again = said("opted_in", 1, method="form"), said("opted_in", 5, is_repeat=True)

    assert first_statement(again, [again, first]) is first
    assert first_statement(first, [again, first]) is first


def test_whatsapp_reaches_numbers_and_ids_of_its_own():
    assert types_of("whatsapp") == ("phone", "whatsapp_bsuid")
    assert (types_of("sms"), types_of("email"), types_of("line")) == (("phone",), ("email",), ("line",))


GUEST = a_guest("shop", E1)
HOUSE = a_holder(a_record(*S1, E1), a_record(*W1, E2), GUEST, a_record(*S2), merged={S2: 2})
statements = st.builds(
    said,
    st.sampled_from(["opted_in", "opted_out", "pending", "unknown"]),
    st.integers(0, 4),
    ref=st.sampled_from([S1, W1, S2, GUEST.ref, ("mailer", ""), ("eu", "7")]),
    address=st.sampled_from([E1[1], E2[1], "gone@example.com", None]),
    is_undated=st.booleans(),
)


def rulings(entries):
    return {one.address: one for one in permissions(HOUSE, entries, ()).rulings.get(KEY, [])}


@settings(max_examples=300, deadline=None)
@given(st.lists(statements, max_size=6), statements)
def test_only_a_newer_yes_of_the_person_opens_an_address_that_was_refused(before, one):
    if one.status == "opted_in" and one.ref in HOUSE.voices:
        return
    was, now = rulings(before), rulings([*before, one])
    for address, ruling in now.items():
        if address in was and was[address].is_refused and one.status != "pending" and not one.is_undated:
            # A late "no" between two others may show that a later one repeats nothing; nothing else opens anything.
            is_gap = one.status in ("opted_out", "unknown")
            assert ruling.is_refused or is_gap


@settings(max_examples=200, deadline=None)
@given(st.lists(statements, max_size=7), st.randoms())
def test_order_and_repetition_change_nothing(entries, random):
    shuffled = entries * 2
    random.shuffle(shuffled)

    assert {a: (r.is_refused, r.status) for a, r in rulings(shuffled).items()} == {
        a: (r.is_refused, r.status) for a, r in rulings(entries).items()
    }


@settings(max_examples=300, deadline=None)
@given(st.lists(statements, max_size=7), st.booleans())
def test_the_consent_shown_and_the_verdict_never_disagree(entries, is_blocked):
    found = permissions(HOUSE, entries, [suppressed(E1[1])] if is_blocked else [], NOW)
    answer = verdict(HOUSE, found, KEY, NOW)
    shown = found.shown(KEY, NOW, HOUSE.addresses("email"))

    assert answer.consent is shown.statement
    if answer.sendable:
        assert shown.status == "opted_in"
    elif shown.status == "opted_in":
        assert answer.reason == "suppressed"
