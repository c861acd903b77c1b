"""Snapshot: everything that the outcome of a batch depends on, as it was loaded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from worker.domain.deletions import Deletions
from worker.domain.folded import Folded, Withdrawn
from worker.domain.grouping import Limits
from worker.domain.keyed_consents import KeyedConsent
from worker.domain.record import Record
from worker.domain.rows import ClaimRow, ContactRow, RecordRow
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import Decision, Ident, Ref


class NewDecision(NamedTuple):
    """A decision that is not stored yet."""

    decision: Decision
    actor: str  #: the source that made it
    envelope_id: UUID | None  #: None of one that was made without an envelope, which no replay takes back


@dataclass(slots=True)
class Snapshot:
    """The batch's own records, folded, and the components that they are in."""

    folded: Folded
    limits: Limits
    new_id: Callable[[], UUID]
    rows: dict[Ref, RecordRow] = field(default_factory=dict)  #: the components: active records and their neighbours
    #: the claims that are stored, by identifier; whole for those in ``expanded``
    claimed: dict[Ident, list[ClaimRow]] = field(default_factory=dict)
    proven: list[ClaimRow] = field(default_factory=list)  #: claims that own crowded identifiers, because of a proof
    expanded: set[Ident] = field(default_factory=set)  #: identifiers whose claimants are all in ``rows``
    crowded: set[Ident] = field(default_factory=set)  #: identifiers that identify nobody
    given_by_many: set[Ident] = field(
        default_factory=set
    )  #: identifiers that so many guests gave that it proves nothing
    decisions: set[Decision] = field(default_factory=set)  #: stored ones about the components' records
    stated: Sequence[EnvelopeStatements] = ()  #: the statements of the batch
    withdrawn: Withdrawn | None = None  #: what a replay took back before
    is_regrouped: bool = False  #: all contacts may be otherwise, although nothing is stated
    news: Sequence[KeyedConsent] = ()  #: its consents, without those that repeat what counts
    #: those that the components' records belong to, and those that have the id of one of them
    contacts: dict[UUID, ContactRow] = field(default_factory=dict)
    aliases: dict[UUID, UUID] = field(default_factory=dict)  #: ids that stay with a record, and which; of these records
    priorities: Mapping[str, int] = field(default_factory=dict)  #: of sources
    deletions: Deletions = field(default_factory=dict)  #: of those who held one of the active records' identifiers
    hidden: dict[Ref, UUID] = field(default_factory=dict)  #: records that one of them removes, and its envelope

    def record_rows(self) -> dict[Ref, RecordRow]:
        """Return every record that was loaded.

        Of two with one key the batch's own counts. Otherwise a record that another writer has stored meanwhile would
        pass for a new record of the batch.
        """
        return {**self.rows, **self.folded.rows}

    def new_decisions(self) -> list[NewDecision]:
        """Return the decisions of the batch that are not stored yet, each once: the first one counts."""
        known = {_same(decision) for decision in self.decisions}
        found = []
        for stated in self.stated:
            for decision in stated.decisions:
                if _same(decision) not in known:
                    known.add(_same(decision))
                    found.append(NewDecision(decision, stated.source, stated.envelope_id))
        return found

    def all_decisions(self) -> set[Decision]:
        """Return the decisions that are stored, and those of the batch."""
        return self.decisions.union(new.decision for new in self.new_decisions())

    def records(self) -> list[Record]:
        """Return the records of the components."""
        return [row.record for row in self.rows.values()]


def _same(decision: Decision) -> tuple[str, Ref, Ref, str]:
    """Return the key of a decision: the store keeps one decision for each key."""
    return (decision.kind, decision.a, decision.b, decision.tie)


def lock_keys(snapshot: Snapshot) -> set[str]:
    """Name the records and identifiers that the outcome depends on, for locking.

    Crowded identifiers are among them, because letting go of one can end a crowd.
    """
    idents = {*snapshot.claimed}
    for stated in snapshot.stated:
        idents |= stated.idents
    idents.update(row.ident for row in snapshot.proven)
    refs = snapshot.rows.keys() | snapshot.folded.rows.keys()
    return {f"record:{source}:{id_}" for source, id_ in refs} | {f"{kind}:{key}" for kind, key in idents}
