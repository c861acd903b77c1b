"""Score: how many pairs of rows were joined rightly, joined wrongly, and missed.

Judged are pairs of customers of two sources, and pairs with a guest. Two customers of one source are not judged:
our rules leave them to a person, because the source knows its customers.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import comb

from bench.identity.rows import Row

KINDS = ("customers", "with a guest")


@dataclass(frozen=True)
class Score:
    """Pairs of rows."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        return _share(self.right, self.right + self.wrong)

    @property
    def recall(self) -> float:
        return _share(self.right, self.right + self.missed)

    def __add__(self, other: "Score") -> "Score":
        return Score(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    def figures(self) -> dict[str, float]:
        """Return everything, rounded, to be printed."""
        shares = {"precision": round(self.precision, 4), "recall": round(self.recall, 4)}
        return shares | {"right": self.right, "wrong": self.wrong, "missed": self.missed}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def score(rows: Sequence[Row], groups: Sequence[int]) -> dict[str, Score]:
    """Compare groups, one for each row, with the truth; by kind of pair."""
    same_person = _pairs(rows, [row.person for row in rows])
    joined = _pairs(rows, groups)
    both = _pairs(rows, list(zip((row.person for row in rows), groups, strict=True)))
    return {kind: Score(both[kind], joined[kind] - both[kind], same_person[kind] - both[kind]) for kind in KINDS}


def _pairs(rows: Iterable[Row], labels: Iterable[Hashable]) -> Counter[str]:
    """Count the pairs to be judged whose two rows have the same label."""
    labelled: dict[Hashable, list[Row]] = defaultdict(list)
    for row, label in zip(rows, labels, strict=True):
        labelled[label].append(row)
    found: Counter[str] = Counter()
    for together in labelled.values():
        customers = Counter(row.source for row in together if not row.is_guest)
        between_customers = comb(customers.total(), 2)
        found["customers"] += between_customers - sum(comb(of_source, 2) for of_source in customers.values())
        found["with a guest"] += comb(len(together), 2) - between_customers
    return found
