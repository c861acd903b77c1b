"""Explain: which identifiers make the records of a contact one person, and why others that share one stay apart.

It groups the stored records again, as ``apply`` does, and writes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from uuid import UUID

from worker import ids
from worker.domain import identifiers
from worker.domain.folded import Regrouped
from worker.domain.grouping import Limits, Reason, Resolution
from worker.domain.limits import left_out
from worker.domain.resolve import resolve
from worker.domain.snapshot import Snapshot
from worker.domain.terms import CLAIM, EVIDENCE, FORMER, LAST, Decision, Ident, Ref, Tie
from worker.pipeline.load import load
from worker.settings import settings
from worker.store import claims, records
from worker.store.db import Tx

#: why records that have one identifier are not one person; "contested": a stronger claim of others was in the way
Cause = Reason | Literal["identifies nobody", "evidence", "no longer claimed", "contested"]
#: what is known of an identifier that leads to no contact
Standing = Literal["identifies nobody", "evidence", "no longer claimed", "unknown"]

#: of ties that are no claims
_BY_ROLE: Mapping[int, Literal["evidence", "no longer claimed"]] = {
    EVIDENCE: "evidence",
    FORMER: "no longer claimed",
    LAST: "no longer claimed",
}


class Shared(NamedTuple):
    """An identifier that several records of a contact claim."""

    ident: Ident
    value: str  #: as the contact's record spells it
    refs: list[Ref]


class Apart(NamedTuple):
    """An identifier of a contact's records that did not join them with others."""

    ident: Ident
    value: str
    cause: Cause
    contact_id: UUID | None  #: of the others; None: the value identifies nobody, whoever has it


@dataclass(slots=True)
class Explanation:
    """Why a contact is this person. Lists are sorted by their content."""

    joined: list[Shared] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)  #: between two records of the contact
    apart: list[Apart] = field(default_factory=list)
    #: records that are full, and of what each has left something out
    full: list[tuple[Ref, list[str]]] = field(default_factory=list)


def explain(tx: Tx, contact_ids: Collection[UUID]) -> dict[UUID, Explanation]:
    """Explain contacts; ``tx`` should see one snapshot."""
    own = records.by_contacts(tx, contact_ids)
    limits = Limits(settings().crowd_limit, settings().component_limit)
    ties = {row.ref: row.record.ties() for row in own}
    snapshot = load(tx, [], limits, ids.new, regrouped=Regrouped(own, changed=(), ties=ties))
    resolution = resolve(snapshot.records(), snapshot.decisions, limits, snapshot.crowded, snapshot.given_by_many)
    return {contact_id: _Explained(contact_id, snapshot, resolution).explanation() for contact_id in contact_ids}


def standings(tx: Tx, idents: Collection[Ident]) -> dict[Ident, Standing]:
    """Return why each of these identifiers leads to no contact."""
    found = claims.claimants(tx, idents, 1)
    return {ident: _standing(ident, {row.role for row in found.get(ident, ())}) for ident in idents}


def _standing(ident: Ident, roles: Collection[int]) -> Standing:
    if CLAIM in roles or identifiers.identifies_nobody(*ident):
        return "identifies nobody"
    return _BY_ROLE[min(roles)] if roles else "unknown"


class _Explained:
    """One contact among the records that were loaded for it."""

    def __init__(self, contact_id: UUID, snapshot: Snapshot, resolution: Resolution) -> None:
        self._contact_id = contact_id
        self._snapshot = snapshot
        self._resolution = resolution
        self._own = {ref for ref, row in snapshot.rows.items() if row.contact_id == contact_id}
        #: how records of this contact, and of others, are tied to an identifier
        self._held: dict[Ident, dict[Ref, Tie]] = defaultdict(dict)
        self._others: dict[Ident, dict[UUID, int]] = defaultdict(dict)
        for ref, row in sorted(snapshot.rows.items()):
            for ident, tie in row.record.ties().items():
                if ref in self._own:
                    self._held[ident][ref] = tie
                elif row.contact_id is not None:
                    known = self._others[ident].get(row.contact_id, tie.role)
                    self._others[ident][row.contact_id] = min(known, tie.role)
        self._reasons = dict(self._refused())

    def explanation(self) -> Explanation:
        own = self._own
        decisions = [d for d in self._snapshot.decisions if d.kind != "about" and d.a in own and d.b in own]
        return Explanation(
            joined=[shared for ident in sorted(self._held) for shared in self._shared(ident)],
            decisions=sorted(decisions, key=lambda d: d.strength),
            apart=[apart for ident in sorted(self._held) for apart in self._apart(ident)],
            full=[(ref, kinds) for ref in sorted(own) if (kinds := left_out(self._snapshot.rows[ref].record))],
        )

    def _value(self, ident: Ident) -> str:
        return next(iter(self._held[ident].values())).value

    def _is_nobodys(self, ident: Ident) -> bool:
        is_crowd = ident in self._snapshot.crowded or identifiers.identifies_nobody(*ident)
        return is_crowd and ident not in self._resolution.owners

    def _shared(self, ident: Ident) -> Iterable[Shared]:
        """Yield the identifier if several of the contact's records claim it."""
        refs = [ref for ref, tie in self._held[ident].items() if tie.role == CLAIM]
        if len(refs) > 1 and not self._is_nobodys(ident):
            yield Shared(ident, self._value(ident), refs)

    def _apart(self, ident: Ident) -> Iterable[Apart]:
        """Yield the other contacts that have the identifier, and why it did not join them with this one."""
        value = self._value(ident)
        if self._is_nobodys(ident):
            yield Apart(ident, value, "identifies nobody", None)
            return
        ours = min(tie.role for tie in self._held[ident].values())
        for contact_id, theirs in sorted(self._others[ident].items()):
            weaker = max(ours, theirs)
            cause: Cause = "contested" if weaker == CLAIM else _BY_ROLE[weaker]
            yield Apart(ident, value, self._reasons.get((ident, contact_id), cause), contact_id)

    def _refused(self) -> Iterable[tuple[tuple[Ident, UUID], Reason]]:
        """Yield each refusal of the rules to join this contact with another: ((identifier, other), reason)."""
        rows = self._snapshot.rows
        for refusal in reversed(self._resolution.refusals):  # of several the first one counts
            at = {rows[ref].contact_id for ref in (refusal.claimant, refusal.other)}
            if self._contact_id in at:
                for other in at:
                    if other is not None and other != self._contact_id:
                        yield (refusal.ident, other), refusal.reason
