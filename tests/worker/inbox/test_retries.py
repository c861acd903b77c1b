"""Retries: an envelope that keeps failing is tried less and less often."""

from datetime import timedelta

from worker.inbox.retries import after_failure


def test_the_wait_doubles_with_each_attempt():
    assert [after_failure(attempts) for attempts in (1, 2, 3)] == [timedelta(seconds=s) for s in (2, 4, 8)]
