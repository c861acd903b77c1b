"""Corrections: what a stored row has to say so that it says what today's rules would have stored. Pure.

- No time is later than the ceiling of its envelope (ADR 13); a "yes" whose time is too late is a baseline.
- Text that came through the API is NFC.
- An edit names the records that it is about. Before, a link tied it to one of them.
- A guest's consent is the guest's. Before, it was nobody's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from connectors.cleaning import is_normalisable, normalised
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.grouping import seniority
from worker.domain.keyed_consents import KeyedConsent, keyed
from worker.domain.record import Record
from worker.domain.registers import ABOUT, CREATED
from worker.domain.rows import RecordRow
from worker.domain.statements import ConsentStatement, SuppressionStatement
from worker.domain.terms import Ref, Stamp, envelope_of, kind_of

#: of what an upgrade states: older than every request, and of no envelope that a replay could take back
BASELINE = Stamp(0, 0, "", 0, UUID(int=0).hex)
#: How far clocks of our own may differ. A time that is not later than this after its envelope's id was minted needs no
#: look at when the envelope was received; nearly all times are such.
_OURS = 60_000_000
_API = "api:"


@dataclass(slots=True)
class Ceilings:
    """The latest time that each envelope can state, in microseconds."""

    unknown: int  #: of an envelope that is not kept any more
    known: dict[UUID, int] = field(default_factory=dict)

    def of(self, envelope_id: UUID | None) -> int:
        """Return an envelope's ceiling."""
        return self.unknown if envelope_id is None else self.known.get(envelope_id, self.unknown)


def may_be_late(time: int, envelope_id: UUID | None) -> bool:
    """Whether a time may be later than its envelope's ceiling. Ids are UUIDv7, and tell when they were minted."""
    if envelope_id is None or envelope_id.version != 7:
        return time > 0
    return time > (envelope_id.int >> 80) * 1000 + _OURS


def late_envelopes(record: Record) -> set[UUID]:
    """Return the envelopes of a record whose ceilings its times may exceed."""
    late = set()
    for stamp in set(_stamps(record)):
        if stamp.occurred or stamp.sent:
            envelope_id = envelope_of(stamp)
            if may_be_late(max(stamp.occurred, stamp.sent), envelope_id):
                late.add(envelope_id)
    created = record.registers.get(CREATED)
    if created is not None and created[1] and may_be_late(created[1], envelope_of(created[0])):
        late.add(envelope_of(created[0]))
    return late


def _stamps(record: Record) -> Iterable[Stamp]:
    yield from (stamp for stamp, _ in record.registers.values())
    yield from (stamp for stamp, _, _ in record.tags.values())
    if record.snapshot is not None:
        yield record.snapshot[0]
    yield from (stamp for stamp in (record.seen, record.removed) if stamp is not None)
    yield from record.past_names.values()
    yield from (stamp for times in record.claimed.values() for stamp in times)


def clamp(record: Record, late: Iterable[UUID], ceilings: Ceilings) -> bool:
    """Bring the times of some envelopes below their ceilings, in place; return whether anything changed."""
    latest = {envelope_id.hex: ceilings.of(envelope_id) for envelope_id in late}
    before = set(_stamps(record))
    moved = {stamp: _clamped(stamp, latest) for stamp in before}
    created = record.registers.get(CREATED)
    is_created_late = created is not None and created[1] > latest.get(created[0].envelope_id, created[1])
    if not is_created_late and all(old == new for old, new in moved.items()):
        return False
    record.registers = {name: (moved[stamp], value) for name, (stamp, value) in record.registers.items()}
    record.tags = {key: (moved[stamp], there, name) for key, (stamp, there, name) in record.tags.items()}
    if record.snapshot is not None:
        record.snapshot = (moved[record.snapshot[0]], record.snapshot[1])
    record.seen = None if record.seen is None else moved[record.seen]
    record.removed = None if record.removed is None else moved[record.removed]
    record.past_names = {name: moved[stamp] for name, stamp in record.past_names.items()}
    record.claimed = {ident: (moved[first], moved[last]) for ident, (first, last) in record.claimed.items()}
    if created is not None and is_created_late:
        record.registers[CREATED] = (moved[created[0]], latest[created[0].envelope_id])
    return True


def _clamped(stamp: Stamp, latest: Mapping[str, int]) -> Stamp:
    ceiling = latest.get(stamp.envelope_id)
    if ceiling is None or max(stamp.occurred, stamp.sent) <= ceiling:
        return stamp
    return stamp._replace(occurred=min(stamp.occurred, ceiling), sent=min(stamp.sent, ceiling))


def compose(record: Record) -> bool:
    """Bring the text of a record that the API wrote to NFC, in place; return whether anything changed.

    Of two spellings of one name the newer one's value stays.
    """
    if not any(stamp.delivery_id.startswith(_API) for stamp in _stamps(record)):
        return False
    registers: dict[str, tuple[Stamp, Any]] = {}
    for name, (stamp, value) in record.registers.items():
        composed = nfc(name)
        if composed not in registers or stamp > registers[composed][0]:
            registers[composed] = (stamp, nfc(value))
    tags: dict[str, tuple[Stamp, bool, str]] = {}
    for key, (stamp, there, name) in record.tags.items():
        composed = nfc(key)
        if composed not in tags or stamp > tags[composed][0]:
            tags[composed] = (stamp, there, nfc(name))
    if registers == record.registers and tags == record.tags:
        return False
    record.registers, record.tags = registers, tags
    return True


def nfc(value: Any) -> Any:
    """Return a JSON value with all its text in NFC."""
    if isinstance(value, str):
        return normalised("NFC", value) if is_normalisable(value) else value
    if isinstance(value, dict):
        return {nfc(name): nfc(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [nfc(one) for one in value]
    return value


def tell_about(edit: Record, mates: Sequence[RecordRow], linked: Iterable[Ref], *, has_opened: bool) -> list[Ref]:
    """Let an edit name the records that it is about; return them, or none if it names some already.

    The record that its first request was aimed at, which a link kept, comes first. The other records of the contact
    that the edit is in follow, those that are live first, as a request would freeze them today. But if the edit
    ``has_opened`` addresses, by a "yes" that named none, the others do not follow: nobody knows who of them was there
    then, and the "yes" must not open their addresses.
    """
    if ABOUT in edit.registers:
        return []

    def order(row: RecordRow) -> tuple[object, ...]:
        is_gone = not row.record.is_live or row.merged is not None
        return (is_gone, row.record.kind == "guest", seniority(row.record))

    first = sorted(linked)
    refs = first if has_opened and first else [*first, *(row.ref for row in sorted(mates, key=order))]
    about = [ref for ref in dict.fromkeys(refs) if kind_of(ref) != "edit"]
    if about:
        edit.registers[ABOUT] = (BASELINE, [list(ref) for ref in about])
    return about


def consent(
    entry: ConsentEntry, ceilings: Ceilings, guest_of: Callable[[UUID | None, Ref], Ref]
) -> KeyedConsent | None:
    """Return what a row of the ledger has to say; None if it says that already."""
    occurred = _occurred(entry.occurred, entry.envelope_id, ceilings, opens=entry.status == "opted_in")
    ref = guest_of(entry.envelope_id, entry.ref)
    text = (entry.method, dict(entry.evidence), entry.origin, entry.legal_basis)
    composed = tuple(nfc(value) for value in text)
    if (occurred, ref, composed) == (entry.occurred, entry.ref, text) or entry.envelope_id is None:
        return None
    method, evidence, origin, legal_basis = composed
    statement = ConsentStatement(
        channel=entry.channel,
        purpose=entry.purpose,
        address=entry.address,
        status=entry.status,
        occurred=occurred,
        ref=ref,
        method=method,
        evidence=evidence,
        origin=origin,
        legal_basis=legal_basis,
        expires_at=entry.expires_at,
        is_repeat=entry.is_repeat,
        is_undated=entry.is_undated,
    )
    return keyed(statement, entry.envelope_id)


def suppression(
    entry: SuppressionEntry, ceilings: Ceilings, guest_of: Callable[[UUID | None, Ref], Ref]
) -> SuppressionStatement | None:
    """Return what a row of the ledger has to say; None if it says that already."""
    occurred = _occurred(entry.occurred, entry.envelope_id, ceilings, opens=entry.is_lift)
    ref = guest_of(entry.envelope_id, entry.ref)
    origin, note = nfc(entry.origin), nfc(entry.note)
    if (occurred, ref, origin, note) == (entry.occurred, entry.ref, entry.origin, entry.note):
        return None
    return SuppressionStatement(
        channel=entry.channel,
        address=entry.address,
        scope=entry.scope,
        reason=entry.reason,
        is_lift=entry.is_lift,
        occurred=occurred,
        expires_at=entry.expires_at,
        ref=ref,
        origin=origin,
        note=note,
    )


def _occurred(occurred: int, envelope_id: UUID | None, ceilings: Ceilings, *, opens: bool) -> int:
    ceiling = ceilings.of(envelope_id)
    if not may_be_late(occurred, envelope_id) or occurred <= ceiling:
        return occurred
    return 0 if opens else ceiling


def merge_tie(tie: str, ceiling: int) -> str:
    """Return the tie of a merge, which leads with its sending time, no later than the ceiling."""
    sent, colon, rest = tie.partition(":")
    return f"{ceiling}{colon}{rest}" if sent.isdigit() and int(sent) > ceiling else tie
