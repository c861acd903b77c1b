"""Meetings: which envelopes of a batch are about people whom an earlier envelope of it is about, too.

Envelopes about different people come to the same in any order, and each comes to the same as alone. So requests may be
applied together, and judged and answered one by one, if none of them meets another.
"""

from collections.abc import Hashable, Iterator, Sequence
from uuid import UUID

from worker.domain.identifiers import of_address
from worker.domain.snapshot import Snapshot
from worker.domain.statements import EnvelopeStatements
from worker.domain.union_find import UnionFind


def meetings(snapshot: Snapshot) -> set[UUID]:
    """Return the envelopes that meet an earlier one, in the order in which they are stated.

    They do if a record, an identifier, a decision or a contact connects what they are about, directly or through
    others, before the batch or after it.
    """
    people: UnionFind[Hashable] = UnionFind()
    ties_before = snapshot.folded.ties_before
    for ref, row in snapshot.record_rows().items():
        tied: list[Hashable] = [*row.record.ties(), *ties_before.get(ref, ())]
        if row.contact_id is not None:
            tied.append(row.contact_id)
        if row.record.kind == "edit":
            tied += row.record.about()
        for other in tied:
            people.union(ref, other)
    for decision in snapshot.decisions:
        people.union(decision.a, decision.b)
    return _late(people, snapshot.stated)


def _late(people: UnionFind[Hashable], stated: Sequence[EnvelopeStatements]) -> set[UUID]:
    about = {one.envelope_id: named for one in stated if (named := list(_subjects(one)))}
    for named in about.values():
        for other in named[1:]:
            people.union(named[0], other)
    seen: set[Hashable] = set()
    late: set[UUID] = set()
    for envelope_id, named in about.items():
        person = people.find(named[0])
        if person in seen:
            late.add(envelope_id)
        seen.add(person)
    return late


def _subjects(stated: EnvelopeStatements) -> Iterator[Hashable]:
    """Yield the records and identifiers that an envelope is about."""
    yield from stated.records
    yield from stated.idents
    for decision in stated.decisions:
        yield decision.a
        yield decision.b
    for consent in stated.consents:
        if consent.address is not None:
            yield of_address(consent.channel, consent.address)
    for suppression in stated.suppressions:
        yield of_address(suppression.channel, suppression.address)
