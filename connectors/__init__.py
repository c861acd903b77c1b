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

#: where packages of others declare their connectors: ``name = "module"``
ENTRY_POINTS = "contactsync.connectors"

CONNECTORS: dict[str, Connector] = {
    "file": cast("Connector", files),
    "shopify": cast("Connector", shopify),
    "woocommerce": cast("Connector", woocommerce),
}

_SHIPPED = frozenset(CONNECTORS)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connector comes from, known before any of its code is run."""

    name: str
    package: str
    entry_point: EntryPoint | None = None  #: None: it is ours


def origins() -> list[Origin]:
    """Return every connector that is ours or declared by an installed package, importing none of them.

    A name may be there twice; the first one has it.
    """
    ours = [Origin(name, "contactsync") for name in sorted(_SHIPPED)]
    declared = [
        Origin(found.name, found.dist.name if found.dist else "unknown", found)
        for found in entry_points(group=ENTRY_POINTS)
    ]
    return [*ours, *sorted(declared, key=lambda origin: (origin.name, origin.package))]


def connector(name: str) -> Connector:
    """Return the connector of that name; raises KeyError with the known names if there is none."""
    if name in CONNECTORS:
        return CONNECTORS[name]
    for origin in origins():
        if origin.name == name and origin.entry_point is not None:
            CONNECTORS[name] = cast("Connector", origin.entry_point.load())
            return CONNECTORS[name]
    known = sorted({*CONNECTORS, *(origin.name for origin in origins())})
    raise KeyError(f"no connector {name!r}; known: {', '.join(known)}")


def can_read(name: str) -> bool:
    """Whether the connector of that name reads its provider, and does not only listen to it."""
    return hasattr(connector(name), "read")


def reader_of(name: str) -> Reader:
    """Return the connector of that name as a reader; raises KeyError if it does not read."""
    if not can_read(name):
        raise KeyError(f"the connector {name!r} cannot read its provider")
    return cast("Reader", connector(name))
