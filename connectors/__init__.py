"""What we ship, by name: connectors, which read webhooks, and channels, which show a person's profile.

Connectors of other packages join through the entry point.
"""

from importlib.metadata import entry_points
from typing import cast

from connectors import files, line, shopify, telegram, whatsapp
from connectors.contract import Connector
from connectors.pages import Reader
from connectors.profiles import Platform

CONNECTORS: dict[str, Connector] = {
    "file": cast("Connector", files),
    "shopify": cast("Connector", shopify),
}

CHANNELS: dict[str, Platform] = {
    "line": line,
    "telegram": telegram,
    "whatsapp": whatsapp,
}


def connector(name: str) -> Connector:
    """Return the connector of that name; raises KeyError with the known names if there is none."""
    if name in CONNECTORS:
        return CONNECTORS[name]
    for found in entry_points(group="contactsync.connectors", name=name):
        CONNECTORS[name] = cast("Connector", found.load())
        return CONNECTORS[name]
    raise KeyError(f"no connector {name!r}; known: {', '.join(sorted(CONNECTORS))}")


def can_read(name: str) -> bool:
    """Whether the connector of that name reads its provider, and does not only listen to it."""
    return hasattr(connector(name), "read")


def reader(name: str) -> Reader:
    """Return the connector of that name as a reader; raises KeyError if it does not read."""
    if not can_read(name):
        raise KeyError(f"the connector {name!r} cannot read its provider")
    return cast("Reader", connector(name))


def platform(name: str) -> Platform:
    """Return the channel platform of that name; raises KeyError with the known names if there is none."""
    if name in CHANNELS:
        return CHANNELS[name]
    raise KeyError(f"no channel platform {name!r}; known: {', '.join(sorted(CHANNELS))}")
