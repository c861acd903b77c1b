"""The connectors, by name: ours stand in ``CONNECTORS``; other packages join through the entry point.

Two folders beside them are no connectors and stand in no list here: ``channels`` shows profiles of persons, and
``wazapin`` is a client of the Contacts API.
"""

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from connectors import files, shopify, woocommerce
from connectors.contract import Connector
from connectors.reader import Reader

#: the group in which other packages declare their connectors: ``name = "module"``
ENTRY_POINTS = "contactsync.connectors"

CONNECTORS: dict[str, Connector] = {
    "file": cast("Connector", files),
    "shopify": cast("Connector", shopify),
    "woocommerce": cast("Connector", woocommerce),
}

_SHIPPED = frozenset(CONNECTORS)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connector comes from. Its code has not run yet."""

    name: str
    package: str
    entry_point: EntryPoint | None = None  #: None for a connector of ours


def origins() -> list[Origin]:
    """Return our connectors and those that installed packages declare; imports none of them.

    A name may be there twice. The first one is used.
    """
    ours = [Origin(name, "contactsync") for name in sorted(_SHIPPED)]
    declared = [
        Origin(found.name, found.dist.name if found.dist else "unknown", found)
        for found in entry_points(group=ENTRY_POINTS)
    ]
    return [*ours, *sorted(declared, key=lambda origin: (origin.name, origin.package))]


def connector(name: str) -> Connector:
    """Return the connector of that name; raises KeyError, which lists the known names, if there is none."""
    if name in CONNECTORS:
        return CONNECTORS[name]
    for origin in origins():
        if origin.name == name and origin.entry_point is not None:
            CONNECTORS[name] = cast("Connector", origin.entry_point.load())
            return CONNECTORS[name]
    known = sorted({*CONNECTORS, *(origin.name for origin in origins())})
    raise KeyError(f"no connector {name!r}; known: {', '.join(known)}")


def can_read(name: str) -> bool:
    """Whether the connector of that name can read its provider; raises KeyError for an unknown name."""
    return hasattr(connector(name), "read")


def reader_of(name: str) -> Reader:
    """Return the connector of that name as a reader; raises KeyError if it cannot read its provider."""
    if not can_read(name):
        raise KeyError(f"the connector {name!r} cannot read its provider")
    return cast("Reader", connector(name))
