"""Resolve: which records are one person. A function of the set of records and decisions, whatever their order.

1. The same (source, external_id) is one record.
2. A decision beats everything else.
3. Identifiers join records, numbers before e-mails.
4. Two live customers of one source are two people.
5. Crowded and placeholder values identify nobody.
6. The strongest claims are tried first (``_ranked``).
7. In an oversize component only decisions join.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from worker.domain import identifiers
from worker.domain.terms import API_SOURCE, Decision, Ident, Ref
from worker.domain.union_find import UnionFind

#: creation of a record whose source never told it: it ranks after all others
_LAST = 1 << 62
#: types in the order of work; ids of other messengers stand between
_ORDER_OF_TYPES = {"phone": 0, "whatsapp_bsuid": 1, "email": 3}


class Member(NamedTuple):
    """What resolve needs to know about a record."""

    ref: Ref
    is_customer: bool  #: False for a guest, which rule 4 does not bind
    is_live: bool
    created: int | None  #: at its source, microseconds
    claims: tuple[tuple[Ident, bool], ...]  #: (identifier, is verified); empty unless live

    @property
    def seniority(self) -> tuple[int, bool, str, str]:
        """Sort older records first, in the same way for every worker."""
        return (_LAST if self.created is None else self.created, self.ref[0] == API_SOURCE, *self.ref)


class Limits(NamedTuple):
    """The sizes from which identifiers no longer join records."""

    crowd: int  #: a value that more customers of one source claim identifies nobody
    component: int  #: where identifiers connect more records, only decisions join them


@dataclass(slots=True)
class Resolution:
    """Who is who among the given members."""

    groups: list[tuple[Ref, ...]]  #: people: each group has a live member, and begins with the oldest
    owners: dict[Ident, Ref] = field(default_factory=dict)  #: the record with the strongest claim on each identifier
    contested: set[Ident] = field(default_factory=set)  #: identifiers that members of two groups claim
    lost: set[Ref] = field(default_factory=set)  #: members that their source merged away; they give no values
    oversize: set[Ref] = field(default_factory=set)  #: members that rule 7 kept apart


class _Groups:
    """Groups of records. A join that breaks rule 2 or rule 4 is refused."""

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

    ``members`` must be whole components: everything that a claim (contested ones included) or a decision connects to
    a member. ``crowded`` are identifiers that are known to identify nobody; others are found among the members.
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
    """Part the members that nothing connects to another from the rest. Nearly all are alone, and need no work."""
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
    counting = _counting(decisions, by_ref)
    claimants = _claimants(by_ref.values(), limits, crowded)
    oversize = _oversize(by_ref.values(), claimants, counting, limits.component)

    groups = _Groups(by_ref.values())
    lost = _decide(groups, counting)
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
    """Whether so many claim a value that it identifies nobody. ``claimants`` are (source, is a customer).

    They are a crowd if they are more customers of one source than the limit, or more records than a component may have.
    """
    if len(claimants) <= limits.crowd:
        return False
    counts: dict[str, int] = defaultdict(int)
    for source, is_customer in claimants:
        counts[source] += is_customer
    return len(claimants) > limits.component or max(counts.values()) > limits.crowd


def _decide(groups: _Groups, counting: Sequence[Decision]) -> set[Ref]:
    """Carry out the decisions; return the records that their source merged away."""
    kept_by: dict[Ref, Ref] = {}
    for decision in counting:
        if decision.kind == "apart":
            groups.keep_apart(decision.a, decision.b)
    for decision in counting:
        if decision.kind == "apart" or not groups.join(decision.a, decision.b, decided=True):
            continue
        if decision.kind == "source_merge" and decision.b not in kept_by:
            survivor = decision.a
            while survivor in kept_by:
                survivor = kept_by[survivor]
            if survivor != decision.b:  # a circle of merges ends with its weakest one
                kept_by[decision.b] = decision.a
    return set(kept_by)


def _counting(decisions: Iterable[Decision], known: Collection[Ref]) -> list[Decision]:
    """Return the strongest decision of each pair, strongest first."""
    pairs: set[frozenset[Ref]] = set()
    counting = []
    for decision in sorted(decisions, key=lambda d: d.strength, reverse=True):
        pair = frozenset((decision.a, decision.b))
        if pair not in pairs and decision.a in known and decision.b in known:
            pairs.add(pair)
            counting.append(decision)
    return counting


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
    """Return identifiers in the order of work, each with its claimants, the strongest claim first.

    The claim of a record that its source merged away comes last, because the source may have given the value to a new
    customer since.
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
    counting: Sequence[Decision],
    limit: int,
) -> set[Ref]:
    """Return the members of components with more records than ``limit`` (rule 7)."""
    members = list(members)
    if len(members) <= limit:
        return set()
    connected: UnionFind[Ref] = UnionFind()
    for claims in claimants.values():
        for _, member in claims[1:]:
            connected.union(claims[0][1].ref, member.ref)
    for decision in counting:
        connected.union(decision.a, decision.b)
    sizes = connected.sizes(member.ref for member in members)
    return {member.ref for member in members if sizes[connected.find(member.ref)] > limit}


def _people(by_ref: dict[Ref, Member], groups: _Groups, lost: Collection[Ref]) -> list[tuple[Ref, ...]]:
    """Return the groups with a live record. A record that was merged away stays with its survivor, and goes with it."""
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
