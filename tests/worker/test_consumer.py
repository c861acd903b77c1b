"""Our consumer: what Celery cannot take is dropped, and named without a quote."""

import logging

import pytest

from worker import broker
from worker.consumer import Consumer

MARK = "ayu.lestari@example.com"


class Message:
    body = headers = MARK

    def __init__(self):
        self.was_rejected = False

    def reject_log_error(self, _log, _errors):
        self.was_rejected = True


@pytest.mark.parametrize(
    ("method", "before"),
    [("on_unknown_message", 1), ("on_unknown_task", 1), ("on_invalid_task", 1), ("on_decode_error", 0)],
)
def test_what_cannot_be_taken_is_dropped_without_a_quote(method, before, monkeypatch, caplog):
    reasons = []
    monkeypatch.setattr(broker.dropped, "tell", reasons.append)
    consumer = Consumer.__new__(Consumer)
    consumer.connection_errors = ()
    message = Message()
    arguments = [MARK] * before + [message] + ([ValueError(MARK)] if method != "on_unknown_message" else [])

    with caplog.at_level(logging.DEBUG):
        getattr(consumer, method)(*arguments)

    assert message.was_rejected
    assert len(reasons) == 1
    assert MARK not in repr(reasons) + caplog.text
