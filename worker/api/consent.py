"""Routes and operations of consent and suppressions, and the verdict on whether a message may be sent."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Response

from connectors.contract import Channel, ConsentStated, Event, Purpose, SuppressionStated
from worker import api_schemas, ids
from worker.api import operation
from worker.api.auth import ReadKey, WriteKey
from worker.api.errors import ApiError, not_valid
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import LoadedContact, load_contact, load_view, time_after
from worker.api.operation import Answer, IdempotentRequest, RepeatableRequest
from worker.api.request_bodies import ConsentIn, SuppressionIn
from worker.domain import consent as consent_rules
from worker.domain import identifiers
from worker.domain.api_writes import ApiWrite
from worker.domain.changeset import Changeset
from worker.domain.consent import ConsentEntry, Suppression, SuppressionEntry
from worker.domain.terms import API_SOURCE, Ref
from worker.pipeline.apply import Applied
from worker.pipeline.contact_view import EXTERNAL_ID, ContactView, Identity
from worker.store import consents, db, suppressions
from worker.store.api_keys import Key
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["permission"], route_class=JsonRoute)


@router.put("/consent/{channel}", response_model=api_schemas.ConsentAnswer, summary="State a consent")
async def put_consent(
    key: WriteKey, request: RepeatableRequest, contact_id: str, channel: Channel, consent: ConsentIn
) -> Response:
    """State what the contact wants on a channel, for all its addresses there.

    A statement older than the one that counts is kept, and changes nothing. Without ``occurred_at`` it counts from
    now, unless it repeats what is so.
    """
    return await operation.perform(key, request, _PutConsent(key, contact_id, channel, consent))


@router.get("/consents")
def list_consents(key: ReadKey, contact_id: str) -> api_schemas.ConsentList:
    """List what counts per channel and purpose."""
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    return api_schemas.ConsentList(data=[api_schemas.Consent.of(row, view.contact.id) for row in view.consents])


@router.get("/suppressions")
def list_suppressions(
    key: ReadKey, contact_id: str, include: Annotated[Literal["lifted"] | None, Query()] = None
) -> api_schemas.SuppressionList:
    """List the suppressions of a contact's addresses; those lifted or expired only if asked for."""
    now = datetime.now(UTC)
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    rows = [api_schemas.Suppression.of(row, view.contact.id, now) for row in view.suppressions]
    return api_schemas.SuppressionList(data=[row for row in rows if row.active or include == "lifted"])


@router.post(
    "/suppressions",
    response_model=api_schemas.SuppressionAnswer,
    status_code=201,
    responses={200: {"model": api_schemas.SuppressionAnswer, "description": "It was known already"}},
    summary="Suppress an address, or lift that",
)
async def upsert_suppression(
    key: WriteKey, request: IdempotentRequest, contact_id: str, suppression: SuppressionIn
) -> Response:
    """State that an address of the contact must not be used, or with ``active: false`` that it may be again."""
    return await operation.perform(key, request, _UpsertSuppression(key, contact_id, suppression))


@router.get("/sendability", summary="Ask whether a message may be sent")
def sendability(
    key: ReadKey, contact_id: str, channel: Channel, purpose: Purpose = "marketing"
) -> api_schemas.SendabilityAnswer:
    """Tell whether a message may be sent to the contact, and which consent or suppression decided.

    Marketing needs an opt-in; other purposes only that the person has not refused. A suppression beats both.
    """
    now = datetime.now(UTC)
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    address = next(iter(addresses(view, channel)), None)
    row = next((c for c in view.consents if (c.statement.channel, c.statement.purpose) == (channel, purpose)), None)
    verdict = consent_rules.verdict(
        channel, purpose, address, None if row is None else row.statement, view.suppressions, now
    )
    return api_schemas.SendabilityAnswer(
        data=api_schemas.Sendability(
            contact_id=ids.show(ids.CONTACT, view.contact.id),
            channel=channel,
            purpose=purpose,
            sendable=verdict.sendable,
            reason=verdict.reason,
            address=address,
            consent=None if row is None else api_schemas.Consent.of(row, view.contact.id),
            suppression=None
            if verdict.suppression is None
            else api_schemas.Suppression.of(verdict.suppression, view.contact.id, now),
        )
    )


def identities(view: ContactView, channel: str, *, owned: bool = False) -> list[Identity]:
    """Return the identities that reach a contact on a channel, each address once, the primary one first.

    With ``owned`` they leave out identities that belong to another contact, or to nobody.
    """
    kinds = ["phone", "whatsapp_bsuid"] if channel == "whatsapp" else [identifiers.type_of_address(channel, "")]
    candidates = view.identities + ([] if owned else view.unowned)

    def order(identity: Identity) -> tuple[int, bool, bool, str]:
        is_owned = identity.owner == identity.claimant
        return (kinds.index(identity.type), not identity.is_primary, not is_owned, identity.key)

    ordered = sorted((identity for identity in candidates if identity.type in kinds), key=order)
    return list({identity.key: identity for identity in reversed(ordered)}.values())[::-1]


def addresses(view: ContactView, channel: str, *, owned: bool = False) -> list[str]:
    """Return the addresses of ``identities``, in the same order."""
    return [identity.key for identity in identities(view, channel, owned=owned)]


@dataclass(slots=True)
class _PutConsent:
    key: Key
    contact_id: str
    channel: Channel
    consent: ConsentIn

    def compose(self, tx: Tx, now: datetime) -> tuple[ApiWrite, datetime]:
        """State the consent for every address on the channel, so that it replaces older statements about each.

        An opt-in is stated only for addresses that the contact owns, because it must not lift the opt-out of the
        person who owns the others. An opt-out is stated even if it repeats what counts, because an older opt-in may
        still be on its way.
        """
        consent = self.consent
        view = load_view(tx, self.contact_id)
        loaded = LoadedContact.of(view.contact, view.records)
        reached = addresses(view, self.channel, owned=consent.status != "opted_out")
        ledger = [
            entry
            for entry in consents.by_addresses(tx, reached, [row.ref for row in view.records])
            if (entry.channel, entry.purpose) == (self.channel, consent.purpose)
        ]
        subjects: list[tuple[Ref, str | None]] = [(loaded.anchor, address) for address in reached]
        subjects += [(ref, None) for ref in sorted({entry.ref for entry in ledger if entry.address is None})]
        links: tuple[tuple[Ref, Ref], ...] = ()
        events: list[tuple[str, Event]] = []
        if not subjects:  # Without an address, the statement is about the person: the record that holds our edits.
            ref, links = loaded.edits(tx)
            subjects, events = [(ref, None)], [operation.existence(ref)]
        is_repeat = consent.occurred_at is None and self._counts_already(subjects, ledger, now)
        if is_repeat and consent.status != "opted_out":
            return ApiWrite(), now
        stated_at = now
        if consent.occurred_at is None:
            stated_at = time_after(now, loaded.records + loaded.others, *(entry.occurred for entry in ledger))
        events += [(ref[0], self._event(ref[1], address, stated_at, is_repeat=is_repeat)) for ref, address in subjects]
        return ApiWrite(events=tuple(events), links=links), stated_at

    def _event(self, external_id: str, address: str | None, stated_at: datetime, *, is_repeat: bool) -> ConsentStated:
        consent = self.consent
        return ConsentStated(
            external_id=external_id,
            channel=self.channel,
            status=consent.status,
            address=address,
            # Without a time, the statement counts from the request. That holds for an opt-in too, which the person
            # has just given.
            occurred_at=consent.occurred_at or stated_at,
            purpose=consent.purpose,
            method=consent.method,
            evidence=consent.evidence or {},
            origin=consent.source or API_SOURCE,
            legal_basis=consent.legal_basis,
            expires_at=consent.expires_at,
            is_repeat=is_repeat,
        )

    def _counts_already(
        self, subjects: Sequence[tuple[Ref, str | None]], ledger: Sequence[ConsentEntry], now: datetime
    ) -> bool:
        """Whether a statement with the content of the request already counts for each subject."""
        counting = consent_rules.counting_by_address(ledger)
        entries = [counting.get((self.channel, self.consent.purpose, address or ref)) for ref, address in subjects]
        return all(
            entry is not None and self._agrees(consent_rules.first_statement(entry, ledger), now) for entry in entries
        )

    def _agrees(self, entry: ConsentEntry, now: datetime) -> bool:
        """Whether an entry has the content of the request; fields that the request leaves out are not compared."""
        consent = self.consent
        if entry.status != consent.status or (entry.expires_at is not None and entry.expires_at <= now):
            return False
        pairs = {
            "method": (consent.method, entry.method),
            "source": (consent.source, entry.origin),
            "evidence": (consent.evidence, dict(entry.evidence)),
            "legal_basis": (consent.legal_basis, entry.legal_basis),
            "expires_at": (consent.expires_at, entry.expires_at),
        }
        given = consent.model_fields_set
        return all(name not in given or requested == stored for name, (requested, stored) in pairs.items())

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Refuse nothing: consent belongs to its address, whichever contact has the address now."""

    def answer(self, tx: Tx, _: Applied) -> Answer:
        view = load_view(tx, self.contact_id)
        key = (self.channel, self.consent.purpose)
        row = next(c for c in view.consents if (c.statement.channel, c.statement.purpose) == key)
        return Answer(200, api_schemas.ConsentAnswer(data=api_schemas.Consent.of(row, view.contact.id)))


@dataclass(slots=True)
class _UpsertSuppression:
    key: Key
    contact_id: str
    suppression: SuppressionIn
    subjects: list[tuple[str, str]] = field(default_factory=list)  #: (channel, address)
    is_new: bool = False

    def compose(self, tx: Tx, now: datetime) -> tuple[ApiWrite, datetime]:
        """State the suppression for one address, or with channel ``all`` for every address of the contact.

        A suppression is stated even if it repeats another, because a statement that lifts the first may still be on
        its way.
        """
        suppression = self.suppression
        view = load_view(tx, self.contact_id)
        self.subjects = self._subjects(view)
        known = self._load_known(tx)
        self.is_new = not known
        if not suppression.active and not known:
            raise ApiError(404, "suppression not found")
        if not suppression.active and suppression.occurred_at is None and all(row.lifted is not None for row in known):
            return ApiWrite(), now
        stated_at = now
        if suppression.occurred_at is None:
            stated_at = time_after(now, [], *(entry.occurred for ledger in self._load_ledgers(tx) for entry in ledger))
        source, external_id = LoadedContact.of(view.contact, view.records).anchor
        events: list[tuple[str, Event]] = [
            (
                source,
                SuppressionStated(
                    external_id=external_id,
                    channel=cast("Channel", channel),
                    address=address,
                    reason=suppression.reason,
                    occurred_at=suppression.occurred_at,
                    scope=suppression.scope,
                    lifted=not suppression.active,
                    expires_at=suppression.expires_at,
                    origin=suppression.source or API_SOURCE,
                    note=suppression.note,
                ),
            )
            for channel, address in self.subjects
        ]
        return ApiWrite(events=tuple(events)), stated_at

    def _subjects(self, view: ContactView) -> list[tuple[str, str]]:
        """Return what to suppress as (channel, address); raises ApiError (422) if there is no address."""
        suppression = self.suppression
        if suppression.address is not None:
            return [(suppression.channel, self._normal_form(suppression.address))]
        # An address that another contact owns is suppressed with ours, but only its owner can lift that.
        owned = not suppression.active
        if suppression.channel == "all":
            reached = view.identities + ([] if owned else view.unowned)
            subjects = list(dict.fromkeys(_subject(identity) for identity in reached if identity.type != EXTERNAL_ID))
        else:
            first = addresses(view, suppression.channel, owned=owned)[:1]
            subjects = [(suppression.channel, address) for address in first]
        if not subjects:
            raise not_valid("address", f"required: the contact has none for {suppression.channel}")
        return subjects

    def _normal_form(self, address: str) -> str:
        kind = identifiers.type_of_address(self.suppression.channel, address)
        if kind == "phone":
            found = identifiers.given_phone(address, self.key.region)
        else:
            found = identifiers.normal_form(kind, address, None)
        if found is None:
            raise not_valid("address", f"not an address of the channel {self.suppression.channel}")
        return found.key

    def _load_ledgers(self, tx: Tx) -> tuple[list[SuppressionEntry], list[ConsentEntry]]:
        subjects = [address for _, address in self.subjects]
        return suppressions.by_addresses(tx, subjects), consents.by_addresses(tx, subjects)

    def _load_known(self, tx: Tx) -> list[Suppression]:
        """Load the suppressions of the subjects with this scope and reason, active or not."""
        kind = (self.suppression.scope, self.suppression.reason)
        return [
            row
            for row in consent_rules.suppressions(*self._load_ledgers(tx))
            if (row.channel, row.address) in self.subjects and (row.scope, row.reason) == kind
        ]

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Refuse nothing: a suppression belongs to its address, whichever contact has the address now."""

    def answer(self, tx: Tx, _: Applied) -> Answer:
        contact = load_contact(tx, self.contact_id)
        first = min(self._load_known(tx), key=lambda row: self.subjects.index((row.channel, row.address)))
        shown = api_schemas.Suppression.of(first, contact.id, datetime.now(UTC))
        return Answer(201 if self.is_new else 200, api_schemas.SuppressionAnswer(data=shown))


def _subject(identity: Identity) -> tuple[str, str]:
    """Return an identity's (channel, address) for "all channels".

    Phone numbers and e-mail addresses may serve several channels, so their channel is ``all``. Any other identity
    serves one.
    """
    if identity.type in ("phone", "email"):
        return ("all", identity.key)
    return ("whatsapp" if identity.type == "whatsapp_bsuid" else identity.type, identity.key)
