"""Resolve: which records are one person. Pure: a function of the set of records and decisions.

Rules (numbers as in the design): 1 the same (source, external_id) is one record; 2 a decision beats
everything; 3 identifiers join records, numbers before e-mails; 4 two live customers of one source are two
people; 5 crowded or placeholder values identify nobody; 6 the order of work below; 7 in an oversize
component only decisions join.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.domain import identifiers
from worker.domain.terms import API_SOURCE, Decision, Ident, Ref
from worker.domain.union_find import UnionFind

_LAST = 1 << 62  # a record whose source never said when it was created ranks after all others
_ORDER_OF_TYPES = {"phone": 0, "whatsapp_bsuid": 1, "email": 3}  # other messengers' ids stand between


class Member(NamedTuple):
    """What resolving needs to know of a record."""

    ref: Ref
    is_customer: bool  #: a guest is evidence and exempt from rule 4
    is_live: bool
    created: int | None  #: at its source, microseconds
    claims: tuple[tuple[Ident, bool], ...]  #: identifier, verified; empty unless live

    @property
    def seniority(self) -> tuple[int, bool, str, str]:
        """Older first; the same for every worker."""
        return (_LAST if self.created is None else self.created, self.ref[0] == API_SOURCE, *self.ref)


class Limits(NamedTuple):
    """Where guessing stops."""

    crowd: int  #: more customers of one source claiming a value: it identifies nobody
    component: int  #: more records connected through identifiers: only decisions join them


@dataclass(slots=True)
class Resolution:
    """Who is who among the given members."""

    groups: list[tuple[Ref, ...]]  #: each with a live member; the oldest first
    owners: dict[Ident, Ref] = field(default_factory=dict)  #: the strongest claim of each identifier
    contested: set[Ident] = field(default_factory=set)  #: claimed by members of two groups
    lost: set[Ref] = field(default_factory=set)  #: merged away by their source: no golden values
    oversize: set[Ref] = field(default_factory=set)  #: members that rule 7 kept apart


class _Groups:
    """Groups of records that refuse to break rules 2 and 4."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._joined: UnionFind[Ref] = UnionFind()
        self._sources: dict[Ref, set[str]] = {}
        self._apart: dict[Ref, set[Ref]] = defaultdict(set)
        for member in members:
            self._sources[member.ref] = {member.ref[0]} if member.is_customer and member.is_live else set()

    def find(self, ref: Ref) -> Ref:
        return self._joined.find(ref)

    def keep_apart(self, a: Ref, b: Ref) -> None:
        self._apart[self.find(a)].add(b)
        self._apart[self.find(b)].add(a)

    def join(self, a: Ref, b: Ref, *, decided: bool) -> bool:
        """Make two groups one; False if a rule forbids it."""
        a, b = self.find(a), self.find(b)
        if a == b:
            return True
        if any(self.find(other) == b for other in self._apart[a]):
            return False
        if not decided and self._sources[a] & self._sources[b]:
            return False
        self._joined.union(a, b)
        self._sources[a] |= self._sources.pop(b)
        self._apart[a] |= self._apart.pop(b, set())
        return True


def resolve(
    members: Collection[Member],
    decisions: Iterable[Decision],
    limits: Limits,
    crowded: Collection[Ident] = (),
) -> Resolution:
    """Group members into people.

    ``members`` must be whole components: everything connected to a member through a claim (contested
    ones included) or a decision. ``crowded`` are identifiers already known to identify nobody; those
    that show it among the members are found here.
    """
    decisions = list(decisions)
    alone, together = _split_off_alone(members, decisions, limits, crowded)
    result = _grouped(together, decisions, limits, crowded)
    for member in alone:
        result.groups.append((member.ref,))
        for ident, _ in member.claims:
            if not identifiers.identifies_nobody(*ident):
                result.owners[ident] = member.ref
    result.groups.sort()
    return result


def _split_off_alone(
    members: Collection[Member], decisions: Iterable[Decision], limits: Limits, crowded: Collection[Ident]
) -> tuple[list[Member], list[Member]]:
    """Tell those apart that nothing connects to another, as nearly all are: there is nothing to work out."""
    decided = {ref for decision in decisions for ref in (decision.a, decision.b)}
    times = Counter(ident for member in members for ident, _ in member.claims)
    alone: list[Member] = []
    together: list[Member] = []
    for member in members:
        is_alone = (
            member.is_live
            and member.ref not in decided
            and all(times[ident] == 1 and ident not in crowded for ident, _ in member.claims)
        )
        (alone if is_alone and min(limits) > 0 else together).append(member)
    return alone, together


def _grouped(
    members: Collection[Member], decisions: Iterable[Decision], limits: Limits, crowded: Collection[Ident]
) -> Resolution:
    by_ref = {member.ref: member for member in members}
    standing = _standing(decisions, by_ref)
    claimants = _claimants(by_ref.values(), limits, crowded)
    oversize = _oversize(by_ref.values(), claimants, standing, limits.component)

    groups = _Groups(by_ref.values())
    lost = _decide(groups, standing)
    ranked = _ranked(claimants, lost)
    for _, refs in ranked:
        if refs[0] not in oversize:
            for ref in refs[1:]:
                groups.join(refs[0], ref, decided=False)

    result = Resolution(_people(by_ref, groups, lost), lost=lost, oversize=oversize)
    for ident, refs in ranked:
        result.owners[ident] = refs[0]
        if any(groups.find(ref) != groups.find(refs[0]) for ref in refs):
            result.contested.add(ident)
    return result


def crowds(members: Iterable[Member], limits: Limits) -> set[Ident]:
    """Return the identifiers that too many claim to identify anybody (rule 5)."""
    claims: dict[Ident, list[tuple[str, bool]]] = defaultdict(list)
    for member in members:
        for ident, _ in member.claims:
            claims[ident].append((member.ref[0], member.is_customer))
    return {ident for ident, claimants in claims.items() if is_crowd(claimants, limits)}


def is_crowd(claimants: Sequence[tuple[str, bool]], limits: Limits) -> bool:
    """Whether (source, is customer) of those who claim a value show that it identifies nobody.

    More customers of one source than the limit; or more records in all than a component may have.
    """
    if len(claimants) <= limits.crowd:
        return False
    counts: dict[str, int] = defaultdict(int)
    for source, is_customer in claimants:
        counts[source] += is_customer
    return len(claimants) > limits.component or max(counts.values()) > limits.crowd


def _decide(groups: _Groups, standing: Sequence[Decision]) -> set[Ref]:
    """Carry out the decisions; return the records that their source merged away."""
    kept_by: dict[Ref, Ref] = {}
    for decision in standing:
        if decision.kind == "apart":
            groups.keep_apart(decision.a, decision.b)
    for decision in standing:
        if decision.kind == "apart" or not groups.join(decision.a, decision.b, decided=True):
            continue
        if decision.kind == "source_merge" and decision.b not in kept_by:
            survivor = decision.a
            while survivor in kept_by:
                survivor = kept_by[survivor]
            if survivor != decision.b:  # a circle of merges has to end somewhere: the strongest stand
                kept_by[decision.b] = decision.a
    return set(kept_by)


def _standing(decisions: Iterable[Decision], known: Collection[Ref]) -> list[Decision]:
    """The strongest decision of each pair, strongest first."""
    pairs: set[frozenset[Ref]] = set()
    standing = []
    for decision in sorted(decisions, key=lambda d: d.strength, reverse=True):
        pair = frozenset((decision.a, decision.b))
        if pair not in pairs and decision.a in known and decision.b in known:
            pairs.add(pair)
            standing.append(decision)
    return standing


def _claimants(
    members: Iterable[Member], limits: Limits, crowded: Collection[Ident]
) -> dict[Ident, list[tuple[bool, Member]]]:
    members = list(members)
    nobody = crowds(members, limits).union(crowded)
    claimants: dict[Ident, list[tuple[bool, Member]]] = defaultdict(list)
    for member in members:
        for ident, verified in member.claims:
            if ident not in nobody and not identifiers.identifies_nobody(*ident):
                claimants[ident].append((verified, member))
    return claimants


def _ranked(claimants: dict[Ident, list[tuple[bool, Member]]], lost: Collection[Ref]) -> list[tuple[Ident, list[Ref]]]:
    """Identifiers in order of work, each with its claims sorted, strongest first.

    The claim of a record that its source merged away comes last: the source has already given the
    value back, perhaps to a new customer.
    """

    def strength(claim: tuple[bool, Member]) -> tuple[bool, bool, tuple[int, bool, str, str]]:
        verified, member = claim
        return (member.ref in lost, not verified, member.seniority)

    ranked = []
    for ident, claims in claimants.items():
        claims.sort(key=strength)
        order = (_ORDER_OF_TYPES.get(ident[0], 2), ident[0], strength(claims[0]), ident[1])
        ranked.append((order, ident, [member.ref for _, member in claims]))
    ranked.sort()
    return [(ident, refs) for _, ident, refs in ranked]


def _oversize(
    members: Iterable[Member],
    claimants: dict[Ident, list[tuple[bool, Member]]],
    standing: Sequence[Decision],
    limit: int,
) -> set[Ref]:
    """Members of components with more records than ``limit`` (rule 7)."""
    members = list(members)
    if len(members) <= limit:
        return set()
    connected: UnionFind[Ref] = UnionFind()
    for claims in claimants.values():
        for _, member in claims[1:]:
            connected.union(claims[0][1].ref, member.ref)
    for decision in standing:
        connected.union(decision.a, decision.b)
    sizes = connected.sizes(member.ref for member in members)
    return {member.ref for member in members if sizes[connected.find(member.ref)] > limit}


def _people(by_ref: dict[Ref, Member], groups: _Groups, lost: Collection[Ref]) -> list[tuple[Ref, ...]]:
    """The groups that a live record stands for; one merged away stays with its survivor, and goes with it."""
    found: dict[Ref, list[Member]] = defaultdict(list)
    for member in by_ref.values():
        if member.is_live or member.ref in lost:
            found[groups.find(member.ref)].append(member)
    people = []
    for group in found.values():
        if any(member.is_live and member.ref not in lost for member in group):
            group.sort(key=lambda member: member.seniority)
            people.append(tuple(member.ref for member in group))
    return people
