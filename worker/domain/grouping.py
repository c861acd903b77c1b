"""Grouping: joins the records that are somebody; rules 2 to 7 of ``resolve``."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from worker.domain import identifiers
from worker.domain.names import disagree
from worker.domain.record import Record
from worker.domain.terms import API_SOURCE, CLAIM, Decision, Ident, Ref
from worker.domain.union_find import UnionFind

#: creation of a record whose source never told it: it ranks after all others
_LAST = 1 << 62
#: types in the order of work; ids of messengers come last
ORDER_OF_TYPES = {"email": 0, "phone": 1}

Reason = Literal["kept apart", "two customers of one source", "names disagree", "component too large"]


class Limits(NamedTuple):
    """The sizes from which identifiers no longer join records."""

    crowd: int  #: a value that more customers of one source claim identifies nobody
    component: int  #: where identifiers connect more records, only decisions join them


class Refusal(NamedTuple):
    """Why a claim on an identifier did not join two groups."""

    ident: Ident
    claimant: Ref
    other: Ref  #: a claimant of the group that it was refused
    reason: Reason


class Claimant(NamedTuple):
    """A claim on an identifier; sorted, the strongest comes first."""

    is_weak: bool  #: the record was merged away, and its source may have given the value to a new customer since
    is_unproven: bool
    seniority: tuple[int, bool, str, str]
    is_lent: bool  #: the claim is in the record of an edit or of a merged-away customer
    holder: Ref  #: the record that the claim is in
    ref: Ref  #: the record that claims


@dataclass(slots=True)
class Resolution:
    """Who is who among the given records."""

    #: people: each begins with its living records, the oldest first, and ends with its passengers
    groups: list[tuple[Ref, ...]] = field(default_factory=list)
    owners: dict[Ident, Ref] = field(default_factory=dict)  #: the record with the strongest claim on each identifier
    contested: set[Ident] = field(default_factory=set)  #: identifiers that records of two groups claim
    lost: dict[Ref, int] = field(default_factory=dict)  #: records that their source merged away, and when
    oversize: set[Ref] = field(default_factory=set)  #: records that rule 7 kept apart
    void: list[Decision] = field(default_factory=list)  #: links that a standing decision forbids
    refusals: list[Refusal] = field(default_factory=list)


def seniority(record: Record) -> tuple[int, bool, str, str]:
    """Sort older records first, in the same way for every worker."""
    created = record.created()
    return (_LAST if created is None else created, record.source == API_SOURCE, *record.ref)


class Groups:
    """Groups of records. A join that a rule forbids is refused."""

    def __init__(self, records: Mapping[Ref, Record]) -> None:
        self.records = records
        self._joined: UnionFind[Ref] = UnionFind()
        self._apart: dict[Ref, set[Ref]] = defaultdict(set)
        self.living: dict[Ref, list[Ref]] = {}  #: the records of each group that are neither passengers nor guests
        self.emails: dict[Ref, set[Ident]] = defaultdict(set)  #: that a record claims, edits included

    def find(self, ref: Ref) -> Ref:
        """Return the record that stands for a group."""
        return self._joined.find(ref)

    def keep_apart(self, a: Ref, b: Ref) -> None:
        """Let nothing join two records."""
        self._apart[self.find(a)].add(b)
        self._apart[self.find(b)].add(a)

    def are_apart(self, a: Ref, b: Ref) -> bool:
        """Whether a decision keeps two groups apart."""
        b = self.find(b)
        return any(self.find(other) == b for other in self.kept_from(a))

    def kept_from(self, ref: Ref) -> Collection[Ref]:
        """Return the records that decisions keep apart from a record's group."""
        return self._apart.get(self.find(ref), ())

    def union(self, a: Ref, b: Ref) -> None:
        """Make two groups one; what stands for ``a`` stands for both."""
        a, b = self.find(a), self.find(b)
        if a != b:
            self._joined.union(a, b)
            self._apart[a] |= self._apart.pop(b, set())
            if b in self.living:
                self.living.setdefault(a, []).extend(self.living.pop(b))

    def refuses(self, a: Ref, b: Ref, ident: Ident) -> Reason | None:
        """Return why an identifier must not join two groups; None if it may."""
        a, b = self.find(a), self.find(b)
        if self.are_apart(a, b):
            return "kept apart"
        left, right = self.living.get(a, ()), self.living.get(b, ())
        if self._sources(left) & self._sources(right):
            return "two customers of one source"
        if ident[0] == "phone" and any(self.disagree(one, other) for one in left for other in right):
            return "names disagree"
        return None

    def disagree(self, a: Ref, b: Ref) -> bool:
        """Whether the names of two records say that a number which they share makes them no one person."""
        return not self.emails[a] & self.emails[b] and disagree(self.records[a].names(), self.records[b].names())

    def _sources(self, refs: Iterable[Ref]) -> set[str]:
        return {ref[0] for ref in refs if self.records[ref].kind == "customer"}


class Grouping:
    """Groups the records that are somebody; passengers find their places afterwards."""

    def __init__(
        self,
        records: Collection[Record],
        decisions: Sequence[Decision],
        limits: Limits,
        crowded: Collection[Ident],
    ) -> None:
        self.result = Resolution()
        self.limits = limits
        self.records = {record.ref: record for record in records}
        self.groups = Groups(self.records)
        counting = _counting(decisions, self.records)
        self.survivors = self._decide(counting)
        for decision in decisions:  # a merge that is told again happened when it was told first
            if decision.kind == "source_merge" and decision.occurred < self.result.lost.get(decision.b, 0):
                self.result.lost[decision.b] = decision.occurred
        self.living = {
            ref for ref, record in self.records.items()
            if counts(record) and ref not in self.survivors
        }  # fmt: skip
        for ref in sorted(self.living):
            self.groups.living.setdefault(self.groups.find(ref), []).append(ref)
        #: the record that each edit sits with, if one of those that it was made of is live
        self.hosts = {ref: host for ref, record in self.records.items() if (host := self._host(record))}
        self.inherited = {ref for ref, host in self.hosts.items() if host not in self.records[ref].about()}
        self.nobodys = crowds(records, limits).union(crowded)
        #: by identifier, the strongest claim first
        self.claimants = self._claimants()
        self.result.oversize = self._oversize(counting, limits.component)
        self._join()

    def _decide(self, counting: Sequence[Decision]) -> dict[Ref, Ref]:
        """Carry out the decisions, newest first; return who survives each record that its source merged away."""
        joining = [decision for decision in counting if decision.kind != "apart"]
        for decision in counting:
            if decision.kind == "apart":
                self.groups.keep_apart(decision.a, decision.b)
        kept_by: dict[Ref, Decision] = {}
        for decision in joining:
            if self.groups.are_apart(decision.a, decision.b):
                self.result.void.append(decision)
                continue
            self.groups.union(decision.a, decision.b)
            if decision.kind == "source_merge" and decision.b not in kept_by:
                last = [decision.a, *_keepers(decision.a, kept_by)][-1]
                if last != decision.b:  # a circle of merges ends with its oldest one
                    kept_by[decision.b] = decision
        survivors: dict[Ref, Ref] = {}
        for loser, decision in kept_by.items():
            # Until a survivor has been seen the loser is a record like any other, so that nobody goes blank.
            seen = [ref for ref in _keepers(loser, kept_by) if self.records[ref].seen is not None]
            if seen:
                survivors[loser] = seen[-1]
                self.result.lost[loser] = decision.occurred
        return survivors

    def _host(self, edit: Record) -> Ref | None:
        if edit.kind != "edit":
            return None
        made_of = [self.records[ref] for ref in edit.about() if ref in self.records]
        live = [record.ref for record in made_of if record.is_live and record.kind != "edit"]
        for ref in sorted(live, key=lambda ref: ref in self.survivors):  # who was merged away speaks for its survivor
            host = self.survivors.get(ref, ref)
            if self.records[host].is_live:
                return host
        return None

    def _claimants(self) -> dict[Ident, list[Claimant]]:
        found: dict[Ident, list[Claimant]] = defaultdict(list)
        for ref, record in self.records.items():
            claiming = ref if ref in self.living else self.hosts.get(ref) or self.survivors.get(ref)
            if claiming not in self.living or (record.kind == "guest"):
                continue
            rank = seniority(self.records[claiming])
            is_weak = ref in self.survivors or ref in self.inherited
            for ident, tie in record.ties().items():
                if tie.role == CLAIM and not identifiers.identifies_nobody(*ident):
                    claim = Claimant(is_weak, not tie.is_verified, rank, ref != claiming, ref, claiming)
                    found[ident].append(claim)
                    if ident[0] == "email":
                        self.groups.emails[claiming].add(ident)
        for ident, claims in found.items():
            if ident in self.nobodys:  # proof of it stands against a crowd
                claims[:] = [claim for claim in claims if not claim.is_unproven]
            claims.sort()
        return found

    def _oversize(self, counting: Sequence[Decision], limit: int) -> set[Ref]:
        """Return the records of components with more records than ``limit`` (rule 7)."""
        if len(self.records) <= limit:
            return set()
        connected: UnionFind[Ref] = UnionFind()
        for claims in self.claimants.values():
            for claim in claims[1:]:
                connected.union(claims[0].ref, claim.ref)
        for decision in counting:
            connected.union(decision.a, decision.b)
        counted = {ref for ref, record in self.records.items() if counts(record)}
        sizes = connected.sizes(counted)
        return {ref for ref in counted if sizes[connected.find(ref)] > limit}

    def _join(self) -> None:
        """Let identifiers join groups, the strongest first."""
        result, groups = self.result, self.groups
        for ident, claims in self._in_order():
            for position, claim in enumerate(claims):
                tried: dict[Ref, Ref] = {}
                for stronger in claims[:position]:
                    root = groups.find(stronger.ref)
                    if root == groups.find(claim.ref):
                        break
                    if root in tried:
                        continue
                    tried[root] = stronger.ref
                    reason: Reason | None = "component too large" if claim.ref in result.oversize else None
                    reason = reason or groups.refuses(stronger.ref, claim.ref, ident)
                    if reason is None:
                        groups.union(stronger.ref, claim.ref)
                        break
                    result.refusals.append(Refusal(ident, claim.ref, stronger.ref, reason))

    def _in_order(self) -> list[tuple[Ident, list[Claimant]]]:
        """Return identifiers in the order of work."""
        order = sorted(
            (ORDER_OF_TYPES.get(ident[0], 2), claims[0][:3], ident)
            for ident, claims in self.claimants.items()
            if claims
        )
        return [(ident, self.claimants[ident]) for _, _, ident in order]


def _keepers(ref: Ref, kept_by: Mapping[Ref, Decision]) -> list[Ref]:
    """Return who a record was merged into, and who those were merged into, in turn."""
    found: list[Ref] = []
    while ref in kept_by:
        ref = kept_by[ref].a
        found.append(ref)
    return found


def counts(record: Record) -> bool:
    """Whether a record counts for the size of a component: guests and those who are gone connect nobody."""
    return record.is_live and record.kind in ("customer", "person")


def crowds(records: Iterable[Record], limits: Limits) -> set[Ident]:
    """Return the identifiers that too many claim to identify anybody (rule 5)."""
    claims: dict[Ident, list[tuple[str, bool]]] = defaultdict(list)
    for record in records:
        if record.kind != "edit":
            for ident, tie in record.ties().items():
                if tie.role == CLAIM:
                    claims[ident].append((record.source, record.kind != "guest"))
    return {ident for ident, claimants in claims.items() if is_crowd(claimants, limits)}


def is_crowd(claimants: Sequence[tuple[str, bool]], limits: Limits) -> bool:
    """Whether so many claim a value that it identifies nobody. ``claimants`` are (source, is no guest).

    They are a crowd if they are more customers of one source than the limit, or more records than a component may have.
    """
    if len(claimants) <= limits.crowd:
        return False
    counts: dict[str, int] = defaultdict(int)
    for source, is_customer in claimants:
        counts[source] += is_customer
    return len(claimants) > limits.component or max(counts.values()) > limits.crowd


def _counting(decisions: Iterable[Decision], known: Collection[Ref]) -> list[Decision]:
    """Return the decisions that stand, the newest first: of a pair the operators' newest and its source's newest."""
    pairs: set[tuple[frozenset[Ref], bool]] = set()
    counting = []
    for decision in sorted(decisions, key=lambda d: d.strength, reverse=True):
        pair = (frozenset((decision.a, decision.b)), decision.kind == "source_merge")
        if decision.kind != "about" and pair not in pairs and decision.a in known and decision.b in known:
            pairs.add(pair)
            counting.append(decision)
    return counting
