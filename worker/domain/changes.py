"""Changes: entries of the change log."""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Self
from uuid import UUID

import orjson

#: a detail as it is stored: without its cause, if that is the only one of its entry. Nearly all entries have one cause,
#: and most fields of a new contact name it: naming it each time doubled the log.
StoredDetail = tuple[Any, Any] | tuple[Any, Any, str | None]


class EncodedDetails(NamedTuple):
    """Details that are JSON already: of a new contact there are many, and JSON takes a tenth of their room."""

    json: bytes
    named: tuple[str, ...]  #: envelopes that they name

    @classmethod
    def of(cls, details: Mapping[str, StoredDetail], encode: Callable[[Mapping[str, StoredDetail]], bytes]) -> Self:
        """Encode details."""
        return cls(encode(details), tuple({name for name in _named(details) if name is not None}))


class Change(NamedTuple):
    """One entry."""

    contact_id: UUID
    kind: str  #: created, changed, merged, removed
    details: dict[str, StoredDetail]  #: by field
    causes: tuple[UUID, ...]  #: envelopes
    encoded: EncodedDetails | None = None  #: more details, of other fields

    def fields(self) -> set[str]:
        """Name the fields that it tells of."""
        return self.details.keys() | (set() if self.encoded is None else orjson.loads(self.encoded.json).keys())


def only_cause(causes: Collection[UUID]) -> str | None:
    """Return the cause that details of an entry with these causes need not name; None if there are several."""
    return next(iter(causes)).hex if len(causes) == 1 else None


def causes_of(entries: Iterable[Change]) -> set[UUID]:
    """Return the envelopes behind these entries."""
    causes: set[UUID] = set()
    named: set[str | None] = set()
    for entry in entries:
        causes.update(entry.causes)
        named.update(_named(entry.details))
        if entry.encoded is not None:
            named.update(entry.encoded.named)
    return causes.union([UUID(name) for name in named if name is not None])


def _named(details: Mapping[str, StoredDetail]) -> list[str | None]:
    return [detail[2] for detail in details.values() if len(detail) == 3]
