"""Needs: what operations load. All operations of a group say what they need, and one SQL statement loads it for all.

A method of an operation that loads something is a generator (``Steps``). It yields what it needs, and goes on with what
was found. ``together`` runs those of a whole group side by side.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from worker.api.errors import ApiError
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.rows import ContactRow, RecordRow
from worker.domain.snapshot import Snapshot
from worker.domain.terms import EVIDENCE, Decision, Ref
from worker.pipeline import contact_view
from worker.pipeline.contact_view import ContactView
from worker.store import consents, contact_terms, contacts, decisions, notes, records, suppressions
from worker.store.contacts import Key
from worker.store.db import Tx
from worker.store.notes import NoteRow

T = TypeVar("T")


class Need(NamedTuple):
    """Something to be loaded: what is asked, and the function that loads the same for several operations at once."""

    load: Callable[[Tx, list[Any]], Sequence[Any]]  #: returns what it found in the order in which it was asked
    asked: Any


#: A method of an operation that loads something and returns a ``T``.
Steps = Generator[Need, Any, T]


@dataclass(slots=True)
class Seen:
    """What an operation was given."""

    touched: set[Hashable] = field(default_factory=set)  #: contacts and records, and identifiers that it asked for
    found: list[tuple[Need, Any]] = field(default_factory=list)

    def note(self, need: Need, result: object) -> None:
        """Note what was found."""
        if isinstance(need.asked, Collection):
            self.touched.update(need.asked)
        self.touched.update(_people_in(result))
        self.found.append((need, result))

    def holds_in(self, snapshot: Snapshot) -> bool:
        """Return whether a snapshot shows that all is still as it was found. False if it does not tell."""
        return all(_HOLDS[need.load](snapshot, need.asked, result) for need, result in self.found)


def together(tx: Tx, running: Sequence[Steps[T]], seen: Sequence[Seen] | None = None) -> list[T | ApiError]:
    """Run methods of several operations side by side; return what each returns, or the ApiError that it raises.

    Other errors pass, because they end the transaction. ``seen`` notes of each operation what it was given.
    """
    ended: list[T | ApiError | None] = [None] * len(running)
    found: dict[int, Any] = dict.fromkeys(range(len(running)))
    while found:
        asked: dict[Callable[[Tx, list[Any]], Sequence[Any]], list[tuple[int, Need]]] = defaultdict(list)
        for number, result in found.items():
            try:
                need = running[number].send(result)
                asked[need.load].append((number, need))
            except StopIteration as end:
                ended[number] = end.value
            except ApiError as refusal:
                ended[number] = refusal
        found = {}
        for load, those in asked.items():
            results = load(tx, [need.asked for _, need in those])
            for (number, need), result in zip(those, results, strict=True):
                found[number] = result
                if seen is not None:
                    seen[number].note(need, result)
    return ended  # type: ignore[return-value] # all of them have ended


def _people_in(found: object) -> Iterator[Hashable]:
    """Yield the contacts and records in what was found."""
    if isinstance(found, ContactRow):
        yield found.id
    elif isinstance(found, RecordRow):
        yield found.ref
    elif isinstance(found, ContactView):
        yield found.contact.id
        yield from (row.ref for row in found.records)
    elif isinstance(found, list | tuple):
        for one in found:
            yield from _people_in(one)
    elif isinstance(found, dict):  # the owners of identifiers
        yield from found.values()


def owners(keys: Collection[Key]) -> Steps[dict[Key, UUID]]:
    """Load the id of the contact that owns each of these keys; see ``contacts.ids_by_keys``."""
    return (yield Need(_owners, keys))  # type: ignore[no-any-return]


def contact_with_records(id_: UUID) -> Steps[tuple[ContactRow | None, list[RecordRow]]]:
    """Load a contact by its id, or by the id of a contact that was merged into it, and its records."""
    return (yield Need(_contacts_with_records, id_))  # type: ignore[no-any-return]


def contact(id_: UUID) -> Steps[ContactRow | None]:
    """Load a contact by its id, or by the id of a contact that was merged into it."""
    return (yield Need(_contacts, id_))  # type: ignore[no-any-return]


def present_contact(id_: UUID) -> Steps[ContactRow | None]:
    """Load a contact by its present id."""
    return (yield Need(_present_contacts, id_))  # type: ignore[no-any-return]


def records_of(refs: Collection[Ref]) -> Steps[list[RecordRow]]:
    """Load the records of these customers; unknown customers are left out."""
    return (yield Need(_records, refs))  # type: ignore[no-any-return]


def decisions_about(refs: Collection[Ref]) -> Steps[list[Decision]]:
    """Load the decisions about these records."""
    return (yield Need(_decisions, refs))  # type: ignore[no-any-return]


def view(row: ContactRow) -> Steps[ContactView]:
    """Load all that is shown of a contact."""
    return (yield Need(contact_view.load, row))  # type: ignore[no-any-return]


def consents_about(addresses: Collection[str]) -> Steps[list[ConsentEntry]]:
    """Load all statements of consent about these addresses."""
    return (yield Need(_consents, addresses))  # type: ignore[no-any-return]


def suppressions_about(addresses: Collection[str]) -> Steps[list[SuppressionEntry]]:
    """Load all statements of suppression about these addresses."""
    return (yield Need(_suppressions, addresses))  # type: ignore[no-any-return]


def notes_of(envelope_id: UUID) -> Steps[list[NoteRow]]:
    """Load the notes of an envelope."""
    return (yield Need(_notes, envelope_id))  # type: ignore[no-any-return]


def is_used(term: str) -> Steps[bool]:
    """Return whether any contact has a term."""
    return (yield Need(_are_used, term))  # type: ignore[no-any-return]


def alone(load: Callable[[Tx], T]) -> Steps[T]:
    """Load what is too rare to be loaded for several operations at once."""
    return (yield Need(_each, load))  # type: ignore[no-any-return]


def _owners(tx: Tx, asked: list[Collection[Key]]) -> list[dict[Key, UUID]]:
    found = contacts.ids_by_keys(tx, {key for keys in asked for key in keys})
    return [{key: found[key] for key in keys if key in found} for keys in asked]


def _contacts(tx: Tx, asked: list[UUID]) -> list[ContactRow | None]:
    found = contacts.by_any_ids(tx, set(asked))
    return [found.get(id_) for id_ in asked]


def _present_contacts(tx: Tx, asked: list[UUID]) -> list[ContactRow | None]:
    found = contacts.by_ids(tx, set(asked))
    return [found.get(id_) for id_ in asked]


def _contacts_with_records(tx: Tx, asked: list[UUID]) -> list[tuple[ContactRow | None, list[RecordRow]]]:
    found = _contacts(tx, asked)
    rows: dict[UUID | None, list[RecordRow]] = defaultdict(list)
    for row in records.by_contacts(tx, {one.id for one in found if one is not None}):
        rows[row.contact_id].append(row)
    return [(one, [] if one is None else rows[one.id]) for one in found]


def _records(tx: Tx, asked: list[Collection[Ref]]) -> list[list[RecordRow]]:
    found = {row.ref: row for row in records.by_refs(tx, {ref for refs in asked for ref in refs})}
    return [[found[ref] for ref in refs if ref in found] for refs in asked]


def _decisions(tx: Tx, asked: list[Collection[Ref]]) -> list[list[Decision]]:
    found = decisions.by_refs(tx, {ref for refs in asked for ref in refs})
    return [[one for one in found if {one.a, one.b} & set(refs)] for refs in asked]


def _consents(tx: Tx, asked: list[Collection[str]]) -> list[list[ConsentEntry]]:
    found = consents.by_addresses(tx, {address for addresses in asked for address in addresses})
    return [[one for one in found if one.address in addresses] for addresses in asked]


def _suppressions(tx: Tx, asked: list[Collection[str]]) -> list[list[SuppressionEntry]]:
    found = suppressions.by_addresses(tx, {address for addresses in asked for address in addresses})
    return [[one for one in found if one.address in addresses] for addresses in asked]


def _notes(tx: Tx, asked: list[UUID]) -> list[list[NoteRow]]:
    found = notes.by_envelopes(tx, asked)
    return [[note for note in found if note.envelope_id == envelope_id] for envelope_id in asked]


def _are_used(tx: Tx, asked: list[str]) -> list[bool]:
    used = {term: contact_terms.is_used(tx, term) for term in set(asked)}
    return [used[term] for term in asked]


def _each(tx: Tx, asked: list[Callable[[Tx], Any]]) -> list[Any]:
    return [load(tx) for load in asked]


def _same_owners(snapshot: Snapshot, keys: Collection[Key], found: Mapping[Key, UUID]) -> bool:
    refs = {row.id: row for row in snapshot.record_rows().values()}
    for kind, source, key in keys:
        if source or (kind, key) not in snapshot.claimed:
            return False
        owning = [one for one in snapshot.claimed[kind, key] if one.is_owner and one.role != EVIDENCE]
        owner = refs.get(owning[0].record_id) if owning else None
        if len(owning) > (owner is not None) or found.get((kind, source, key)) != (owner and owner.contact_id):
            return False
    return True


def _same_contact(snapshot: Snapshot, id_: UUID, found: tuple[ContactRow | None, list[RecordRow]]) -> bool:
    """Return whether a contact has the same records, which decide what it shows; an id of old is not looked into."""
    contact_, rows = found
    if contact_ is None or contact_.id != id_:
        return False
    present = {row.id: row.version for row in snapshot.record_rows().values() if row.contact_id == id_}
    return present == {row.id: row.version for row in rows}


def _same_records(snapshot: Snapshot, refs: Collection[Ref], found: Sequence[RecordRow]) -> bool:
    known, rows = snapshot.record_rows(), {row.ref: row for row in found}
    return all(ref in known and known[ref].version == (rows[ref].version if ref in rows else 0) for ref in refs)


def _unknown(_: Snapshot, __: Any, ___: Any) -> bool:
    return False


_HOLDS: Mapping[Callable[..., Any], Callable[[Snapshot, Any, Any], bool]] = defaultdict(
    lambda: _unknown,
    {_owners: _same_owners, _contacts_with_records: _same_contact, _records: _same_records},
)
