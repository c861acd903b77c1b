"""Times: microseconds and back."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from worker.domain.times import EPOCH, microseconds, moment

times = st.datetimes(timezones=st.just(UTC)).filter(lambda at: at != EPOCH)


@given(times)
def test_a_time_comes_back(at):
    assert moment(microseconds(at)) == at


@given(times, times)
def test_their_order_is_that_of_times(a, b):
    assert (microseconds(a) < microseconds(b)) == (a < b)


def test_no_time_is_zero():
    assert microseconds(None) == 0
    assert moment(0) is None
    assert microseconds(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
