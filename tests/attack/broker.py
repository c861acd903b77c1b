"""Garbage in the broker's lists: whoever shares the broker may push anything, and the workers go on."""

import base64
import json
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any

import redis

from connectors.shopify.simulator.shop import signed
from tests.attack.finding import Finding
from tests.flows.stack import RunningStack, wait_until

PREFIX = "csync:"
LISTS = ("wake", "ingest", "wake\x06\x163")
DOMAIN = "broker.myshopify.com"
MARK = "ayu.lestari@marker.example"
_NO_EMBED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
_INGEST = {"task": "worker.tasks.ingest"}
_DRAIN = [[0], {}, _NO_EMBED]
_PATIENCE_S = 20


def message(body: Any, *, raw: str | None = None, headers: Any = None, **changed: Any) -> dict[str, Any]:
    """Return a message in Kombu's form, as Celery would publish it, with some parts changed."""
    given = {"lang": "py", "task": "worker.tasks.drain", "id": MARK, "retries": 0, "timelimit": [None, None]}
    whole = {
        "body": base64.b64encode(json.dumps(body).encode()).decode() if raw is None else raw,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": given | headers if isinstance(headers, dict) else given if headers is None else headers,
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": MARK,
            "delivery_info": {"exchange": "wake", "routing_key": "wake"},
            "priority": 0,
        },
    }
    return whole | changed


def garbage() -> Iterator[tuple[str, bytes]]:
    """Yield what may lie in a list: the kind in words, and the item. Most name the marker."""
    yield from _no_messages()
    for kind, item in (*_odd_envelopes(), *_odd_headers(), *_odd_bodies()):
        yield kind, json.dumps(item).encode()


def _no_messages() -> Iterator[tuple[str, bytes]]:
    mark = MARK.encode()
    yield "no JSON", b"garbage " + mark
    yield "no UTF-8", b"\xff\xfe\x00" + mark
    yield "empty", b""
    yield "an open text", b'"' + mark
    yield "nested deeply", b"[" * 100_000 + mark
    yield "JSON nested deeply", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "a number with many digits", b"9" * 20_000
    for name, value in (("a text", MARK), ("a list", [MARK]), ("nothing", None), ("a number", 7), ("an object", {})):
        yield name, json.dumps(value).encode()
    yield "an unknown type", json.dumps({"__type__": MARK, "__value__": MARK}).encode()


def _odd_envelopes() -> Iterator[tuple[str, Any]]:
    good = message(_DRAIN)
    for missing in good:
        yield f"without {missing}", {name: good[name] for name in good if name != missing}
        for value in (None, 7, MARK, [MARK], {MARK: MARK}):
            yield f"{missing} of another type", good | {missing: value}
    for missing in good["properties"]:
        left = {name: value for name, value in good["properties"].items() if name != missing}
        yield f"properties without {missing}", good | {"properties": left}
        for value in (None, [MARK], {MARK: 1}, 1e300):
            odd = good | {"properties": good["properties"] | {missing: value}}
            yield f"{missing} of another type", odd


def _odd_headers() -> Iterator[tuple[str, Any]]:
    for type_ in ("application/x-python-serialize", "application/x-yaml", "application/data", MARK):
        yield "of another content type", message(_DRAIN, **{"content-type": type_})
    for encoding in ("binary", "utf-16", MARK):
        yield "of another encoding", message(_DRAIN, **{"content-encoding": encoding})
    for compression in ("zlib", "application/x-gzip", MARK):
        yield "compressed wrongly", message(_DRAIN, headers={"compression": compression})
    for task in (MARK, None, 7, [MARK], {"a": MARK}, "celery.backend_cleanup", "celery.chain", "worker.tasks." + MARK):
        yield "an unknown task", message(_DRAIN, headers={"task": task})
    for eta in ("2999-01-01T00:00:00", "0001-01-01T00:00:00", MARK, 7, [MARK]):
        yield "an odd eta", message(_DRAIN, headers={"eta": eta})
        yield "an odd expiry", message(_DRAIN, headers={"expires": eta})
    for name in ("id", "root_id", "parent_id", "group", "shadow", "timelimit", "retries", "stamps", "argsrepr"):
        for value in ([MARK], {MARK: [MARK]}, -1, "x" * 10_000 + MARK):
            yield f"an odd {name}", message(_DRAIN, headers={name: value})


def _odd_bodies() -> Iterator[tuple[str, Any]]:
    for args in ([MARK], [[MARK]], [None], [], [0, MARK], [{"__type__": "datetime", "__value__": MARK}], [1e400], [-1]):
        for task in ("worker.tasks.drain", "worker.tasks.read", "worker.tasks.tick", "worker.tasks.ingest"):
            item = message([args, {}, _NO_EMBED], headers={"task": task})
            yield "arguments of other types", item
            item = message([[], {MARK: args}, _NO_EMBED], headers={"task": task})
            yield "arguments of other names", item
    chain = [{"task": "worker.tasks.drain", "args": [MARK], "kwargs": {}, "options": {"queue": MARK}}] * 3
    yield "a chain of more tasks", message([[0], {}, _NO_EMBED | {"chain": chain}])
    yield "errbacks", message([[MARK], {}, _NO_EMBED | {"errbacks": chain}])
    for body in (MARK, {MARK: MARK}, [[0]], [[0], {}], [0, 0, 0], None, 7, {"task": MARK, "args": [], "kwargs": {}}):
        yield "another body", message(body)
    large = base64.b64encode(b"x" * 5_300_000).decode()
    yield "a large delivery of nobody", message([[MARK, {MARK: MARK}, large], {}, _NO_EMBED], headers=_INGEST)
    yield "a delivery of nobody", message([[MARK, {MARK: MARK}, "e30="], {}, _NO_EMBED], headers=_INGEST)
    yield "a body that is no base64", message(_DRAIN, raw="!" + MARK)
    yield "a body nested deeply", message(_DRAIN, raw="[" * 50_000)


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Push garbage into each list, then see whether the workers live, work, and have told nothing."""
    broker = redis.Redis.from_url(stack.state()["redis_url"])
    secret = "broker attack"
    url = stack.connect(DOMAIN, secret=secret, source="broker", organization="broker")
    work = _Work(stack, broker, url.rpartition("/")[2], secret)
    before = _workers(stack)
    items = [item for _, item in garbage()]
    items += [b"x" * (40 << 20), b'{"a": "' + b"x" * (9 << 20) + b'"}'] if full else [b"x" * (12 << 20)]
    for name in LISTS:
        broker.lpush(PREFIX + name, *items)
    seconds = work.seconds()
    yield _lives(
        f"{len(items) * len(LISTS):,} items that are no messages, in {len(LISTS)} lists", stack, before, seconds
    )

    count = 15_000 if full else 5_000
    random_ = random.Random(17)
    mutants = [_mutated(item, random_) for _, item in garbage() if len(item) < 5_000]
    for start in range(0, count, 5_000):
        chosen = random_.choices(mutants, k=min(5_000, count - start))
        broker.lpush(PREFIX + "wake", *chosen)
    seconds = work.seconds()
    yield _lives(f"{count:,} mutants of these in one list", stack, before, seconds)

    for name in ("wake", "ingest", "unacked", "unacked_index", "_kombu.binding.wake"):
        broker.delete(PREFIX + name)
        broker.set(PREFIX + name, MARK) if name != "unacked" else broker.lpush(PREFIX + name, MARK)
    seconds = work.seconds()
    yield _lives("keys of ours that hold another type", stack, before, seconds)

    broker.hset(PREFIX + "unacked", mapping={f"{MARK}{number}": item for number, item in enumerate(items[:50])})
    broker.zadd(PREFIX + "unacked_index", {f"{MARK}{number}": 1.0 for number in range(60)})
    seconds = work.seconds()
    wait_until(lambda: not full or broker.zcard(PREFIX + "unacked_index") < 50, 120)
    yield _lives("garbage among the kept messages", stack, before, seconds)

    logs = {path.name: path.read_bytes() for path in (stack.data_dir / "logs").iterdir()}
    telling = sorted(name for name, text in logs.items() if MARK.encode() in text or b"marker.example" in text)
    yield Finding("all of it", "no log quotes a message", ", ".join(telling) or "none does", not telling)
    size = sum(len(logs[name]) for name in ("worker.log",))
    yield Finding("all of it", "the worker's log stays below 1 MB", f"{size:,} bytes", size < 1_000_000)


def _mutated(item: bytes, random_: random.Random) -> bytes:
    changed = bytearray(item)
    for _ in range(random_.randint(0, 3)):
        if changed:
            changed[random_.randrange(len(changed))] = random_.randrange(256)
    return bytes(changed)


def _workers(stack: RunningStack) -> int:
    """Return the id of Celery's main process: the others end and begin with it."""
    wait_until(lambda: bool(stack.workers()), _PATIENCE_S)
    return min(stack.workers())


class _Work:
    """Work that only a worker does: the public task."""

    def __init__(self, stack: RunningStack, broker: "redis.Redis", connection_id: str, secret: str) -> None:
        self._stack, self._broker, self._connection_id, self._secret = stack, broker, connection_id, secret
        self._sent = 0

    def seconds(self) -> float:
        """Push a delivery; return the seconds until it is settled. Wait until the lists are empty."""
        began = time.monotonic()
        self._sent += 1
        customer = {"id": self._sent, "updated_at": "2026-10-01T00:00:00Z", "first_name": "Ayu"}
        one = signed(customer, self._secret, topic="customers/update", domain=DOMAIN, webhook_id=str(uuid.uuid4()))
        args = [self._connection_id, one.headers, base64.b64encode(one.body).decode()]
        item = json.dumps(message([args, {}, _NO_EMBED], headers=_INGEST))
        wait_until(lambda: self._push(item), _PATIENCE_S)
        wait_until(lambda: self._stack.status("broker")["inbox"]["settled"] == self._sent, _PATIENCE_S)
        seconds = time.monotonic() - began
        wait_until(lambda: not any(map(self._broker.exists, (PREFIX + name for name in LISTS))), 120)
        return seconds

    def _push(self, item: str) -> bool:
        try:
            self._broker.lpush(PREFIX + "ingest", item)
        except redis.ResponseError:  # the key holds another type, until the worker deletes it
            return False
        return True


def _lives(attack_: str, stack: RunningStack, before: int, seconds: float) -> Finding:
    is_alive = before in stack.workers()
    shown = f"{seconds:.1f} s, " + ("the same process" if is_alive else "ANOTHER PROCESS")
    return Finding(attack_, "the worker lives, and a delivery is settled within 10 s", shown, is_alive and seconds < 10)
