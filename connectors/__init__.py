"""What we ship, by name: connectors, which read webhooks, and channels, which show a person's profile.

Connectors of other packages join through the entry point.
"""

from importlib.metadata import entry_points
from typing import cast

from connectors import line, shopify, telegram, whatsapp, woocommerce
from connectors.contract import Connector
from connectors.profiles import Platform

CONNECTORS: dict[str, Connector] = {
    "shopify": cast("Connector", shopify),
    "woocommerce": cast("Connector", woocommerce),
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


def platform(name: str) -> Platform:
    """Return the channel platform of that name; raises KeyError with the known names if there is none."""
    if name in CHANNELS:
        return CHANNELS[name]
    raise KeyError(f"no channel platform {name!r}; known: {', '.join(sorted(CHANNELS))}")
