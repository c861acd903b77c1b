"""Decisions: what operators and the sources themselves say about who is who (section 5, rule 2)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tests.model.history import Apart, Envelope, Link, Merged, Ref
from tests.model.records import Stamp, stamp_of


@dataclass(frozen=True)
class Decision:
    """Two records are one person (link, merge) or two (apart). In a merge the source kept ``a`` and gave up ``b``."""

    kind: Literal["link", "apart", "merge"]
    a: Ref
    b: Ref
    stamp: Stamp

    @property
    def pair(self) -> frozenset[Ref]:
        return frozenset((self.a, self.b))

    @property
    def order(self) -> tuple[object, ...]:
        """Rank decisions, the strongest last: the newest; of one time an operator's beats a source's."""
        return (self.stamp.time, self.kind != "merge", self.stamp, self.kind == "apart", self.a, self.b)


class Groups:
    """Which records are together. A group only grows."""

    def __init__(self, refs: Iterable[Ref]) -> None:
        self.of: dict[Ref, frozenset[Ref]] = {ref: frozenset((ref,)) for ref in refs}

    def join(self, a: Ref, b: Ref) -> None:
        together = self.of[a] | self.of[b]
        for ref in together:
            self.of[ref] = together

    def all(self) -> set[frozenset[Ref]]:
        return set(self.of.values())


@dataclass
class Decided:
    """What follows from the decisions alone."""

    groups: Groups
    apart: set[frozenset[Ref]] = field(default_factory=set)
    void: list[Decision] = field(default_factory=list)  #: links and merges that would join what stands apart
    merges: list[Decision] = field(default_factory=list)  #: that apply

    def must_stay_apart(self, group: frozenset[Ref], other: frozenset[Ref]) -> bool:
        return any(frozenset((a, b)) in self.apart for a in group for b in other)

    def merged_away(self, seen: Iterable[Ref]) -> dict[Ref, Ref]:
        """Return the survivor of each record that its source merged away.

        A record that went into several went into the newest of them. The survivor is the last record on the way that
        was ever seen; until one has been, the loser is a record like any other.
        """
        newest = {merge.b: merge.a for merge in sorted(self.merges, key=lambda merge: merge.stamp)}
        survivors = {}
        for lost in newest:
            at = lost
            while at in newest:
                at = newest[at]
                if at in seen:
                    survivors[lost] = at
        return survivors

    def merged_at(self, lost: Ref) -> int:
        """Return when a record was first merged away."""
        return min(merge.stamp.time for merge in self.merges if merge.b == lost)


def decisions_of(envelopes: Mapping[str, Envelope]) -> set[Decision]:
    found = set()
    for envelope in envelopes.values():
        for position, saying in enumerate(envelope.says):
            match saying:
                case Merged(source, kept, lost, t) if kept != lost:
                    stamp = stamp_of(envelope, t, position)
                    found.add(Decision("merge", (source, kept), (source, lost), stamp))
                case Link(a, b):
                    found.add(Decision("link", a, b, stamp_of(envelope, None, position)))
                case Apart(a, b):
                    found.add(Decision("apart", a, b, stamp_of(envelope, None, position)))
    return found


def decide(refs: Iterable[Ref], decisions: Iterable[Decision]) -> Decided:
    """Apply the decisions: all that hold apart, then all that join, the strongest first.

    Per pair an operator's newest decision counts; it stands beside the source's merges. A link or a merge that would
    bring together what stands apart is void; so an operator's ``apart`` beats a merge of its pair.
    """
    newest: dict[frozenset[Ref], Decision] = {}
    merges = []
    for decision in sorted(decisions, key=lambda one: one.order):
        if decision.kind == "merge":
            merges.append(decision)
        else:
            newest[decision.pair] = decision
    decided = Decided(Groups(refs), {pair for pair, human in newest.items() if human.kind == "apart"})
    links = [human for human in newest.values() if human.kind == "link"]
    for joining in sorted([*links, *without_circles(merges)], key=lambda one: one.order, reverse=True):
        a, b = decided.groups.of[joining.a], decided.groups.of[joining.b]
        if a != b and decided.must_stay_apart(a, b):
            decided.void.append(joining)
            continue
        decided.groups.join(joining.a, joining.b)
        if joining.kind == "merge":
            decided.merges.append(joining)
    return decided


def without_circles(merges: list[Decision]) -> list[Decision]:
    """Drop the oldest merge of each circle, until there is none."""
    merges = sorted(merges, key=lambda merge: merge.stamp)
    while circle := [merge for merge in merges if _leads(merges, merge.a, merge.b)]:
        merges.remove(circle[0])
    return merges


def _leads(merges: list[Decision], start: Ref, end: Ref) -> bool:
    """Whether a record went, by one merge after the other, into another."""
    reached = {start}
    while more := {merge.a for merge in merges if merge.b in reached} - reached:
        reached |= more
    return end in reached
