"""Consent: which statement counts, what a contact shows, and whether a message may be sent."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.consent import (
    ConsentEntry,
    SuppressionEntry,
    counting_by_address,
    shown_by_contact,
    suppressions,
    verdict,
)

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def a_consent(status, occurred, address="ayu@example.com", **more):
    defaults = {
        "id": uuid4(),
        "channel": "email",
        "purpose": "marketing",
        "ref": ("shop", "1"),
        "method": None,
        "evidence": {},
        "envelope_id": None,
        "created_at": NOW,
        "is_lost": False,
    }
    return ConsentEntry(status=status, occurred=occurred, address=address, **{**defaults, **more})


def a_suppression(reason, occurred, *, is_lift=False):
    return SuppressionEntry(
        id=uuid4(),
        channel="email",
        address="ayu@example.com",
        scope="marketing",
        reason=reason,
        is_lift=is_lift,
        occurred=occurred,
        expires_at=None,
        ref=("shop", "1"),
        envelope_id=None,
        created_at=NOW,
    )


def status_of(*statements):
    return shown_by_contact(statements)["email", "marketing"].status


def test_the_newest_statement_about_an_address_wins():
    assert status_of(a_consent("opted_out", 1), a_consent("opted_in", 2)) == "opted_in"
    assert status_of(a_consent("opted_out", 3), a_consent("opted_in", 2)) == "opted_out"


def test_on_equal_times_the_more_restrictive_wins():
    assert status_of(a_consent("opted_in", 2), a_consent("opted_out", 2), a_consent("pending", 2)) == "opted_out"


def test_the_status_unknown_replaces_no_other_status():
    assert status_of(a_consent("opted_in", 1), a_consent("unknown", 9)) == "opted_in"


def test_an_opt_in_without_a_time_beats_no_other_statement():
    assert status_of(a_consent("opted_in", 0), a_consent("opted_out", 1)) == "opted_out"


def test_a_contact_shows_the_most_restrictive_of_its_addresses():
    assert status_of(a_consent("opted_in", 9), a_consent("opted_out", 1, address="old@example.com")) == "opted_out"
    assert status_of(a_consent("opted_in", 9), a_consent("opted_out", 1, address=None)) == "opted_out"


def test_a_record_that_its_source_merged_away_can_opt_out_but_not_in():
    assert (
        status_of(a_consent("opted_out", 1), a_consent("opted_in", 5, is_lost=True, ref=("shop", "2"))) == "opted_out"
    )
    assert (
        status_of(a_consent("opted_in", 1), a_consent("opted_out", 5, is_lost=True, ref=("shop", "2"))) == "opted_out"
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["opted_in", "opted_out", "pending", "unknown"]), st.integers(0, 3)), min_size=1
    ),
    st.randoms(),
)
def test_order_and_repetition_change_nothing(drawn, random):
    statements = [a_consent(status, occurred, ref=("shop", str(n))) for n, (status, occurred) in enumerate(drawn)]
    shuffled = statements * 2
    random.shuffle(shuffled)

    assert counting_by_address(shuffled) == counting_by_address(statements)
    assert shown_by_contact(shuffled) == shown_by_contact(statements)


def test_an_opt_in_lifts_an_unsubscribe_but_never_a_bounce():
    newer = a_consent("opted_in", 5)

    unsubscribed, bounced = (
        suppressions([a_suppression(reason, 3)], [newer])[0].lifted for reason in ("unsubscribed", "hard_bounce")
    )

    assert unsubscribed == 5
    assert bounced is None


def test_an_opt_in_that_is_older_weaker_or_of_a_merged_away_record_lifts_no_suppression():
    entries = [a_suppression("unsubscribed", 3)]
    for too_weak in (
        a_consent("opted_in", 3),
        a_consent("pending", 9),
        a_consent("opted_in", 0),
        a_consent("opted_in", 9, is_lost=True),
        replace(a_consent("opted_in", 9), address="other@example.com"),
        a_consent("opted_in", 9, purpose="transactional"),
    ):
        assert suppressions(entries, [too_weak])[0].lifted is None


def test_a_lift_holds_until_the_next_suppression():
    entries = [a_suppression("hard_bounce", 1), a_suppression("hard_bounce", 4, is_lift=True)]

    assert suppressions(entries)[0].lifted == 4
    assert suppressions([*entries, a_suppression("hard_bounce", 6)])[0].lifted is None


def decide(*entries, purpose="marketing", address="ayu@example.com", consent=None):
    return verdict("email", purpose, address, consent, suppressions(entries), NOW)


@pytest.mark.parametrize(
    ("status", "marketing", "transactional"),
    [
        (None, (False, "no_consent"), (True, "not_refused")),
        ("unknown", (False, "unknown"), (True, "not_refused")),
        ("pending", (False, "pending"), (True, "not_refused")),
        ("opted_out", (False, "opted_out"), (False, "opted_out")),
        ("opted_in", (True, "opted_in"), (True, "not_refused")),
    ],
)
def test_marketing_needs_an_opt_in_and_other_purposes_only_no_opt_out(status, marketing, transactional):
    consent = None if status is None else a_consent(status, 5)

    for purpose, expected in (("marketing", marketing), ("transactional", transactional)):
        found = decide(purpose=purpose, consent=consent)
        assert (found.sendable, found.reason) == expected
        assert found.consent is consent


def test_an_opt_in_that_has_expired_does_not_count():
    consent = replace(a_consent("opted_in", 5), expires_at=NOW)

    assert decide(consent=consent).reason == "consent_expired"
    assert decide(consent=replace(consent, expires_at=NOW + timedelta(seconds=1))).sendable


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
    suppressed = replace(a_suppression("hard_bounce", 9), scope=scope)

    found = decide(suppressed, purpose=purpose, consent=a_consent("opted_in", 10))

    assert found.sendable is sendable
    assert (found.suppression is not None) is not sendable


def test_a_suppression_of_all_channels_counts_but_not_a_suppression_of_another_address():
    opt_in = a_consent("opted_in", 5)

    assert decide(replace(a_suppression("manual", 1), channel="all"), consent=opt_in).reason == "suppressed"
    assert decide(replace(a_suppression("manual", 1), address="budi@example.com"), consent=opt_in).sendable
    assert decide(a_suppression("manual", 1), a_suppression("manual", 2, is_lift=True), consent=opt_in).sendable


def test_a_contact_without_an_address_gets_no_message():
    assert decide(address=None, consent=a_consent("opted_in", 5)).reason == "no_address"
