"""Nudges: published by task name, off the request path; a broker that is away costs nothing but time."""

import socket
import time

import pytest
from kombu import pools

from tests.worker.inbox.plain import keep, lane, rows, run_now
from worker import tasks
from worker.app import app
from worker.broker import NUDGES
from worker.inbox.nudge import READING, Nudger, publish, publish_once
from worker.stand_in import DRAIN, drain_round
from worker.tasks import drain, read, tick


@pytest.fixture
def use_broker(monkeypatch):
    """Point the application at a broker."""

    def use(url):
        for name in ("broker_url", "broker_read_url", "broker_write_url"):
            monkeypatch.setitem(app.conf, name, url)
        forget_connections()

    def forget_connections():
        app._pool = app.amqp._producer_pool = None
        pools.reset()

    yield use
    monkeypatch.undo()
    forget_connections()


@pytest.fixture
def messages(use_broker):
    """The queue of nudges on a broker in memory."""
    use_broker("memory://")
    with app.connection_for_read() as connection, connection.SimpleQueue(NUDGES) as queue:
        queue.clear()
        yield queue


@pytest.fixture
def frozen_broker():
    """A broker that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def next_message(queue):
    message = queue.get(timeout=10)
    message.ack()
    return message.headers["task"], message.payload[0]


@pytest.mark.parametrize(("lane_", "task"), [(0, drain), (7, drain), (READING, read)])
def test_a_nudge_names_the_task_of_its_lane(messages, lane_, task):
    publish(lane_)

    assert next_message(messages) == (task.name, [lane_])
    assert app.tasks[task.name] is not None


def test_rabbitmq_may_forget_a_nudge_that_nobody_takes(messages):
    publish(0)

    message = messages.get(timeout=10)
    message.ack()
    assert message.properties["expiration"] == "30000"


def test_nudges_leave_off_the_callers_path(messages):
    nudger = Nudger()
    nudger.nudge({1, READING})

    assert sorted(next_message(messages) for _ in range(2)) == [(drain.name, [1]), (read.name, [READING])]


def test_a_command_learns_that_the_broker_is_away(use_broker):
    use_broker("redis://127.0.0.1:1/0")

    assert not publish_once(0)


def test_a_frozen_broker_blocks_nobody(use_broker, frozen_broker):
    use_broker(frozen_broker)
    nudger = Nudger()
    began = time.monotonic()

    for _ in range(100):
        nudger.nudge({0})

    assert time.monotonic() - began < 1


def test_a_nudger_outlives_its_broker(use_broker, messages):
    nudger = Nudger()
    use_broker("redis://127.0.0.1:1/0")
    nudger.nudge({1})
    nudger._thread.join(timeout=0.5)  # it would end here if an error could end it
    use_broker("memory://")

    nudger.nudge({2})

    # A nudger of an earlier test may still have one to bring.
    while next_message(messages) != (drain.name, [2]):
        pass


def test_a_lost_nudge_loses_no_envelope(engine, source, use_broker, monkeypatch):
    def drain_here(kind):
        assert kind == DRAIN
        drain_round(engine, lambda: None)

    monkeypatch.setattr(tasks.stand_ins, "call", drain_here)
    use_broker("redis://127.0.0.1:1/0")
    keep(engine, source, {"id": "1"})
    Nudger().nudge({lane(source)})
    run_now(engine, "1 hour")

    tick()

    assert rows(engine, "SELECT outcome FROM outcomes") == [("settled",)]
