"""Deletions: who stays removed because somebody with one of their addresses was deleted through the API. Pure.

A deletion keeps only keyed hashes of the addresses; who loads it finds out which identifiers they are.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from worker.domain.api_writes import is_of_request
from worker.domain.folded import Folded
from worker.domain.record import Record
from worker.domain.rows import RecordRow
from worker.domain.terms import Ident, Ref


class Deletion(NamedTuple):
    """A deletion through the API, as far as it is about one address."""

    envelope_id: UUID
    deleted: int  #: microseconds
    spared: frozenset[Ref]  #: records that were known to be other people's


Deletions = Mapping[Ident, Sequence[Deletion]]


def hide(folded: Folded, rows: Iterable[RecordRow], deletions: Deletions) -> dict[Ref, UUID]:
    """Let records stay removed until they state something newer than a deletion of one of their addresses.

    Active records are judged anew. Of others only some of the deletions are known, and a newer one that was known
    before stands; returns those of them that a deletion has removed just now, each with the envelope of the deletion.
    """
    hidden: dict[Ref, UUID] = {}
    for row in rows:
        record, ref = row.record, row.ref
        last = _last(record, deletions)
        deleted = None if last is None else last.deleted
        if ref not in folded.ties_before:
            known = record.deleted
            if last is None or (known is not None and known >= last.deleted):
                continue
            folded.rows[ref] = row
            folded.ties_before[ref] = record.ties()
            hidden[ref] = last.envelope_id
        if record.deleted != deleted:
            record.hide(deleted)
            folded.changed.add(ref)
    return hidden


def _last(record: Record, deletions: Deletions) -> Deletion | None:
    """Return the newest deletion that hides a record; None if none does. It hides who has said nothing since.

    Requests come one after the other, and each names the records that it is about. So what a request stated is never
    hidden by an address.
    """
    seen = record.seen
    if not deletions or seen is None or record.kind == "edit" or is_of_request(seen):
        return None
    found = [
        one
        for ident in record.held()
        for one in deletions.get(ident, ())
        if seen.occurred <= one.deleted and record.ref not in one.spared
    ]
    return max(found, key=lambda one: one.deleted, default=None)
