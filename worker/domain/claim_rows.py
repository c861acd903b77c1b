"""Claim rows: which claims a batch writes, and which of them a contact shows in another way than before. Pure.

A record keeps its claims, but who owns an identifier depends on the others who claim it. So a batch also writes claims
of records that it says nothing about.
"""

from dataclasses import dataclass, field

from worker.domain.grouping import Resolution
from worker.domain.rows import ClaimRow, RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.terms import CLAIM, EVIDENCE, Ident, Tie


@dataclass(slots=True)
class ClaimChanges:
    """What happens to the claims of records that are stored."""

    written: list[ClaimRow] = field(default_factory=list)  #: new and changed ones
    disowned: list[ClaimRow] = field(default_factory=list)  #: as stored; another claim is the strongest now
    deleted: list[ClaimRow] = field(default_factory=list)
    shown: list[ClaimRow] = field(default_factory=list)  #: those of ``written`` and ``deleted`` that contacts show


def claim_changes(snapshot: Snapshot, resolution: Resolution) -> ClaimChanges:
    """Compare the claims of the snapshot's records with those that are stored. New records are left out."""
    rows, before = snapshot.rows, snapshot.folded.ties_before
    stored = {(ident, row.record_id.int): row for ident, found in snapshot.claimed.items() for row in found}
    stored |= {(row.ident, row.record_id.int): row for row in snapshot.proven}
    after: dict[tuple[Ident, int], ClaimRow] = {}
    for ref in before:
        row = rows[ref]
        if row.version > 0:
            for ident, tie in row.record.ties().items():
                after[ident, row.id.int] = claim_row(row, ident, tie, resolution)
    result = ClaimChanges([claim for key, claim in after.items() if stored.get(key) != claim])
    if stored:  # what neighbours claim stays, but may be another's now
        neighbours = {row.id.int: ref for ref, row in rows.items() if ref not in before}
        for key, known in stored.items():
            if (holder := neighbours.get(key[1])) is not None:
                owns = resolution.owners.get(key[0]) == holder
                is_contested = known.role == CLAIM and key[0] in resolution.contested
                if owns != known.is_owner or is_contested != known.is_contested:
                    after[key] = known._replace(is_owner=owns, is_contested=is_contested)
                    result.written.append(after[key])
    result.deleted = [
        claim_row(rows[ref], ident, tie, resolution)
        for ref, ties_before in before.items()
        for ident, tie in ties_before.items()
        if (ident, rows[ref].id.int) not in after
    ]
    result.disowned = [
        known for key, known in stored.items() if known.is_owner and key in after and not after[key].is_owner
    ]
    result.shown = [one for one in result.written if _shown(one) != _shown(stored.get((one.ident, one.record_id.int)))]
    result.shown += [one for one in result.deleted if _shown(stored.get((one.ident, one.record_id.int), one))]
    return result


def claim_row(row: RecordRow, ident: Ident, tie: Tie, resolution: Resolution) -> ClaimRow:
    """Return a claim of a record as it is stored."""
    record = row.record
    return ClaimRow(
        *ident,
        row.id,
        record.source,
        record.kind in ("customer", "person"),
        tie.value,
        tie.is_verified,
        is_owner=tie.role <= EVIDENCE and resolution.owners.get(ident) == record.ref,
        is_contested=tie.role == CLAIM and ident in resolution.contested,
        role=tie.role,
    )


def _shown(claim: ClaimRow | None) -> tuple[object, ...] | None:
    """Return what a contact shows of a claim; None of one that it does not show."""
    if claim is None or claim.role > EVIDENCE:
        return None
    return (claim.value, claim.is_verified, claim.is_owner, claim.is_contested)
