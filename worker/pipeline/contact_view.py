"""Contact view: everything that is known about contacts, for those who show it.

A page of contacts takes five SQL statements, however many contacts it has.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from worker.domain import identifiers, permission, registers
from worker.domain.concerned import shown_identifiers
from worker.domain.consent import ConsentEntry, Suppression, SuppressionEntry
from worker.domain.golden import Origin, foreign_to, golden
from worker.domain.permission import Holder, Permissions
from worker.domain.record import idle_records
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import CLAIM, EVIDENCE, Claim, Ident, Ref
from worker.domain.times import moment
from worker.store import claims, connections, consents, records, suppressions
from worker.store.claims import HeldRow
from worker.store.db import Tx

EXTERNAL_ID = "external_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """An identifier that a contact's records claim."""

    type: str
    source: str  #: empty but for ``external_id``
    key: str  #: what it is compared by
    value: str
    claimant: Ref  #: the record that claims it
    owner: Ref | None  #: the record with the strongest claim; None: the value identifies nobody
    is_verified: bool
    is_contested: bool  #: records of two contacts claim it
    is_primary: bool  #: the contact shows it, and no other of its type
    #: times of the oldest and the newest statement that counts, by the sources' clocks
    first_seen_at: datetime | None
    last_seen_at: datetime | None
    created_at: datetime  #: when we first heard about the record that claims it


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag, and who said it."""

    key: str
    name: str
    origin: Origin | None


@dataclass(frozen=True, slots=True)
class CountingConsent:
    """The statement that counts for a (channel, purpose), and when we first heard about this pair."""

    statement: ConsentEntry
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactView:
    """A contact with everything that is known about it. Lists are sorted by their content, never by arrival."""

    contact: ContactRow
    records: list[RecordRow]
    origins: Mapping[str, Origin]  #: by ``name``, ``email``, ``phone_number``, custom field, ``tag:vip``
    tags: list[Tag]
    identities: list[Identity]  #: those the contact owns
    unowned: list[Identity]  #: those that its records claim, and that belong to another contact or to nobody
    holder: Holder
    stated: Sequence[ConsentEntry]  #: all statements about its addresses and by its records
    suppressed: Sequence[SuppressionEntry]  #: all statements about its addresses

    def permissions(self, now: datetime | None = None) -> Permissions:
        """Return what counts at a moment; without one, as if nothing had expired yet."""
        return permission.permissions(self.holder, self.stated, self.suppressed, now)

    def consents(self, now: datetime | None = None) -> list[CountingConsent]:
        """Return the statement that decides for each channel and purpose, as ``permissions``."""
        found = self.permissions(now)
        shown = {key: found.shown(key, now).statement for key in sorted(found.rulings)}
        return [self.since(statement) for statement in shown.values() if statement is not None]

    def consent(self, key: permission.Key, now: datetime) -> CountingConsent:
        """Return what was said on a (channel, purpose); at the address that a message would go to, if anything was."""
        found = self.permissions(now)
        statement = found.shown(key, now).statement or next(r.statement for r in found.rulings[key] if r.statement)
        return self.since(statement)

    def since(self, counting: ConsentEntry) -> CountingConsent:
        """Return a statement that decides, and when we first heard anything about its channel and purpose."""
        key = (counting.channel, counting.purpose)
        since = min(entry.created_at for entry in self.stated if (entry.channel, entry.purpose) == key)
        return CountingConsent(permission.first_statement(counting, self.stated), since)

    def verdict(self, key: permission.Key, now: datetime) -> permission.Verdict:
        """Decide whether a message may be sent on a (channel, purpose)."""
        return permission.verdict(self.holder, self.permissions(now), key, now)

    @property
    def suppressions(self) -> list[Suppression]:
        """The suppressions of the contact's addresses."""
        return self.permissions().suppressions


def load(tx: Tx, contacts: Sequence[ContactRow]) -> list[ContactView]:
    """Load all that is known about these contacts, in their order.

    ``tx`` should see one snapshot (``db.snapshot``). Otherwise a contact may change between two SQL statements.
    """
    records_of: dict[UUID, list[RecordRow]] = defaultdict(list)
    for row in records.by_contacts(tx, [contact.id for contact in contacts]):
        if row.contact_id is not None:
            records_of[row.contact_id].append(row)
    held_by: dict[UUID, list[HeldRow]] = defaultdict(list)
    for held in claims.by_records(tx, [row.id for rows in records_of.values() for row in rows]):
        if held.claim.role in (CLAIM, EVIDENCE):
            held_by[held.claim.record_id].append(held)
    addresses = {held.claim.key for rows in held_by.values() for held in rows}
    refs = {row.ref for rows in records_of.values() for row in rows}
    ledger = _Ledger(consents.by_addresses(tx, addresses, refs), suppressions.by_addresses(tx, addresses))
    priorities = connections.priorities(tx)
    return [
        _view(contact, sorted(records_of[contact.id], key=_ref), held_by, ledger, priorities) for contact in contacts
    ]


class _Ledger:
    """Statements of both ledgers, by what they are about.

    They are sorted by their content, so that the order of rows never decides between statements of equal strength.
    """

    def __init__(self, stated: Iterable[ConsentEntry], suppressed: Iterable[SuppressionEntry]) -> None:
        self._about: dict[str, list[ConsentEntry]] = defaultdict(list)
        self._by: dict[Ref, list[ConsentEntry]] = defaultdict(list)
        self._suppressions: dict[str, list[SuppressionEntry]] = defaultdict(list)
        for statement in sorted(stated, key=_newest_first):
            self._by[statement.ref].append(statement)
            if statement.address is not None:
                self._about[statement.address].append(statement)
        for suppression in sorted(suppressed, key=_oldest_first):
            self._suppressions[suppression.address].append(suppression)

    def consents(self, held: Collection[Ident], refs: Collection[Ref]) -> list[ConsentEntry]:
        """Return the statements about these identifiers, and those by these records."""
        about = [s for key in _keys(held) for s in self._about.get(key, ()) if _is_held(s.channel, key, held)]
        known = {entry.id for entry in about}
        return about + [s for ref in refs for s in self._by.get(ref, ()) if s.id not in known]

    def suppressions(self, held: Collection[Ident]) -> list[SuppressionEntry]:
        """Return the statements that these identifiers must not be used, or may be used again."""
        return [s for key in _keys(held) for s in self._suppressions.get(key, ()) if _is_held(s.channel, key, held)]


def _view(
    contact: ContactRow,
    rows: list[RecordRow],
    held_by: Mapping[UUID, Sequence[HeldRow]],
    ledger: _Ledger,
    priorities: Mapping[str, int],
) -> ContactView:
    lost = {row.ref: row.merged for row in rows if row.merged is not None}
    idle = idle_records((row.record for row in rows), lost)
    held = [one for row in rows if row.ref not in idle for one in held_by.get(row.id, ())]
    own = {row.ref for row in rows}
    owners = {one.claim.ident: one.owner for one in held}
    stands = any(row.record.is_live and row.record.kind != "edit" and row.ref not in lost for row in rows)
    recorded = [row.record for row in rows]

    def is_owner(ident: Ident, ref: Ref) -> bool:
        return owners.get(ident) == ref

    origins = golden(recorded, lost, priorities, foreign_to(recorded, is_owner)).origins if stands else {}
    holder = permission.holder_of(
        recorded,
        lost,
        is_owner,
        lambda ident: owners.get(ident) in own,
        _primaries(contact),
    )
    identities = _identities(contact, rows, held, lost)
    return ContactView(
        contact=contact,
        records=rows,
        origins=origins,
        tags=[Tag(name.casefold(), name, origins.get(f"tag:{name.casefold()}")) for name in contact.tags],
        identities=[one for one in identities if one.owner == one.claimant],
        unowned=[one for one in identities if one.owner not in own],
        holder=holder,
        stated=permission.standing(holder, ledger.consents(holder.held, own)),
        suppressed=ledger.suppressions(holder.held),
    )


def _identities(
    contact: ContactRow, rows: Sequence[RecordRow], held: Sequence[HeldRow], lost: Collection[Ref]
) -> list[Identity]:
    """Return every claim of the records, and their customer numbers; the primary of each type comes first."""
    by_id = {row.id: row for row in rows}
    seen = _seen(rows)
    primaries = _primaries(contact)
    found = []
    for claim, owner in held:
        row = by_id[claim.record_id]
        first, last = seen.get(claim.ident, (0, 0))
        found.append(
            Identity(
                type=claim.type,
                source="",
                key=claim.key,
                value=claim.value,
                claimant=row.ref,
                owner=owner,
                is_verified=claim.is_verified,
                is_contested=claim.is_contested,
                is_primary=claim.ident in primaries,
                first_seen_at=moment(first),
                last_seen_at=moment(last),
                created_at=born(row.id),
            )
        )
    found += [
        _customer(contact, row)
        for row in rows
        if row.record.kind == "customer" and (row.record.is_live or row.ref in lost)
    ]
    return sorted(found, key=lambda one: (not one.is_primary, one.type, one.source, one.key, one.claimant))


def _customer(contact: ContactRow, row: RecordRow) -> Identity:
    stamps = [stamp.occurred for stamp, _ in row.record.effective().values() if stamp.occurred]
    return Identity(
        type=EXTERNAL_ID,
        source=row.record.source,
        key=row.record.external_id,
        value=row.record.external_id,
        claimant=row.ref,
        owner=row.ref,
        is_verified=True,
        is_contested=False,
        is_primary=row.ref == (contact.external_source, contact.external_id),
        first_seen_at=moment(min(stamps, default=0)),
        last_seen_at=moment(max(stamps, default=0)),
        created_at=born(row.id),
    )


def _primaries(contact: ContactRow) -> set[Ident]:
    return shown_identifiers(contact.email, contact.phone_number)


def _seen(rows: Iterable[RecordRow]) -> dict[Ident, tuple[int, int]]:
    """Return the oldest and the newest time of the statements of each identifier that has one."""
    times: dict[Ident, list[int]] = defaultdict(list)
    for row in rows:
        for name, (stamp, value) in row.record.effective().items():
            if registers.is_identifier(name) and value is not None and stamp.occurred:
                claim = Claim(*value)
                times[claim.type, claim.key].append(stamp.occurred)
    return {ident: (min(found), max(found)) for ident, found in times.items()}


def _is_held(channel: str, address: str, held: Collection[Ident]) -> bool:
    """Whether a row of a ledger is about one of these identifiers, and not about the same text of another type."""
    return identifiers.of_address(channel, address) in held or (channel, address) in held


def _keys(held: Iterable[Ident]) -> list[str]:
    return sorted({key for _, key in held})


def born(id_: UUID) -> datetime:
    """Return when an id was minted. A UUIDv7 has the milliseconds in its first 48 bits."""
    at = moment((id_.int >> 80) * 1000)
    assert at is not None  # noqa: S101 - no id of ours was minted in 1970
    return at


def _ref(row: RecordRow) -> Ref:
    return row.ref


def _newest_first(s: ConsentEntry) -> tuple[object, ...]:
    """Sort the newest first. No two statements say the same, so the order is complete."""
    rest = (s.origin or "", s.legal_basis or "", str(s.expires_at))
    return (-s.occurred, s.channel, s.purpose, s.ref, s.status, s.method or "", sorted(s.evidence.items()), rest)


def _oldest_first(s: SuppressionEntry) -> tuple[object, ...]:
    """Sort the oldest first. Of two with the same time the longer one counts, so it comes last."""
    lasts = (s.expires_at is None, s.expires_at.isoformat() if s.expires_at else "")
    return (s.occurred, s.ref, s.channel, s.scope, s.reason, s.is_lift, lasts, s.origin or "", s.note or "")
