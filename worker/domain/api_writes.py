"""API writes: what a request of the API states, as the body of an envelope and back.

The record that a request is aimed at is chosen when the request is accepted, and is kept in the body. So a replay
does the same, whatever has become of the contact since.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, get_args
from uuid import UUID

import orjson

from connectors.cleaning import normalised
from connectors.contract import Event, Identifier
from worker.domain.terms import Ref, Stamp

#: prefix of the delivery id of every request; it tells a time of arrival from a time of a source's clock
_DELIVERY = "api:"
_EVENTS: Mapping[str, type[Any]] = {event.__name__: event for event in get_args(Event)}


@dataclass(frozen=True, slots=True)
class DeletedAddresses:
    """The addresses that a contact held when it was deleted."""

    digests: tuple[str, ...]  #: keyed hashes, in hex
    spared: tuple[Ref, ...]  #: records that claimed one of the addresses then, and were other people's


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiWrite:
    """The statements of one request."""

    events: tuple[tuple[str, Event], ...] = ()  #: (source, event)
    links: tuple[tuple[Ref, Ref], ...] = ()  #: pairs of records that are one person
    #: edits by external id, each with the records that its contact had when the request was accepted
    about: tuple[tuple[str, tuple[Ref, ...]], ...] = ()
    deletion: DeletedAddresses | None = None


def delivery_id(envelope_id: UUID) -> str:
    """Return the delivery id of a request."""
    return _DELIVERY + envelope_id.hex


def is_of_request(stamp: Stamp) -> bool:
    """Whether a statement came through the API, and its time is the time of its arrival."""
    return stamp.delivery_id.startswith(_DELIVERY) and stamp.occurred == stamp.sent


def encode(write: ApiWrite) -> bytes:
    """Return the body of a request's envelope."""
    events = [{"source": source, "event": type(event).__name__, "said": event} for source, event in write.events]
    said: dict[str, Any] = {"events": events, "links": write.links, "about": write.about}
    if write.deletion is not None:
        said["deletion"] = write.deletion
    return orjson.dumps(said, option=orjson.OPT_UTC_Z)


def decode(body: bytes) -> ApiWrite:
    """Return the write that ``encode`` made a body of.

    Fields that an older release knew are left out, and text that it kept in another form becomes NFC.
    """
    kept = orjson.loads(body if body.isascii() else normalised("NFC", body.decode()))
    return ApiWrite(
        events=tuple((one["source"], _event(_EVENTS[one["event"]], one["said"])) for one in kept["events"]),
        links=tuple((tuple(a), tuple(b)) for a, b in kept["links"]),
        about=tuple((external_id, tuple(map(tuple, refs))) for external_id, refs in kept.get("about", ())),
        deletion=_deletion(kept.get("deletion")),
    )


def _deletion(kept: Mapping[str, Any] | None) -> DeletedAddresses | None:
    return None if kept is None else DeletedAddresses(tuple(kept["digests"]), _refs(kept["spared"]))


def _event(kind: type[Any], said: Mapping[str, Any]) -> Event:
    known = {field.name for field in fields(kind)}
    values = {name: _DECODERS.get(name, _as_is)(value) for name, value in said.items() if name in known}
    return kind(**values)  # type: ignore[no-any-return]


def _as_is(value: Any) -> Any:
    return value


def _time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


def _identifiers(value: Any) -> Any:
    if isinstance(value, dict):
        return {slot: None if one is None else Identifier(**one) for slot, one in value.items()}
    return tuple(Identifier(**one) for one in value)


def _refs(value: Iterable[Sequence[str]]) -> tuple[Ref, ...]:
    return tuple((source, external_id) for source, external_id in value)


_DECODERS: Mapping[str, Callable[[Any], Any]] = {
    "occurred_at": _time,
    "created_at": _time,
    "edited_at": _time,
    "expires_at": _time,
    "identifiers": _identifiers,
    "tags": tuple,
    "customers": _refs,
}
