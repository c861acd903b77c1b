"""Correct: what is stored about some records is brought to what today's rules would have stored (``corrections``)."""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from uuid import UUID

from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.normalise import ceiling_of
from worker.domain.snapshot import NewDecision
from worker.domain.terms import Decision, Ref, kind_of
from worker.domain.times import microseconds
from worker.store import consents, decisions, suppressions, upgrades
from worker.store.db import Tx
from worker.upgrade import corrections
from worker.upgrade.corrections import Ceilings, may_be_late
from worker.upgrade.kinship import Kin

#: who is named in the log of decisions
_ACTOR = "upgrade"


def correct(tx: Tx, found: Kin, unknown: int) -> set[Ref]:
    """Correct records in place, and decisions and ledgers in the store; return the records that have to be written.

    ``unknown`` is the ceiling of envelopes that are not kept any more, in microseconds.
    """
    late = {ref: corrections.late_envelopes(row.record) for ref, row in found.rows.items()}
    merges = [one for one in found.decisions.values() if one.decision.kind == "source_merge" and one.envelope_id]
    asked = {id_ for ids in late.values() for id_ in ids}
    asked.update(one.envelope_id for one in merges if one.envelope_id and _is_late(one.decision, one.envelope_id))
    ceilings = _ceilings(tx, asked, unknown)
    shapes = upgrades.shapes(tx, [row.id for row in found.rows.values()])
    changed = set()
    for ref, row in found.rows.items():
        record = row.record
        is_changed = bool(late[ref]) and corrections.clamp(record, late[ref], ceilings)
        is_changed |= corrections.compose(record)
        if is_changed or shapes[row.id] != (record.kind, record.is_live):
            changed.add(ref)
    changed |= _tie_edits(tx, found)
    upgrades.date_decisions(
        tx,
        [
            (one.id, min(one.decision.occurred, ceiling), corrections.merge_tie(one.decision.tie, ceiling))
            for one in merges
            if one.envelope_id in asked and one.decision.occurred > (ceiling := ceilings.of(one.envelope_id))
        ],
    )
    correct_ledgers(tx, found.consents, found.suppressions, unknown)
    return changed


def correct_ledgers(
    tx: Tx, stated: Sequence[ConsentEntry], suppressed: Sequence[SuppressionEntry], unknown: int
) -> None:
    """Correct rows of both ledgers."""
    entries: list[ConsentEntry | SuppressionEntry] = [*stated, *suppressed]
    late = {e.envelope_id for e in entries if e.envelope_id is not None and may_be_late(e.occurred, e.envelope_id)}
    ceilings = _ceilings(tx, late, unknown)
    guest_of = _guests(tx, entries)
    said = {entry.key: corrections.consent(entry, ceilings, guest_of) for entry in stated}
    consents.correct(tx, {key: one for key, one in said.items() if one is not None})
    corrected = [(entry, corrections.suppression(entry, ceilings, guest_of)) for entry in suppressed]
    suppressions.correct(tx, [(entry, one) for entry, one in corrected if one is not None])


def _is_late(decision: Decision, envelope_id: UUID) -> bool:
    return may_be_late(decision.occurred, envelope_id)


def _ceilings(tx: Tx, envelope_ids: Collection[UUID], unknown: int) -> Ceilings:
    """Return the ceilings of envelopes; a request of the API may be dated up to the time that it was sent with."""
    found = upgrades.received(tx, envelope_ids)
    return Ceilings(
        unknown,
        {
            id_: max(microseconds(ceiling_of(received_at)), microseconds(sent_at))
            for id_, (received_at, sent_at) in found.items()
        },
    )


def _guests(tx: Tx, entries: Iterable[ConsentEntry | SuppressionEntry]) -> Callable[[UUID | None, Ref], Ref]:
    """Return who a statement by nobody is by: the one guest whom its envelope is about, if there is one."""
    asked = {e.envelope_id for e in entries if e.envelope_id is not None and not e.ref[1]}
    guests = upgrades.guests(tx, asked)

    def guest_of(envelope_id: UUID | None, ref: Ref) -> Ref:
        if ref[1] or envelope_id is None:
            return ref
        found = guests.get((envelope_id, ref[0]), [])
        return found[0] if len(found) == 1 else ref

    return guest_of


def _tie_edits(tx: Tx, found: Kin) -> set[Ref]:
    """Let edits name the records that they are about, in place of the links that tied them; return these edits."""
    links = [
        one
        for one in found.decisions.values()
        if one.decision.kind == "link" and "edit" in (kind_of(one.decision.a), kind_of(one.decision.b))
    ]
    mates: dict[UUID, list[Ref]] = defaultdict(list)
    for ref, row in found.rows.items():
        if row.contact_id is not None:
            mates[row.contact_id].append(ref)
    opening = {entry.ref for entry in found.consents if entry.address is None and entry.status == "opted_in"}
    linked: dict[Ref, list[Ref]] = defaultdict(list)
    for one in links:
        linked[one.decision.a].append(one.decision.b)
        linked[one.decision.b].append(one.decision.a)
    changed, about = set(), []
    for ref, row in found.rows.items():
        if row.record.kind == "edit":
            together = [] if row.contact_id is None else [found.rows[mate] for mate in mates[row.contact_id]]
            if named := corrections.tell_about(row.record, together, linked[ref], has_opened=ref in opening):
                changed.add(ref)
                about += [NewDecision(Decision("about", other, ref, 0, ""), _ACTOR, None) for other in named]
    upgrades.delete_decisions(tx, [one.id for one in links])
    decisions.ensure(tx, about)
    return changed
