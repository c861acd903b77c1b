"""Mirror: what whoever follows the feed must hear (section 5, "Mirrors")."""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.model.ids import Id
from tests.model.model import Shown


@dataclass(frozen=True)
class Gone:
    """The row of a contact that is no more, for those who ask for ``include=removed``."""

    merged_into: Id | None


def rows_due(before: Mapping[Id, Shown], after: Mapping[Id, Shown], aliases: Mapping[Id, Id]) -> dict[Id, Shown | Gone]:
    """Return the rows that the feed owes after a step: every contact that shows something else, whatever the cause.

    The feed may bring more rows, because a touched contact may show the same as before.
    """
    changed: dict[Id, Shown | Gone] = {id_: shown for id_, shown in after.items() if before.get(id_) != shown}
    return changed | {id_: Gone(aliases.get(id_)) for id_ in before.keys() - after.keys()}


def followed(mirror: Mapping[Id, Shown], rows: Mapping[Id, Shown | Gone]) -> dict[Id, Shown]:
    """Return a mirror after it has read the rows of the feed."""
    merged = {**mirror, **rows}
    return {id_: row for id_, row in merged.items() if isinstance(row, Shown)}
