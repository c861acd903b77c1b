"""What a connector brings along to be judged by: recorded requests, and a scripted provider to be read.

The connector has them as ``EXAMPLES`` and ``SIMULATOR``; or, if it is a package, its submodule ``examples`` has, so
that a worker that only reads webhooks does not load them.
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
    """One recorded request, or row as read, and what it says. Invented people only: examples are public."""

    name: str  #: what reports call it
    body: bytes | Mapping[str, Any]  #: an object is written as JSON; give bytes where the signature covers them
    headers: Mapping[str, str] = field(default_factory=dict)  #: names in any case
    topic: str | None = None  #: None: as ``receive`` reads it; of a row, which has no headers, say it here
    secrets: Sequence[str] = ()  #: with which the signature in ``headers`` is right; none: it is not signed
    account: Account | None = None  #: the connection it came through; None: one without options
    #: what it must give: each the event itself, or its class, or what ``written`` makes of it
    events: Sequence[Event | type[Any] | Mapping[str, Any]] = ()

    def raw(self) -> bytes:
        """Return the body as it is received."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body, ensure_ascii=False).encode()

    def json(self) -> Any:
        """Return the body as JSON; None if it is no object or list."""
        try:
            read = json.loads(self.raw())
        except ValueError:
            return None
        return read if isinstance(read, dict | list) else None

    def lowered(self) -> dict[str, str]:
        """Return the headers as a connector is given them."""
        return {name.lower(): value for name, value in self.headers.items()}


class Provider(Protocol):
    """A scripted provider: a few customers, of which it shows two or three a page."""

    account: Account  #: the connection to read it through
    credentials: Credentials  #: that it accepts; give each a value found nowhere else
    external_ids: Collection[str]  #: of all customers it has; at least three pages of them
    # increment_ids: of a provider that cannot be asked who changed, those whom an increment finds all the same

    def answer(self, request: Request, /) -> Answer:
        """Answer as the provider would; the headers of ``authorize`` are in the request. Neither 429 nor 5xx."""


Simulator = Callable[[], Provider]


def examples_of(connector: Any) -> list[Example]:
    """Return the examples that the connector brings along, perhaps none."""
    found = _offered(connector, "EXAMPLES")
    return list(found() if callable(found) else found or ())


def simulator_of(connector: Any) -> Simulator | None:
    """Return what makes the connector's scripted provider, if it has one."""
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
    """Make the envelope that a worker would keep of an example, or of another body in its place."""
    return Envelope(
        topic=topic,
        delivery_id="delivery",
        sent_at=None,
        headers=example.lowered(),
        body=example.raw() if body is None else body,
    )


def written(event: Any) -> dict[str, Any]:
    """Write an event for a file: its class and what is not as by default."""
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
