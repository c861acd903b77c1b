"""Standing: what consents and suppressions add up to."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from worker.standing import Statement, SuppressionStatement, by_address, of_contact, suppressions

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def a_consent(status, occurred, address="ayu@example.com", **more):
    given_ = {
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
    return Statement(status=status, occurred=occurred, address=address, **{**given_, **more})


def a_suppression(reason, occurred, *, is_lift=False):
    return SuppressionStatement(
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
    return of_contact(statements)["email", "marketing"].status


def test_the_newest_statement_about_an_address_wins():
    assert status_of(a_consent("opted_out", 1), a_consent("opted_in", 2)) == "opted_in"
    assert status_of(a_consent("opted_out", 3), a_consent("opted_in", 2)) == "opted_out"


def test_on_equal_times_the_more_restrictive_wins():
    assert status_of(a_consent("opted_in", 2), a_consent("opted_out", 2), a_consent("pending", 2)) == "opted_out"


def test_unknown_replaces_nothing():
    assert status_of(a_consent("opted_in", 1), a_consent("unknown", 9)) == "opted_in"


def test_a_yes_without_a_time_beats_nothing():
    assert status_of(a_consent("opted_in", 0), a_consent("opted_out", 1)) == "opted_out"


def test_a_contact_shows_the_most_restrictive_of_its_addresses():
    assert status_of(a_consent("opted_in", 9), a_consent("opted_out", 1, address="old@example.com")) == "opted_out"
    assert status_of(a_consent("opted_in", 9), a_consent("opted_out", 1, address=None)) == "opted_out"


def test_a_merged_away_record_can_say_no_but_not_yes():
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
def test_order_and_repetition_change_nothing(said, random):
    statements = [a_consent(status, occurred, ref=("shop", str(n))) for n, (status, occurred) in enumerate(said)]
    shuffled = statements * 2
    random.shuffle(shuffled)

    assert by_address(shuffled) == by_address(statements)
    assert of_contact(shuffled) == of_contact(statements)


def test_an_opt_in_lifts_an_unsubscribe_but_never_a_bounce():
    newer = a_consent("opted_in", 5)

    unsubscribed, bounced = (
        suppressions([a_suppression(reason, 3)], [newer])[0].lifted for reason in ("unsubscribed", "hard_bounce")
    )

    assert unsubscribed == 5
    assert bounced is None


def test_an_older_weaker_or_merged_away_opt_in_lifts_nothing():
    made = [a_suppression("unsubscribed", 3)]
    for weak in (
        a_consent("opted_in", 3),
        a_consent("pending", 9),
        a_consent("opted_in", 0),
        a_consent("opted_in", 9, is_lost=True),
        replace(a_consent("opted_in", 9), address="other@example.com"),
        a_consent("opted_in", 9, purpose="transactional"),
    ):
        assert suppressions(made, [weak])[0].lifted is None


def test_a_lift_holds_until_the_next_suppression():
    made = [a_suppression("hard_bounce", 1), a_suppression("hard_bounce", 4, is_lift=True)]

    assert suppressions(made)[0].lifted == 4
    assert suppressions([*made, a_suppression("hard_bounce", 6)])[0].lifted is None
