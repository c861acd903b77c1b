"""Consent: what the statements about suppressed addresses add up to."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.consent import ConsentEntry, SuppressionEntry, suppressions

NOW = datetime(2026, 11, 1, tzinfo=UTC)
ADDRESS = "ayu@example.com"


def a_suppression(reason, occurred, *, is_lift=False, days=None, ref=("shop", "1")):
    return SuppressionEntry(
        id=uuid4(),
        channel="email",
        address=ADDRESS,
        scope="marketing",
        reason=reason,
        is_lift=is_lift,
        occurred=occurred,
        expires_at=None if days is None else NOW + timedelta(days=days),
        ref=ref,
        envelope_id=None,
        created_at=NOW,
    )


def the_one(*entries, opted_in=None):
    (found,) = suppressions(entries, opted_in)
    return found


def test_an_opt_in_of_the_person_lifts_what_the_person_wished_and_never_a_bounce():
    opted_in = {("email", "marketing", ADDRESS): 5}

    assert the_one(a_suppression("unsubscribed", 3), opted_in=opted_in).lifted == 5
    assert the_one(a_suppression("stop_keyword", 3), opted_in=opted_in).lifted == 5
    assert the_one(a_suppression("hard_bounce", 3), opted_in=opted_in).lifted is None


@pytest.mark.parametrize(
    "too_weak",
    [
        {("email", "marketing", ADDRESS): 3},
        {("email", "marketing", ADDRESS): 0},
        {("email", "transactional", ADDRESS): 9},
        {("email", "marketing", "other@example.com"): 9},
    ],
    ids=["as old", "baseline", "another purpose", "another address"],
)
def test_an_opt_in_that_is_no_newer_or_about_something_else_lifts_nothing(too_weak):
    assert the_one(a_suppression("unsubscribed", 3), opted_in=too_weak).lifted is None


def test_a_lift_holds_until_the_next_suppression():
    entries = [a_suppression("hard_bounce", 1), a_suppression("hard_bounce", 4, is_lift=True)]

    assert the_one(*entries).lifted == 4
    assert the_one(*entries, a_suppression("hard_bounce", 6)).lifted is None


def test_a_lift_at_the_time_of_a_suppression_lifts_it_not():
    assert the_one(a_suppression("manual", 4), a_suppression("manual", 4, is_lift=True)).lifted is None


def test_of_several_without_a_lift_between_them_the_longest_counts():
    forever, short, longer = (
        a_suppression("spam_complaint", 1),
        *(a_suppression("spam_complaint", 2, days=n) for n in (1, 9)),
    )

    assert the_one(forever, short).expires_at is None
    assert the_one(short, longer).expires_at == NOW + timedelta(days=9)
    lifted = a_suppression("spam_complaint", 2, is_lift=True)
    again = a_suppression("spam_complaint", 3, days=1)
    assert the_one(forever, lifted, again).expires_at == NOW + timedelta(days=1)


def test_it_is_active_until_it_is_lifted_or_over():
    over = the_one(a_suppression("manual", 1, days=1))

    assert over.is_active(NOW)
    assert not over.is_active(NOW + timedelta(days=1))
    assert not the_one(a_suppression("manual", 1), a_suppression("manual", 2, is_lift=True)).is_active(NOW)


entries = st.builds(
    a_suppression,
    st.sampled_from(["manual", "unsubscribed"]),
    st.integers(0, 3),
    is_lift=st.booleans(),
    days=st.sampled_from([None, 1, 2]),
    ref=st.sampled_from([("shop", "1"), ("shop", "2")]),
)


@given(st.lists(entries, min_size=1, max_size=8), st.randoms())
def test_order_changes_nothing(drawn, random):
    shuffled = list(drawn)
    random.shuffle(shuffled)

    def shown(found):
        return [(one.reason, one.lifted, one.expires_at, one.count, one.first_seen, one.last_seen) for one in found]

    assert shown(suppressions(shuffled)) == shown(suppressions(drawn))


def test_two_statements_that_differ_never_rank_equal():
    def said(**more):
        about = {"id": uuid4(), "key": b"", "channel": "email", "purpose": "marketing", "address": ADDRESS}
        about |= {"status": "opted_in", "occurred": 1, "ref": ("shop", "1"), "method": None, "evidence": {}}
        return ConsentEntry(**about | {"envelope_id": None, "created_at": NOW} | more)

    differing = [
        said(),
        said(occurred=2),
        said(status="opted_out"),
        said(ref=("shop", "2")),
        said(address=None),
        said(method="form"),
        said(evidence={"a": "b"}),
        said(origin="crm"),
        said(is_undated=True),
    ]

    assert len({str(one.strength) for one in differing}) == len(differing)
    assert sorted(differing, key=lambda one: one.strength)
    assert [said().is_fresh, said(origin="crm").is_fresh, said(ref=("api", "edit:shop:1")).is_fresh] == [
        False,
        True,
        True,
    ]
