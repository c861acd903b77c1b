"""Broker: what arrives is checked, and built anew, before Celery sees it.

Whoever shares the broker can push anything into our lists. Celery ends its worker on what is no message at all, quotes
what it cannot read in its log, and obeys what a message asks for: a chain of further tasks, a time in the far future, a
time limit of its own. So a message of ours is a task that we have with arguments of its types. Nothing else of it is
kept, and everything else is dropped with a line in the log that names the reason and quotes nothing.
"""

import base64
import functools
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from queue import Empty
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import orjson
import structlog
from kombu.transport import redis
from redis.exceptions import RedisError, ResponseError

from worker.broker_urls import at_once
from worker.settings import settings

log = structlog.get_logger()

NUDGES = "wake"
INGEST = "ingest"

#: the parameters of our tasks
_TASKS: Mapping[str, Mapping[str, type]] = {
    "worker.tasks.drain": {"lane": int},
    "worker.tasks.read": {"_": int},
    "worker.tasks.tick": {},
    "worker.tasks.ingest": {"connection_id": str, "headers": dict, "body_base64": str},
}
_MAX_HEAD = 256 * 1024  #: bytes of a message beside its body; a nudge has 1,500
_LOG_EVERY_S = 1.0
_PROBE = "probe"  #: a key that is written to find out whether we can


class NotOursError(Exception):
    """A message is not one of ours; the text says why, and quotes nothing."""


def checked(item: bytes, queue: str) -> dict[str, Any]:
    """Return an item of a list as a message in Kombu's form, built anew. Raises ``NotOursError`` if it is not ours."""
    # A body is base64 in JSON in base64, and each base64 makes three bytes four.
    if len(item) > settings().max_body_bytes * 16 // 9 + _MAX_HEAD:
        raise NotOursError("too large")
    return rebuilt(_object(item, "the message"), queue)


def rebuilt(message: Mapping[str, Any], queue: str) -> dict[str, Any]:
    """Return a message in Kombu's form, built anew. Raises ``NotOursError`` if it is not ours."""
    properties = _dict(message.get("properties"), "properties")
    headers = _dict(message.get("headers") or {}, "headers")
    if message.get("content-type") != "application/json" or headers.get("compression"):
        raise NotOursError("expected uncompressed JSON")
    task, given, options = _call(headers, _body(message.get("body"), properties))
    known = _TASKS.get(task) if isinstance(task, str) else None
    if known is None:
        raise NotOursError("an unknown task")
    delivery = properties.get("delivery_info")
    is_redelivered = isinstance(delivery, dict) and delivery.get("redelivered") is True
    content = [_arguments(known, given), {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    return {
        "body": base64.b64encode(orjson.dumps(content)).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": task,
            "id": _id(options.get("id")),
            "expires": _expires(options.get("expires")),
            "retries": 0,
            "timelimit": [None, None],
        },
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": str(uuid4()),
            "delivery_info": {"exchange": "", "routing_key": queue, "redelivered": is_redelivered},
            "priority": 0,
        },
    }


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise NotOursError(f"{what} is not JSON") from None
    return _dict(found, what)


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise NotOursError(f"{what}: expected an object")
    return value


def _body(body: Any, properties: Mapping[str, Any]) -> Any:
    if not isinstance(body, str):
        raise NotOursError("body: expected text")
    try:
        content = base64.b64decode(body) if properties.get("body_encoding") == "base64" else body.encode()
        return orjson.loads(content)
    except ValueError:  # also that of orjson, base64 and Unicode
        raise NotOursError("body: expected JSON") from None


def _call(headers: Mapping[str, Any], body: Any) -> tuple[Any, Any, Mapping[str, Any]]:
    """Return the task, its arguments and its options, from a message of Celery's protocol 2 or 1."""
    if isinstance(body, dict):
        return body.get("task"), (body.get("args", []), body.get("kwargs", {})), body
    if isinstance(body, list) and len(body) == len(("args", "kwargs", "embedded")):
        return headers.get("task"), body[:2], headers
    raise NotOursError("body: expected arguments")


def _arguments(parameters: Mapping[str, type], given: Any) -> list[Any]:
    """Return the arguments in order; named ones may stand for the last of them."""
    args, kwargs = given
    if not (isinstance(args, list) and isinstance(kwargs, dict)) or len(args) + len(kwargs) != len(parameters):
        raise NotOursError("not the arguments of its task")
    named = list(parameters)[len(args) :]
    if set(named) != kwargs.keys():
        raise NotOursError("not the arguments of its task")
    found = [*args, *(kwargs[name] for name in named)]
    for value, type_ in zip(found, parameters.values(), strict=True):
        if type(value) is not type_ or (
            isinstance(value, dict) and not all(type(one) is str for one in value.values())
        ):
            raise NotOursError("an argument of another type")
    return found


def _id(given: Any) -> str:
    """Return the id of a task, which Celery logs; a new one if it is no UUID."""
    try:
        return str(UUID(given))
    except (ValueError, TypeError, AttributeError):
        return str(uuid4())


def _expires(given: Any) -> str | None:
    """Return the time after which a task is not run, as Celery reads it back; None if it is no time of today."""
    try:
        at = datetime.fromisoformat(given)
    except (ValueError, TypeError):
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


class Dropped:
    """Logs what was dropped, at most one line a second: somebody may send a million of them."""

    def __init__(self) -> None:
        self._count = 0
        self._next_at = 0.0

    def tell(self, reason: str) -> None:
        """Count one message; ``reason`` quotes nothing."""
        self._count += 1
        if time.monotonic() >= self._next_at:
            log.warning("message_dropped", reason=reason, count=self._count)
            self._count, self._next_at = 0, time.monotonic() + _LOG_EVERY_S


dropped = Dropped()


class _Client(redis.PrefixedStrictRedis):
    """A client whose BRPOP gives messages of ours, or nothing, as after a time-out."""

    def parse_response(self, connection: Any, command_name: str, **options: Any) -> Any:
        found = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not found:
            return found
        key, item = found
        try:
            return key, orjson.dumps(checked(item, key.decode().split(Channel.sep)[0]))
        except NotOursError as error:
            dropped.tell(str(error))
            return None


class _QoS(redis.QoS):
    """Keeps messages until they are acknowledged; drops kept ones that are none."""

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:  # noqa: FBT001, FBT002 - Kombu's
        try:
            super().restore_by_tag(tag, client, leftmost)  # type: ignore[no-untyped-call]
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
            dropped.tell("a kept message is none")
            self._remove_from_indices(tag).execute()  # type: ignore[no-untyped-call]


if TYPE_CHECKING:
    _Base = redis.Channel
else:
    _Base = object


class _Checked(_Base):
    """What a channel of Kombu's does behind the check; keys of ours that hold another type are deleted."""

    QoS = _QoS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]
        try:
            self._prepare()
        except Exception:
            self._disconnect_pools()  # type: ignore[no-untyped-call] # as Kombu's channel does if its PING fails
            raise

    def _prepare(self) -> None:
        """See to it that we can write: a replica, a full memory or missing rights would fail each later step."""
        with self.conn_or_acquire() as client:
            client.execute_command("SET", _PROBE, b"", "EX", 60)
        self._delete_foreign()

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - Kombu's
        params: dict[str, Any] = super()._connparams(asynchronous)  # type: ignore[no-untyped-call]
        return params | {"retry": at_once()}

    def _get_client(self) -> Any:
        return functools.partial(_Client, global_keyprefix=self.global_keyprefix)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
        self._delete_foreign()
        raise Empty

    def _delete_foreign(self) -> None:
        """Delete what another has put where our lists are; only nudges are lost."""
        with self.conn_or_acquire() as client:
            for key, type_ in self._keys():
                if client.execute_command("TYPE", self.global_keyprefix + key) not in (type_, b"none"):
                    log.warning("broker_key_deleted", key=key)
                    client.delete(key)

    def _keys(self) -> Iterator[tuple[str, bytes]]:
        yield self.unacked_key, b"hash"
        yield self.unacked_index_key, b"zset"
        for queue in (NUDGES, INGEST):
            yield self.keyprefix_queue % (queue,), b"set"
            yield self.keyprefix_binding_permanent % (queue,), b"set"
            for priority in self.priority_steps:
                yield self._q_for_pri(queue, priority), b"list"  # type: ignore[no-untyped-call]


class Channel(_Checked, redis.Channel):
    """Kombu's channel, behind the check."""


class SentinelChannel(_Checked, redis.SentinelChannel):
    """Kombu's channel to the master that a Sentinel names, behind the check."""


class Transport(redis.Transport):
    """Kombu's transport for Redis and Valkey, behind the check.

    Whatever Redis answers is no reason to end: read-only, loading, a full memory, a right that was taken away. All of
    it is an error of the connection, after which Celery connects anew.
    """

    Channel = Channel
    connection_errors = (*redis.Transport.connection_errors, RedisError)


class SentinelTransport(redis.SentinelTransport):
    """The same through Sentinel."""

    Channel = SentinelChannel
    connection_errors = Transport.connection_errors
