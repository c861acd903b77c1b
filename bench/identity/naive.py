"""Naive closure, the baseline: who shares an e-mail or a number is one person, and so is everybody they lead to."""

from collections.abc import Sequence

from bench.identity.rows import Row, keys
from worker.domain.union_find import UnionFind


def groups(rows: Sequence[Row]) -> list[int]:
    """Return a group for each row. Values have our normal form, but a number is compared without its extension."""
    joined: UnionFind[int | tuple[str, str]] = UnionFind()
    for place, row in enumerate(rows):
        for value in keys(row):
            joined.union(place, value)
    numbers: dict[int | tuple[str, str], int] = {}
    return [numbers.setdefault(joined.find(place), len(numbers)) for place in range(len(rows))]
