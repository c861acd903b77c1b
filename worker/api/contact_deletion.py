"""The operation that deletes a contact, and may ask for the person to be forgotten."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from connectors.contract import Channel, ErasureRequested, Event, Identifier, ProfileRemoved, SuppressionStated
from worker.api.loaded_contact import LoadedContact, deleted_addresses, load_with_records, owned_addresses
from worker.api.operation import Answer
from worker.domain import erasures
from worker.domain.api_writes import ApiWrite
from worker.domain.changeset import Changeset
from worker.domain.terms import API_SOURCE, Ident
from worker.pipeline.apply import Applied
from worker.store.api_keys import Key
from worker.store.db import Tx


@dataclass(slots=True)
class DeleteContact:
    """Delete a contact: its records as of now, and other records of its addresses that say nothing newer."""

    key: Key
    contact_id: str
    erase: bool = field(kw_only=True)

    def compose(self, tx: Tx, now: datetime) -> tuple[ApiWrite, datetime]:
        """Return the removal of every live record, frozen with the addresses that they hold now."""
        loaded = load_with_records(tx, self.contact_id)
        events: list[tuple[str, Event]] = [
            (source, ProfileRemoved(external_id=external_id, occurred_at=None))
            for source, external_id in sorted(row.ref for row in loaded.records if row.record.is_live)
        ]
        if self.erase:
            events.append((API_SOURCE, _erasure_request(loaded)))
            events += [(API_SOURCE, _suppressed(ident)) for ident in sorted(owned_addresses(tx, loaded))]
        return ApiWrite(events=tuple(events), deletion=deleted_addresses(tx, loaded)), loaded.time_after(now)

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Refuse nothing: a record that has joined the contact meanwhile was not deleted, and stays."""

    def answer(self, _: Tx, __: Applied) -> Answer:
        """Return no content."""
        return Answer(204)


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
