"""Our consumer: it waits for its broker and drains meanwhile; what it cannot take is dropped, without a quote."""

import json
import logging

import pytest
from kombu.message import Message as KombuMessage
from structlog.testing import capture_logs

from worker import broker, consumer
from worker.broker import NotOursError
from worker.consumer import Consumer, _rebuild

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


class Connection:
    """A connection that fails some times before it works."""

    connection_errors, channel_errors = (OSError,), (LookupError,)

    def __init__(self, *errors):
        self.errors = list(errors)

    def ensure_connection(self, **_):
        if self.errors:
            raise self.errors.pop(0)

    def maybe_switch_next(self):
        pass


class StandIns:
    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *_: self.calls.append(name)


@pytest.fixture
def waiting(monkeypatch):
    """A consumer whose clock goes only while it sleeps."""
    now = [1000.0]
    monkeypatch.setattr(consumer.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(consumer.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    made = Consumer.__new__(Consumer)
    made._stand_ins, made._failures, made._connected_at, made.now = StandIns(), 0, None, now
    return made


def test_it_waits_as_long_as_it_takes_and_drains_meanwhile(waiting):
    connection = Connection(*[OSError()] * 50, LookupError(), OSError())

    assert waiting.ensure_connected(connection) is connection

    assert waiting._stand_ins.calls.count("call") > 50
    assert 50 * 4 < waiting.now[0] - 1000 < 52 * 5.5  # it never gives up, and asks at least every 5 s


def test_what_is_no_error_of_a_broker_is_raised(waiting):
    with pytest.raises(ZeroDivisionError):
        waiting.ensure_connected(Connection(ZeroDivisionError()))


def test_the_log_has_the_word_of_redis_and_nothing_else_of_its_answer(waiting):
    with capture_logs() as lines:
        waiting.ensure_connected(Connection(OSError(f"WEIRD {MARK}"), OSError(f"{MARK} WEIRD")))

    assert [(line["event"], line["error"], line["answer"]) for line in lines] == [
        ("broker_away", "OSError", "WEIRD"),
        ("broker_away", "OSError", None),
    ]


def test_stand_ins_are_dismissed_once_the_connection_has_lasted(waiting):
    waiting.ensure_connected(Connection(OSError()))
    waiting._watch()
    early = "dismiss" in waiting._stand_ins.calls
    waiting.now[0] += 11
    waiting._watch()

    assert not early
    assert "dismiss" in waiting._stand_ins.calls
    assert waiting._failures == 0


def of_rabbitmq(body, headers, content_type="application/json", **given):
    return KombuMessage(body=body, headers=headers, content_type=content_type, content_encoding="utf-8", **given)


def test_of_a_message_of_rabbitmq_only_the_call_is_kept():
    chain = {"chain": [{"task": "worker.tasks.tick", "args": [MARK]}], "callbacks": [MARK]}
    headers = {"task": "worker.tasks.drain", "id": MARK, "eta": "2999-01-01T00:00:00", "timelimit": [9e9, 9e9]}
    message = of_rabbitmq(json.dumps([[3], {}, chain]).encode(), headers, properties={"reply_to": MARK})

    _rebuild(message)

    assert MARK not in repr([message.headers, message.body, message.properties])
    assert message.headers["task"] == "worker.tasks.drain"
    assert "eta" not in message.headers
    assert message.payload[0] == [3]


@pytest.mark.parametrize(
    ("body", "headers", "content_type"),
    [
        (b"garbage", {}, "application/json"),
        (b"\xff\xfe", {}, "application/json"),
        (b"[[0], {}, {}]", {"task": "celery.chain"}, "application/json"),
        (b"[[0], {}, {}]", {"task": "worker.tasks.drain"}, "application/x-python-serialize"),
        (json.dumps([[MARK], {}, {}]).encode(), {"task": "worker.tasks.drain"}, "application/json"),
    ],
)
def test_a_message_of_rabbitmq_that_is_not_ours_is_dropped_without_a_quote(body, headers, content_type):
    with pytest.raises(NotOursError) as raised:
        _rebuild(of_rabbitmq(body, headers, content_type))

    assert MARK not in str(raised.value)
