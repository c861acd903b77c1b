"""Routes and operations of consent and suppressions, and the verdict on whether a message may be sent."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, cast

from fastapi import APIRouter, Query, Response

from connectors.contract import Channel, ConsentStated, Event, Purpose, SuppressionStated
from worker import api_schemas, ids
from worker.api import lines, needs, operation
from worker.api.auth import ReadKey, WriteKey
from worker.api.errors import ApiError, not_valid
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import LoadedContact, load_view, time_after, view_of
from worker.api.needs import Steps
from worker.api.operation import Answer, Done, IdempotentRequest, Outcome, RepeatableRequest
from worker.api.request_bodies import ConsentIn, SuppressionIn
from worker.domain import consent as consent_rules
from worker.domain import identifiers, permission
from worker.domain.api_writes import ApiWrite
from worker.domain.consent import ConsentEntry, Suppression
from worker.domain.terms import API_SOURCE
from worker.pipeline.contact_view import EXTERNAL_ID, ContactView, Identity
from worker.store import db
from worker.store.api_keys import Key

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["permission"], route_class=JsonRoute)


@router.put("/consent/{channel}", response_model=api_schemas.ConsentAnswer, summary="State a consent")
async def put_consent(
    key: WriteKey, request: RepeatableRequest, contact_id: str, channel: Channel, consent: ConsentIn
) -> Response:
    """State what the contact wants on a channel, for all its addresses there.

    A statement older than the one that counts is kept, and changes nothing. Without ``occurred_at`` it counts from
    now, unless it repeats what is so.
    """
    return await lines.perform(key, request, _PutConsent(key, contact_id, channel, consent))


@router.get("/consents")
def list_consents(key: ReadKey, contact_id: str) -> api_schemas.ConsentList:
    """List what counts per channel and purpose."""
    now = datetime.now(UTC)
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    return api_schemas.ConsentList(data=[api_schemas.Consent.of(row, view.contact.id) for row in view.consents(now)])


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
    return await lines.perform(key, request, _UpsertSuppression(key, contact_id, suppression))


@router.get("/sendability", summary="Ask whether a message may be sent")
def sendability(
    key: ReadKey, contact_id: str, channel: Channel, purpose: Purpose = "marketing"
) -> api_schemas.SendabilityAnswer:
    """Tell whether a message may be sent to the contact, and which consent or suppression decided.

    Marketing needs an opt-in; other purposes only that the person has not refused. A suppression beats both.
    """
    with db.tenant_snapshot(key.organization_id) as tx:
        view = load_view(tx, contact_id)
    return sendability_of(view, channel, purpose, datetime.now(UTC))


def sendability_of(
    view: ContactView, channel: Channel, purpose: Purpose, now: datetime
) -> api_schemas.SendabilityAnswer:
    """Return the verdict about a contact, as it is answered."""
    verdict = view.verdict((channel, purpose), now)
    row = None if verdict.consent is None else view.since(verdict.consent)
    return api_schemas.SendabilityAnswer(
        data=api_schemas.Sendability(
            contact_id=ids.show(ids.CONTACT, view.contact.id),
            channel=channel,
            purpose=purpose,
            sendable=verdict.sendable,
            reason=verdict.reason,
            address=verdict.address,
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
    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    channel: Channel
    consent: ConsentIn

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        """State the consent as an edit of the person, so that it stays with whatever records the person has.

        An opt-out is stated for every address on the channel and for none: it closes the addresses for whoever holds
        them, and every address that the person will have. It is stated even if it repeats what counts, because an
        older opt-in may still be on its way. An opt-in is for the address that the contact shows.
        """
        consent = self.consent
        view = yield from view_of(self.contact_id)
        loaded = LoadedContact.of(view.contact, view.records)
        reached: list[str | None] = [*view.holder.addresses(self.channel)]
        subjects = [*reached, None] if consent.status == "opted_out" else reached[:1] or [None]
        is_repeat = consent.occurred_at is None and self._counts_already(view, subjects, now)
        if is_repeat and consent.status != "opted_out":
            return ApiWrite(), now
        ref, about = yield from loaded.edit()
        stated_at = now
        if consent.occurred_at is None or consent.occurred_at > now:
            times = [e.occurred for e in view.stated if (e.channel, e.purpose) == (self.channel, consent.purpose)]
            stated_at = time_after(now, loaded.records + loaded.others, *times)
        events = [(ref[0], self._event(ref[1], address, stated_at, is_repeat=is_repeat)) for address in subjects]
        return ApiWrite(events=(operation.existence(ref), *events), about=about), stated_at

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

    def _counts_already(self, view: ContactView, subjects: Sequence[str | None], now: datetime) -> bool:
        """Whether a statement with the content of the request already counts for each subject."""
        rulings = view.permissions(now).rulings.get((self.channel, self.consent.purpose), [])
        counting = {ruling.address: ruling.statement for ruling in rulings}
        entries = [counting.get(address) for address in subjects if address is not None or not view.holder.held]
        return bool(entries) and all(
            entry is not None and self._agrees(permission.first_statement(entry, view.stated), now) for entry in entries
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

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: consent belongs to its address, whichever contact has the address now."""

    def answer(self, _: Done) -> Steps[Answer]:
        view = yield from view_of(self.contact_id)
        row = view.consent((self.channel, self.consent.purpose), datetime.now(UTC))
        return Answer(200, api_schemas.ConsentAnswer(data=api_schemas.Consent.of(row, view.contact.id)))


@dataclass(slots=True)
class _UpsertSuppression:
    is_alone: ClassVar[bool] = False
    is_of_records: ClassVar[bool] = False
    key: Key
    contact_id: str
    suppression: SuppressionIn
    subjects: list[tuple[str, str]] = field(default_factory=list)  #: (channel, address)
    is_new: bool = False

    @property
    def about(self) -> tuple[Hashable, ...]:
        return (self.contact_id,)

    def compose(self, now: datetime) -> Steps[tuple[ApiWrite, datetime]]:
        """State the suppression for one address, or with channel ``all`` for every address of the contact.

        A suppression is stated even if it repeats another, because a statement that lifts the first may still be on
        its way.
        """
        suppression = self.suppression
        view = yield from view_of(self.contact_id)
        self.subjects = self._subjects(view)
        known = yield from self._load_known(view)
        self.is_new = not known
        if not suppression.active and not known:
            raise ApiError(404, "suppression not found")
        if not suppression.active and suppression.occurred_at is None and all(row.lifted is not None for row in known):
            return ApiWrite(), now
        stated_at = now
        if suppression.occurred_at is None or suppression.occurred_at > now:
            addresses_ = [address for _, address in self.subjects]
            suppressed = yield from needs.suppressions_about(addresses_)
            stated = yield from needs.consents_about(addresses_)
            stated_at = time_after(now, [], *(one.occurred for one in suppressed), *(one.occurred for one in stated))
        source, external_id = LoadedContact.of(view.contact, view.records).anchor
        events: list[tuple[str, Event]] = [
            (
                source,
                SuppressionStated(
                    external_id=external_id,
                    channel=cast("Channel", channel),
                    address=address,
                    reason=suppression.reason,
                    occurred_at=None if stated_at > now else suppression.occurred_at,
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
        elif kind == "email":
            found = identifiers.given_email(address)
        else:
            found = identifiers.normal_form(kind, address, None)
        if found is None:
            raise not_valid("address", f"not an address of the channel {self.suppression.channel}")
        return found.key

    def _load_known(self, view: ContactView) -> Steps[list[Suppression]]:
        """Load the suppressions of the subjects with this scope and reason, active or not."""
        kind = (self.suppression.scope, self.suppression.reason)
        entries = yield from needs.suppressions_about([address for _, address in self.subjects])
        return [
            row
            for row in consent_rules.suppressions(entries, view.permissions().opted_in)
            if (row.channel, row.address) in self.subjects and (row.scope, row.reason) == kind
        ]

    def judge(self, outcome: Outcome) -> None:
        """Refuse nothing: a suppression belongs to its address, whichever contact has the address now."""

    def answer(self, _: Done) -> Steps[Answer]:
        view = yield from view_of(self.contact_id)
        known = yield from self._load_known(view)
        first = min(known, key=lambda row: self.subjects.index((row.channel, row.address)))
        shown = api_schemas.Suppression.of(first, view.contact.id, datetime.now(UTC))
        body = api_schemas.SuppressionAnswer(data=shown)
        return Answer(201 if self.is_new else 200, body, contact_id=view.contact.id)


def _subject(identity: Identity) -> tuple[str, str]:
    """Return an identity's (channel, address) for "all channels".

    Phone numbers and e-mail addresses may serve several channels, so their channel is ``all``. Any other identity
    serves one.
    """
    if identity.type in ("phone", "email"):
        return ("all", identity.key)
    return ("whatsapp" if identity.type == "whatsapp_bsuid" else identity.type, identity.key)
