"""The contact that a request names, as loaded from the store: its row, all that is shown of it, or its records."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b

import structlog

from worker import ids, vault
from worker.api import needs
from worker.api.errors import contact_not_found
from worker.api.needs import Steps
from worker.domain.api_writes import DeletedAddresses
from worker.domain.grouping import seniority
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.terms import API_SOURCE, CLAIM, EDIT, Ident, Ref
from worker.domain.times import microseconds, moment
from worker.errors import ConfigError
from worker.pipeline import contact_view
from worker.pipeline.apply import OutdatedError
from worker.pipeline.contact_view import ContactView
from worker.settings import settings
from worker.store import claims, contacts, records
from worker.store.db import Tx

log = structlog.get_logger()
_MICROSECOND = timedelta(microseconds=1)
#: characters of the external id of a record
_MAX_ID = 512

#: edits by external id, with the records that they are about; as in ``ApiWrite``
About = tuple[tuple[str, tuple[Ref, ...]], ...]


@dataclass(slots=True)
class LoadedContact:
    """A contact and its records, before the write that a request asks for."""

    contact: ContactRow
    records: list[RecordRow]
    others: list[RecordRow] = field(default_factory=list)  #: not the contact's yet, but about to be written

    @classmethod
    def of(cls, contact: ContactRow, rows: list[RecordRow]) -> "LoadedContact":
        """Join a contact and its records.

        Raises OutdatedError if it has none: another transaction merged the contact after its row was loaded.
        """
        if not rows:
            raise OutdatedError
        return cls(contact, rows)

    @property
    def anchor(self) -> Ref:
        """The record that leads the contact: the oldest customer that is live."""
        return self._in_order()[0]

    def edit(self) -> Steps[tuple[Ref, About]]:
        """Return the record that holds the edits of this contact, and what has to be frozen with the request.

        An edit stays with the person through the records that the contact has now, whatever becomes of each of them.
        """
        existing = sorted(row.ref for row in self.records if row.record.kind == "edit")
        ref = existing[0] if existing else (yield from self._free_edit())
        about = self._in_order()
        known = next((row.record.about() for row in (*self.records, *self.others) if row.ref == ref), ())
        return ref, () if known == about else ((ref[1], about),)

    def _free_edit(self) -> Steps[Ref]:
        """Return a record that no other contact has its edits in.

        It may exist, removed: it was deleted with a contact that has come back since. The edits of a record that was
        with another contact once may have stayed there, and what is said there is not said of this contact.
        """
        refs = [(API_SOURCE, _name_of_edit(ref)) for ref in self._in_order()]
        stored = {row.ref: row for row in (yield from needs.records_of(refs))}
        here = (None, self.contact.id)
        elsewhere = {ref for ref, row in stored.items() if row.record.is_live and row.contact_id not in here}
        own = (API_SOURCE, f"{EDIT}{ids.show(ids.CONTACT, self.contact.id)}")
        ref = next((ref for ref in refs if ref not in elsewhere), own)
        self.others = [stored[ref]] if ref in stored else []
        return ref

    def _in_order(self) -> tuple[Ref, ...]:
        """Return the records that are no edits: customers, persons and guests, those that are live first."""

        def order(row: RecordRow) -> tuple[object, ...]:
            record = row.record
            return (not record.is_live or row.merged is not None, record.kind == "guest", seniority(record))

        return tuple(row.ref for row in sorted(self.records, key=order) if row.record.kind != "edit")

    def time_after(self, now: datetime) -> datetime:
        """Return a time for the write; see the function ``time_after``."""
        return time_after(now, self.records + self.others)


def _name_of_edit(first: Ref) -> str:
    name = f"{EDIT}{first[0]}:{first[1]}"
    return name if len(name) <= _MAX_ID else EDIT + blake2b(name.encode(), digest_size=16).hexdigest()


def load_contact(tx: Tx, contact_id: str) -> ContactRow:
    """Load a contact by its id, or by the id of a contact that was merged into it.

    Raises ApiError (404) if the organization has no such contact; a malformed id is no id of a contact.
    """
    id_ = ids.parse(ids.CONTACT, contact_id)
    row = None if id_ is None else contacts.by_any_id(tx, id_)
    if row is None:
        raise contact_not_found()
    return row


def load_view(tx: Tx, contact_id: str) -> ContactView:
    """Load all that is shown of a contact; raises ApiError like ``load_contact``."""
    (view,) = contact_view.load(tx, [load_contact(tx, contact_id)])
    return view


def contact_of(contact_id: str) -> Steps[ContactRow]:
    """Load a contact for an operation; raises ApiError like ``load_contact``."""
    id_ = ids.parse(ids.CONTACT, contact_id)
    row = None if id_ is None else (yield from needs.contact(id_))
    if row is None:
        raise contact_not_found()
    return row


def view_of(contact_id: str) -> Steps[ContactView]:
    """Load all that is shown of a contact, for an operation; raises ApiError like ``load_contact``."""
    return (yield from needs.view((yield from contact_of(contact_id))))


def with_records(contact_id: str) -> Steps[LoadedContact]:
    """Load a contact with its records, for an operation.

    Raises ApiError like ``load_contact``, and OutdatedError like ``LoadedContact.of``.
    """
    id_ = ids.parse(ids.CONTACT, contact_id)
    row, rows = (None, []) if id_ is None else (yield from needs.contact_with_records(id_))
    if row is None:
        raise contact_not_found()
    return LoadedContact.of(row, rows)


def time_after(now: datetime, rows: Iterable[RecordRow], *stated: int) -> datetime:
    """Return ``now``, or a later time if statements are dated later: one microsecond after the newest.

    The newest is sought in the records and in ``stated`` (microseconds since 1970). A source's clock may be ahead of
    ours, and the request is newer than whatever the source has sent. No stored time is far ahead, because every
    envelope has a ceiling (ADR 13).
    """
    newest = max([*stated, *(time for row in rows for time in _times(row))], default=0)
    ahead = moment(newest)
    if ahead is None or microseconds(now) > newest:
        return now
    return ahead + _MICROSECOND


def _times(row: RecordRow) -> list[int]:
    """When the statements that a record is folded from occurred, in microseconds since 1970."""
    record = row.record
    stamps = [stamp for stamp, _ in record.registers.values()]
    stamps += [stamp for stamp, _, _ in record.tags.values()]
    stamps += [stamp for stamp in (record.seen, record.removed) if stamp is not None]
    if record.snapshot is not None:
        stamps.append(record.snapshot[0])
    return [stamp.occurred for stamp in stamps]


def survivor_of(pair: Ref) -> Steps[tuple[Ref, list[RecordRow]]]:
    """Return the customer that a pair speaks for, and its row if it has one: of a merged-away one its survivor."""
    ref, seen = pair, {pair}
    while True:
        rows = yield from needs.records_of([ref])
        if not rows or rows[0].merged is None:
            return ref, rows
        known = yield from needs.decisions_about([ref])
        merges = [decision for decision in known if decision.kind == "source_merge" and decision.b == ref]
        ref = max(merges, key=lambda decision: decision.strength).a
        if ref in seen:
            return pair, (yield from needs.records_of([pair]))
        seen.add(ref)


def owned_addresses(tx: Tx, loaded: LoadedContact) -> set[Ident]:
    """Return the addresses that lead to a contact."""
    own = {row.ref for row in loaded.records}
    held = claims.by_records(tx, [row.id for row in loaded.records])
    return {one.claim.ident for one in held if one.claim.role == CLAIM and one.owner in own}


def deleted_addresses(tx: Tx, loaded: LoadedContact) -> DeletedAddresses | None:
    """Return the addresses that a contact holds, hashed, and the records of others that claim one of them too.

    A shared address is the contact's only if the contact owns it, and what many claim is nobody's.
    """
    owned = owned_addresses(tx, loaded)
    most = settings().component_limit
    found = claims.claimants(tx, owned, most + 1)
    owned = {ident for ident in owned if len(found[ident]) <= most}
    others = {row.record_id for ident in owned for row in found[ident]} - {row.id for row in loaded.records}
    try:
        digests_of = vault.digests(tx.organization_id)
    except ConfigError:  # a deletion is never refused
        log.warning("deleted_without_addresses", contact_id=ids.show(ids.CONTACT, loaded.contact.id))
        return None
    spared = tuple(sorted(row.ref for row in records.by_ids(tx, others)))
    return DeletedAddresses(tuple(sorted(digests_of(ident)[0].hex() for ident in owned)), spared) if owned else None
