"""Writes: what a request of the API states, in a form that is kept as an envelope and read again by a replay.

The record that a request was aimed at is chosen when it is accepted and kept with it, so that reading it again
does the same whatever has become of the contact since. Pure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import orjson

from connectors.contract import Event, Identifier
from worker.domain.terms import Ref, Stamp

#: leads the delivery id of every request, so that a stamp tells the time of an arrival from a source's clock
_DELIVERY = "api:"
_EVENTS: Mapping[str, type[Any]] = {event.__name__: event for event in get_args(Event)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """The statements of one request."""

    events: tuple[tuple[str, Event], ...] = ()  #: (source, event)
    links: tuple[tuple[Ref, Ref], ...] = ()  #: records that are one person


def delivery_id(envelope_id: UUID) -> str:
    """Name a request among the deliveries."""
    return _DELIVERY + envelope_id.hex


def is_of_request(stamp: Stamp) -> bool:
    """Whether a statement came through the API and has no time but that of its arrival."""
    return stamp.delivery_id.startswith(_DELIVERY) and stamp.occurred == stamp.sent


def encode(write: Write) -> bytes:
    """Write the body of the envelope."""
    events = [{"source": source, "event": type(event).__name__, "said": event} for source, event in write.events]
    return orjson.dumps({"events": events, "links": write.links}, option=orjson.OPT_UTC_Z)


def decode(body: bytes) -> Write:
    """Read what ``dump`` wrote."""
    kept = orjson.loads(body)
    return Write(
        events=tuple((one["source"], _event(_EVENTS[one["event"]], one["said"])) for one in kept["events"]),
        links=tuple((tuple(a), tuple(b)) for a, b in kept["links"]),
    )


def _event(kind: type[Any], said: Mapping[str, Any]) -> Event:
    known = {field.name for field in fields(kind)}
    values = {name: _READERS.get(name, _as_is)(value) for name, value in said.items() if name in known}
    return kind(**values)  # type: ignore[no-any-return]


def _as_is(value: Any) -> Any:
    return value


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _identifiers(value: Any) -> Any:
    if isinstance(value, dict):
        return {slot: None if one is None else Identifier(**one) for slot, one in value.items()}
    return tuple(Identifier(**one) for one in value)


def _pairs(value: Any) -> tuple[tuple[str, ...], ...]:
    return tuple(map(tuple, value))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "occurred_at": _time,
    "created_at": _time,
    "expires_at": _time,
    "identifiers": _identifiers,
    "tags": tuple,
    "customers": _pairs,
}
