"""Times: a time becomes microseconds, and microseconds become the same time again."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.times import EPOCH, microseconds, moment

times = st.datetimes(timezones=st.just(UTC)).filter(lambda at: at != EPOCH)


@given(times)
def test_a_time_survives_the_way_to_microseconds_and_back(at):
    assert moment(microseconds(at)) == at


@given(times, times)
def test_microseconds_have_the_order_of_their_times(a, b):
    assert (microseconds(a) < microseconds(b)) == (a < b)


def test_a_missing_time_is_zero():
    assert microseconds(None) == 0
    assert moment(0) is None
    assert microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
