"""The client for asyncio; :mod:`connectors.wazapin.client` has the same methods with the same docstrings."""

from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import Literal, Self, TypeVar, Unpack

import httpx

from connectors.contract import Channel, ConsentStatus, SuppressionReason
from connectors.wazapin import calls, retries, wire
from connectors.wazapin.batches import Outcome
from connectors.wazapin.calls import ConsentDetails, ContactChanges, ContactFields, Filters, Purpose, SuppressionDetails
from connectors.wazapin.errors import ApiError, TryLaterError
from connectors.wazapin.identifiers import Identifier
from connectors.wazapin.models import (
    Change,
    Consent,
    Contact,
    Identity,
    Note,
    Page,
    ProfileLookup,
    Sendability,
    Suppression,
    Tag,
)
from connectors.wazapin.wire import Call

T = TypeVar("T")


class AsyncContacts:
    """The Contacts API of Wazapin or of contactsync, which differ in ``base_url`` only.

    Every method raises ApiError (see :mod:`connectors.wazapin.errors`). After 429, 5xx or a failed connection it first
    tries up to ``attempts`` times in all, with the same ``Idempotency-Key``. Tasks may share a client. httpx logs
    URLs at INFO, with the numbers and addresses in them: keep its logger at WARNING.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout: float = 10.0,  # seconds, for each step of each attempt
        attempts: int = 4,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._attempts = attempts
        self._http = httpx.AsyncClient(**wire.client_settings(base_url, api_key, timeout), transport=transport)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._http.base_url)!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client cannot be used afterwards."""
        await self._http.aclose()

    async def upsert(self, *, idempotency_key: str | None = None, **fields: Unpack[ContactFields]) -> Contact:
        """Create a contact, or update the contact that the external pair, number or address belongs to.

        An omitted field stays as it is, None clears it. Raises ConflictError if they belong to different contacts.
        """
        return await self._send(calls.upsert(fields, idempotency_key))

    async def upsert_many(
        self, contacts: Sequence[ContactFields], *, idempotency_key: str | None = None
    ) -> tuple[Outcome, ...]:
        """Create or update up to 1,000 contacts; return an outcome for each, in their order.

        A contact that is refused has an error as its outcome, and the others take effect.
        """
        return await self._send(calls.upsert_many(contacts, idempotency_key))

    async def list(self, *, cursor: str | None = None, **filters: Unpack[Filters]) -> Page[Contact]:
        """Read one page of contacts; ``cursor`` is the ``next_cursor`` of the page before."""
        return await self._send(calls.contacts(filters, cursor))

    def all(self, **filters: Unpack[Filters]) -> AsyncIterator[Contact]:
        """Yield the contacts of all pages, asking for each page as it is reached."""
        return self._items(calls.contacts(filters))

    async def get(self, contact_id: str) -> Contact:
        """Read a contact; the id of a merged contact leads to the contact that it became."""
        return await self._send(calls.get(contact_id))

    async def patch(
        self, contact_id: str, *, if_match: str | None = None, **changes: Unpack[ContactChanges]
    ) -> Contact:
        """Change a contact. An omitted field stays as it is; None clears it, or shows the sources' value again.

        ``if_match`` is the contact's ``etag``; with it, raises OutdatedError if the contact has changed since.
        """
        return await self._send(calls.patch(contact_id, changes, if_match))

    async def delete(self, contact_id: str, *, erase: bool = False) -> None:
        """Remove a contact. A source that shows it again brings it back, unless ``erase`` forgets the person."""
        await self._send(calls.delete(contact_id, erase=erase))

    async def by_phone(self, phone: str) -> Contact:
        """Read the contact of a number, which is in international form, with or without plus."""
        return await self._send(calls.by_phone(phone))

    async def resolve(self, *identifiers: Identifier) -> Contact:
        """Find the contact that 1 to 20 identifiers belong to; an identifier that no contact has is ignored.

        Raises NotFoundError if no contact has any of them, ConflictError if they belong to different contacts.
        """
        return await self._send(calls.resolve(identifiers))

    async def resolve_many(self, contacts: Sequence[Sequence[Identifier]]) -> tuple[Outcome, ...]:
        """Find up to 1,000 contacts by 1 to 20 identifiers each; return an outcome for each, in their order."""
        return await self._send(calls.resolve_many(contacts))

    async def identities(self, contact_id: str) -> tuple[Identity, ...]:
        """Read all identifiers that lead to a contact."""
        return tuple([item async for item in self._items(calls.identities(contact_id))])

    async def notes(self, contact_id: str) -> tuple[Note, ...]:
        """Read all notes about a contact, newest first."""
        return tuple([item async for item in self._items(calls.notes(contact_id))])

    async def add_note(
        self, contact_id: str, text: str, *, author_name: str | None = None, idempotency_key: str | None = None
    ) -> Note:
        """Write a note; a server without ``Idempotency-Key`` may store it twice if an answer was lost."""
        return await self._send(calls.add_note(contact_id, text, author_name, idempotency_key))

    async def tags(self, contact_id: str) -> tuple[Tag, ...]:
        """Read all tags of a contact."""
        return tuple([item async for item in self._items(calls.tags(contact_id))])

    async def add_tags(self, contact_id: str, *names: str, idempotency_key: str | None = None) -> tuple[Tag, ...]:
        """Put tags on a contact, and return them as the server shows them; its other tags stay."""
        return (await self._send(calls.add_tags(contact_id, names, idempotency_key))).items

    async def remove_tag(self, contact_id: str, tag: str) -> None:
        """Take a tag off a contact, by its name or id."""
        await self._send(calls.remove_tag(contact_id, tag))

    async def put_consent(
        self, contact_id: str, channel: Channel, status: ConsentStatus, **details: Unpack[ConsentDetails]
    ) -> Consent:
        """State a consent for a channel and purpose; return the consent that counts now, perhaps a newer one."""
        return await self._send(calls.put_consent(contact_id, channel, status, details))

    async def consents(self, contact_id: str) -> tuple[Consent, ...]:
        """Read the consents that count for a contact, one for each channel and purpose."""
        return tuple([item async for item in self._items(calls.consents(contact_id))])

    async def suppressions(self, contact_id: str, *, include_lifted: bool = False) -> tuple[Suppression, ...]:
        """Read all suppressions of a contact's addresses; ``include_lifted`` adds those that ended."""
        return tuple(
            [item async for item in self._items(calls.suppressions(contact_id, include_lifted=include_lifted))]
        )

    async def suppress(
        self,
        contact_id: str,
        channel: Channel | Literal["all"],
        reason: SuppressionReason,
        *,
        idempotency_key: str | None = None,
        **details: Unpack[SuppressionDetails],
    ) -> Suppression:
        """Forbid the use of an address, or allow it again with ``active=False``; this outlives the contact."""
        return await self._send(calls.suppress(contact_id, channel, reason, details, idempotency_key))

    def timeline(self, contact_id: str, *, limit: int | None = None) -> AsyncIterator[Change]:
        """Yield what happened to a contact, ``limit`` entries a page, asking for each page as it is reached."""
        return self._items(calls.timeline(contact_id, limit))

    async def sendability(self, contact_id: str, channel: Channel, purpose: Purpose = "marketing") -> Sendability:
        """Ask whether the contact's consents and suppressions allow a message."""
        return await self._send(calls.sendability(contact_id, channel, purpose))

    async def lookup_profile(self, channel_id: str, person: Identifier, *, refresh: bool = False) -> ProfileLookup:
        """Ask a channel's provider for a person's profile; no contact changes. ``refresh`` skips the cache.

        ``Identifier.contact(…)`` looks up the contact's identity on this channel. Raises DeniedError with the code
        ``consent_required`` if the person has not allowed it, InvalidError with the code ``lookup_not_supported`` if
        the provider has no look-up.
        """
        return await self._send(calls.lookup_profile(channel_id, person, refresh=refresh))

    async def _items(self, call: Call[Page[T]] | None) -> AsyncIterator[T]:
        while call is not None:
            page = await self._send(call)
            for item in page.items:
                yield item
            call = wire.following(call, page)

    async def _send(self, call: Call[T]) -> T:
        async for attempt in retries.tries(self._attempts):
            with attempt:
                return wire.answer(call, await self._exchange(call), attempt.num)
        raise AssertionError("the last attempt returns or raises")

    async def _exchange(self, call: Call[T]) -> httpx.Response:
        try:
            return await self._http.send(wire.request(self._http, call))
        except httpx.RequestError as error:
            failure: ApiError = TryLaterError.no_answer(error)
        # Raised outside of the except, or httpx's error, which holds the request, would be its context.
        raise failure
