"""What a connector offers to the suite: recorded requests, and a scripted provider that can be read.

They are ``EXAMPLES`` and ``SIMULATOR`` of the connector. A package may have them in its submodule ``examples``
instead, which the worker never imports.
"""

import importlib
import importlib.util
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from datetime import datetime
from types import ModuleType
from typing import Any, Protocol

from connectors.contract import Account, Envelope, Event
from connectors.reader import Answer, Credentials, Request


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """One recorded request, or one row as read, and its events. Invented people only: examples are public."""

    name: str  #: its name in reports
    body: bytes | Mapping[str, Any]  #: an object is written as JSON; a signed example needs bytes
    headers: Mapping[str, str] = field(default_factory=dict)  #: names in any case
    topic: str | None = None  #: None: as ``receive`` reads it; a row has no headers, so its topic is needed here
    secrets: Sequence[str] = ()  #: secrets that fit the signature in ``headers``; empty: the example is not signed
    account: Account | None = None  #: the connection it came through; None: a connection without options
    #: the events that ``parse`` must give, each in full, or as its class, or as ``written`` returns it
    events: Sequence[Event | type[Any] | Mapping[str, Any]] = ()

    def raw(self) -> bytes:
        """Return the body as it is received."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()

    def json(self) -> Any:
        """Return the body as JSON; None if it is not an object or list."""
        try:
            read = json.loads(self.raw())
        except ValueError:
            return None
        return read if isinstance(read, dict | list) else None

    def lowered(self) -> dict[str, str]:
        """Return the headers with names in lower case, as a connector gets them."""
        return {name.lower(): value for name, value in self.headers.items()}


class Provider(Protocol):
    """A scripted provider with a few customers, two or three a page."""

    account: Account  #: the connection to read it through
    credentials: Credentials  #: credentials that it accepts; the suite looks for their values in rows and errors
    external_ids: Collection[str]  #: of all its customers; at least three pages of them
    # A provider without a list of changed customers also has increment_ids, the customers that an increment finds.

    def answer(self, request: Request, /) -> Answer:
        """Answer as the provider would, but never 429 or 5xx; the request has the headers of ``authorize``."""


Simulator = Callable[[], Provider]


def examples_of(connector: Any) -> list[Example]:
    """Return the connector's own examples, perhaps none."""
    found = _offered(connector, "EXAMPLES")
    return list(found() if callable(found) else found or ())


def simulator_of(connector: Any) -> Simulator | None:
    """Return the function that makes the connector's scripted provider; None if it has none."""
    found: Simulator | None = _offered(connector, "SIMULATOR")
    return found


def _offered(connector: Any, name: str) -> Any:
    found = getattr(connector, name, None)
    if found is None and isinstance(connector, ModuleType) and hasattr(connector, "__path__"):
        submodule = f"{connector.__name__}.examples"
        if importlib.util.find_spec(submodule) is not None:
            return getattr(importlib.import_module(submodule), name, None)
    return found


def envelope(example: Example, topic: str, body: bytes | None = None) -> Envelope:
    """Return the envelope of an example, as a worker would keep it; ``body`` replaces the example's."""
    return Envelope(
        topic=topic,
        delivery_id="delivery",
        sent_at=None,
        headers=example.lowered(),
        body=example.raw() if body is None else body,
    )


def written(event: Any) -> dict[str, Any]:
    """Return an event as JSON: the name of its class, and the fields that differ from their defaults."""
    return {"event": type(event).__name__, **_plain_fields(event)}


def _plain_fields(value: Any) -> dict[str, Any]:
    return {
        each.name: _plain(getattr(value, each.name))
        for each in fields(value)
        if getattr(value, each.name) != _default_of(each)
    }


def _default_of(each: Field[Any]) -> object:
    return each.default_factory() if each.default_factory is not MISSING else each.default


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return _plain_fields(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
