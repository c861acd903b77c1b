"""Naive closure, the baseline: who shares an e-mail or a number is one person, and so is everybody they lead to."""

from collections.abc import Iterator, Sequence

from bench.identity.rows import Row
from worker.domain import identifiers
from worker.domain.union_find import UnionFind


def groups(rows: Sequence[Row]) -> list[int]:
    """Return a group for each row. Values have our normal form, but a number is compared without its extension."""
    joined: UnionFind[int | tuple[str, str]] = UnionFind()
    for place, row in enumerate(rows):
        for value in _values(row):
            joined.union(place, value)
    numbers: dict[int | tuple[str, str], int] = {}
    return [numbers.setdefault(joined.find(place), len(numbers)) for place in range(len(rows))]


def _values(row: Row) -> Iterator[tuple[str, str]]:
    for kind, text in (("email", row.now.email), ("phone", row.now.number)):
        if text and (found := identifiers.normal_form(kind, text, row.region)):
            yield kind, found.key
