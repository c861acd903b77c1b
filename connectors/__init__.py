"""The connectors we ship, by name; other packages' join through the entry point."""

from importlib.metadata import entry_points
from typing import cast

from connectors import shopify
from connectors.contract import Connector

CONNECTORS: dict[str, Connector] = {
    "shopify": cast("Connector", shopify),
}


def connector(name: str) -> Connector:
    """Return the connector of that name; raises KeyError with the known names if there is none."""
    if name in CONNECTORS:
        return CONNECTORS[name]
    for found in entry_points(group="contactsync.connectors", name=name):
        CONNECTORS[name] = cast("Connector", found.load())
        return CONNECTORS[name]
    raise KeyError(f"no connector {name!r}; known: {', '.join(sorted(CONNECTORS))}")
