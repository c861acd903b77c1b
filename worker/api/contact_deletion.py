"""The operation that deletes a contact, and may ask for the person to be forgotten."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, cast

from connectors.contract import Channel, ErasureRequested, Event, Identifier, ProfileRemoved, SuppressionStated
from worker.api import needs
from worker.api.loaded_contact import LoadedContact, deleted_addresses, owned_addresses, with_records
from worker.api.needs import Steps
from worker.api.operation import Answer, Done, Outcome
from worker.domain import erasures
from worker.domain.api_writes import ApiWrite
from worker.domain.terms import API_SOURCE, Ident
from worker.store.api_keys import Key


@dataclass(slots=True)
class DeleteContact:
    """Delete a contact: its records as of now, and other records of its addresses that say nothing newer."""

    #: A deletion is rare, and what it concerns is seen only when all of it is loaded.
    is_alone: ClassVar[bool] = True
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    erase: bool = field(kw_only=True)

    @property
    def about(self) -> tuple[Hashable, ...]:
        """The contact that it names."""
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        """Return the removal of every live record, frozen with the addresses that they hold now."""
        loaded = yield from with_records(self.contact_id)
        events: list[tuple[str, Event]] = [
            (source, ProfileRemoved(external_id=external_id, occurred_at=None))
            for source, external_id in sorted(row.ref for row in loaded.records if row.record.is_live)
        ]
        if self.erase:
            events.append((API_SOURCE, _erasure_request(loaded)))
            events += [(API_SOURCE, _suppressed(ident)) for ident in sorted((yield from _owned(loaded)))]
        deletion = yield from needs.alone(partial(deleted_addresses, loaded=loaded))
        return ApiWrite(events=tuple(events), deletion=deletion), loaded.time_after(now)

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: a record that has joined the contact meanwhile was not deleted, and stays."""

    def answer(self, _: Done) -> Steps[Answer]:
        """Return no content."""
        return Answer(204)
        yield  # a generator like the others


def _owned(loaded: LoadedContact) -> Steps[set[Ident]]:
    return (yield from needs.alone(partial(owned_addresses, loaded=loaded)))


def _erasure_request(loaded: LoadedContact) -> ErasureRequested:
    """Request the erasure of the contact's identifiers and customers as of now; later ones are not included."""
    claimed = {claim for row in loaded.records for claim in row.record.claims().values()}
    return ErasureRequested(
        subject="contact",
        external_id=None,
        identifiers=tuple(
            Identifier(type=claim.type, value=claim.key)  # type: ignore[arg-type]
            for claim in sorted(claimed)
        ),
        occurred_at=None,
        customers=tuple(sorted(row.ref for row in loaded.records)),
    )


def _suppressed(ident: Ident) -> SuppressionStated:
    channel = cast("Channel", erasures.channel_of(ident))
    return SuppressionStated(
        external_id=None, channel=channel, address=ident[1], reason=erasures.REASON, occurred_at=None
    )
