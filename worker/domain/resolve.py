"""Resolve: which records are one person. A function of the set of records and decisions, whatever their order.

1. The same (source, external_id) is one record.
2. A decision beats everything else.
3. Identifiers join records: e-mails first, then numbers, where names do not disagree.
4. Two live customers of one source are two people.
5. Crowded and placeholder values identify nobody.
6. The strongest claims are tried first; each claimant tries the groups of the stronger ones.
7. In an oversize component only decisions join.
8. Guests, removed and merged-away records, and edits are passengers (``passengers``): they join nobody.
"""

from collections.abc import Collection, Iterable

from worker.domain import identifiers
from worker.domain.grouping import Grouping, Limits, Resolution
from worker.domain.passengers import place
from worker.domain.record import Record
from worker.domain.terms import CLAIM, EVIDENCE, Decision, Ident


def resolve(
    records: Collection[Record],
    decisions: Iterable[Decision],
    limits: Limits,
    crowded: Collection[Ident] = (),
    given_by_many: Collection[Ident] = (),
) -> Resolution:
    """Group records into people.

    ``records`` must be whole components: everything that may be placed beside a record. ``crowded`` are identifiers
    that are known to identify nobody, and ``given_by_many`` those that too many guests gave for one of them to have it;
    others are found among the records.
    """
    decisions = list(decisions)
    alone, together = _split_off_alone(records, decisions, limits, crowded)
    result = Resolution()
    if together:
        grouping = Grouping(together, decisions, limits, crowded)
        place(grouping, given_by_many)
        result = grouping.result
    for record in alone:
        result.groups.append((record.ref,))
        for ident, tie in record.ties().items():
            is_own = tie.role == CLAIM or (tie.role == EVIDENCE and ident not in given_by_many)
            if is_own and not identifiers.identifies_nobody(*ident):
                result.owners[ident] = record.ref
    result.groups.sort()
    return result


def _split_off_alone(
    records: Collection[Record], decisions: Iterable[Decision], limits: Limits, crowded: Collection[Ident]
) -> tuple[list[Record], list[Record]]:
    """Part the records that nothing connects to another from the rest. Nearly all are alone, and need no work."""
    decided = {ref for decision in decisions for ref in (decision.a, decision.b)}
    decided.update(ref for record in records if record.kind == "edit" for ref in record.about())
    seen: set[Ident] = set()
    shared: set[Ident] = set()
    for record in records:
        for ident in record.ties():
            (shared if ident in seen else seen).add(ident)
    shared.update(crowded)
    alone: list[Record] = []
    together: list[Record] = []
    for record in records:
        is_alone = (
            record.is_live
            and record.kind != "edit"
            and record.ref not in decided
            and (not shared or shared.isdisjoint(record.ties()))
        )
        (alone if is_alone and min(limits) > 0 else together).append(record)
    return alone, together
