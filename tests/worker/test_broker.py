"""The broker's door: what passes is a task of ours and nothing else of the message; the rest is named, never quoted."""

import base64
import json

import orjson
import pytest

from tests.attack.broker import MARK, garbage, message
from worker import broker, tasks
from worker.app import app
from worker.broker import NotOursError, checked
from worker.consumer import Consumer

EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def call(kept):
    return kept["headers"]["task"], json.loads(base64.b64decode(kept["body"]))


def test_what_we_publish_passes_with_its_arguments_and_expiry():
    published = app.amqp.create_task_message(
        "5d9c1d7e-6f0e-4d0c-9f0e-0c3f0e4b7a11", "worker.tasks.drain", [3], expires=30
    )
    body, content_type, encoding = _encoded(published)
    item = message(None, raw=body, headers=published.headers)

    kept = checked(orjson.dumps(item | {"content-type": content_type, "content-encoding": encoding}), "wake")

    assert call(kept) == ("worker.tasks.drain", [[3], {}, EMBED])
    assert kept["headers"]["id"] == "5d9c1d7e-6f0e-4d0c-9f0e-0c3f0e4b7a11"
    assert kept["headers"]["expires"] == published.headers["expires"]


def test_the_public_task_may_be_called_by_names_and_in_the_older_protocol():
    named = {"connection_id": "con_1", "headers": {"a": "b"}, "body_base64": "e30="}
    old = {"task": "worker.tasks.ingest", "id": "7", "args": ["con_1"], "kwargs": {**named}}
    del old["kwargs"]["connection_id"]

    new = checked(orjson.dumps(message([[], named, EMBED], headers={"task": "worker.tasks.ingest"})), "ingest")
    older = checked(orjson.dumps(message(old, headers=[])), "ingest")

    assert call(new) == call(older) == ("worker.tasks.ingest", [list(named.values()), {}, EMBED])


def test_the_table_of_tasks_has_their_parameters():
    ours = {name: task for name, task in app.tasks.items() if not name.startswith("celery.")}

    assert {name: list(task.run.__annotations__)[:-1] for name, task in ours.items()} == {
        name: list(parameters) for name, parameters in broker._TASKS.items()
    }
    assert tasks.drain.name in ours


def test_nothing_of_a_message_but_its_call_is_kept():
    chain = [{"task": "worker.tasks.tick", "args": [MARK]}]
    item = message(
        [[0], {}, EMBED | {"chain": chain}],
        headers={"eta": "2999-01-01T00:00:00", "timelimit": [1e9, 1e9], "shadow": MARK, "root_id": MARK},
    )

    kept = checked(orjson.dumps(item), "wake")

    assert MARK not in repr(kept)
    assert set(kept["headers"]) == {"lang", "task", "id", "expires", "retries", "timelimit"}
    assert kept["headers"]["timelimit"] == [None, None]
    assert call(kept) == ("worker.tasks.drain", [[0], {}, EMBED])


@pytest.mark.parametrize("item", [pytest.param(item, id=f"{n}-{kind}") for n, (kind, item) in enumerate(garbage())])
def test_garbage_is_dropped_or_harmless_and_never_quoted(item):
    kept, reason = _checked(item)

    assert MARK not in str(reason)
    if kept is not None and call(kept)[0] != "worker.tasks.ingest":  # its task looks at what it is given
        assert MARK not in repr(kept)
        assert MARK not in repr(call(kept))
        assert call(kept)[0] in broker._TASKS


def test_an_item_too_large_is_not_even_parsed(monkeypatch):
    monkeypatch.setattr(broker.orjson, "loads", lambda _: pytest.fail("parsed"))

    with pytest.raises(NotOursError, match="too large"):
        checked(b"x" * 12_000_000, "wake")


def test_a_flood_of_garbage_is_one_line_a_second(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(broker.time, "monotonic", lambda: now[0])
    told = []
    monkeypatch.setattr(broker.log, "warning", lambda _event, **about: told.append(about["count"]), raising=False)
    dropped = broker.Dropped()

    for _ in range(1_000):
        dropped.tell("garbage")
    now[0] = 2.0
    dropped.tell("garbage")

    assert told == [1, 1_000]


def test_celery_uses_our_transport_and_consumer():
    assert app.conf.worker_consumer == f"{Consumer.__module__}:{Consumer.__name__}"
    for scheme in ("redis", "rediss"):
        assert app.connection_for_read(f"{scheme}://localhost").get_transport_cls() is broker.Transport


def _encoded(published):
    content_type, encoding, body = "application/json", "utf-8", json.dumps(published.body)
    return base64.b64encode(body.encode()).decode(), content_type, encoding


def _checked(item):
    try:
        return checked(item, "wake"), None
    except NotOursError as error:
        return None, error
