"""Whether and how a contact may be written to: consent, suppressions, and the verdict of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from fastapi import APIRouter, Query, Response

from connectors.contract import Channel, ConsentStated, Event, SuppressionStated
from worker.api import operation, schemas
from worker.api.auth import ReadKey, WriteKey
from worker.api.errors import ApiError, not_valid
from worker.api.json_route import JsonRoute
from worker.api.operation import Answer, IdempotentRequest, RepeatableRequest
from worker.api.request_bodies import ConsentIn, Purpose, SuppressionIn
from worker.api.subresources import find, look
from worker.domain import consent as consent_rules
from worker.domain import identifiers
from worker.domain.api_writes import Write
from worker.domain.changeset import Changeset
from worker.domain.consent import ConsentEntry, Suppression, SuppressionEntry
from worker.domain.terms import API_SOURCE, Ref
from worker.pipeline.apply import Applied
from worker.pipeline.contact_view import EXTERNAL_ID, ContactView, Identity
from worker.store import consents, db, suppressions
from worker.store.api_keys import Key
from worker.store.db import Tx

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["permission"], route_class=JsonRoute)


@router.put("/consent/{channel}", response_model=schemas.ConsentAnswer, summary="State a consent")
async def put_consent(
    key: WriteKey, asked: RepeatableRequest, contact_id: str, channel: Channel, consent: ConsentIn
) -> Response:
    """State what the contact wants on a channel, for all its addresses there.

    A statement older than the one that counts is kept, and changes nothing. Without ``occurred_at`` it counts from
    now, unless it repeats what is so.
    """
    return await operation.perform(key, asked, _Consent(key, contact_id, channel, consent))


@router.get("/consents")
def list_consents(key: ReadKey, contact_id: str) -> schemas.ConsentList:
    """List what counts per channel and purpose."""
    with db.tenant_snapshot(key.organization_id) as tx:
        one = look(tx, contact_id)
    return schemas.ConsentList(data=[schemas.Consent.of(row, one.contact.id) for row in one.consents])


@router.get("/suppressions")
def list_suppressions(
    key: ReadKey, contact_id: str, include: Annotated[Literal["lifted"] | None, Query()] = None
) -> schemas.SuppressionList:
    """List the suppressions of a contact's addresses; those lifted or expired only if asked for."""
    now = datetime.now(UTC)
    with db.tenant_snapshot(key.organization_id) as tx:
        one = look(tx, contact_id)
    rows = [schemas.Suppression.of(row, one.contact.id, now) for row in one.suppressions]
    return schemas.SuppressionList(data=[row for row in rows if row.active or include == "lifted"])


@router.post(
    "/suppressions",
    response_model=schemas.SuppressionAnswer,
    status_code=201,
    responses={200: {"model": schemas.SuppressionAnswer, "description": "It was known already"}},
    summary="Suppress an address, or lift that",
)
async def upsert_suppression(
    key: WriteKey, asked: IdempotentRequest, contact_id: str, suppression: SuppressionIn
) -> Response:
    """State that an address of the contact must not be used, or with ``active: false`` that it may be again."""
    return await operation.perform(key, asked, _Suppress(key, contact_id, suppression))


@router.get("/sendability", summary="Ask whether a message may be sent")
def sendability(
    key: ReadKey, contact_id: str, channel: Channel, purpose: Purpose = "marketing"
) -> schemas.SendabilityAnswer:
    """Tell whether a message may be sent to the contact, and which consent or suppression decided.

    Marketing needs an opt-in; other purposes only that the person has not refused. A suppression beats both.
    """
    now = datetime.now(UTC)
    with db.tenant_snapshot(key.organization_id) as tx:
        one = look(tx, contact_id)
    address = next(iter(addresses(one, channel)), None)
    row = next((c for c in one.consents if (c.statement.channel, c.statement.purpose) == (channel, purpose)), None)
    found = consent_rules.verdict(
        channel, purpose, address, None if row is None else row.statement, one.suppressions, now
    )
    shown = schemas.Contact.of(one.contact)
    return schemas.SendabilityAnswer(
        data=schemas.Sendability(
            contact_id=shown.id,
            channel=channel,
            purpose=purpose,
            sendable=found.sendable,
            reason=found.reason,
            address=address,
            consent=None if row is None else schemas.Consent.of(row, one.contact.id),
            suppression=None
            if found.suppression is None
            else schemas.Suppression.of(found.suppression, one.contact.id, now),
        )
    )


def identities(one: ContactView, channel: str, *, owned: bool = False) -> list[Identity]:
    """What a contact is reached by on a channel, the one it shows first; ``owned``: not what belongs to another."""
    kinds = ["phone", "whatsapp_bsuid"] if channel == "whatsapp" else [identifiers.type_of_address(channel, "")]
    held = one.identities + ([] if owned else one.unowned)

    def order(identity: Identity) -> tuple[int, bool, bool, str]:
        is_owned = identity.owner == identity.claimant
        return (kinds.index(identity.type), not identity.is_primary, not is_owned, identity.key)

    found = sorted((i for i in held if i.type in kinds), key=order)
    return list({identity.key: identity for identity in reversed(found)}.values())[::-1]


def addresses(one: ContactView, channel: str, *, owned: bool = False) -> list[str]:
    """The addresses that those identities are."""
    return [identity.key for identity in identities(one, channel, owned=owned)]


@dataclass(slots=True)
class _Consent:
    key: Key
    contact_id: str
    channel: Channel
    asked: ConsentIn

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        """State it for every address of the channel, so that no older word about one of them stands against it.

        A "yes" is stated only for addresses that are the contact's own: another person's "no" is not ours to lift.
        A "no" is kept even if it repeats what counts: an older "yes" may still be on its way.
        """
        asked = self.asked
        one = look(tx, self.contact_id)
        held = operation.held(one.contact, one.records)
        mine = addresses(one, self.channel, owned=asked.status != "opted_out")
        stated = [s for s in self._ledger(tx, one, mine) if (s.channel, s.purpose) == (self.channel, asked.purpose)]
        about: list[tuple[Ref, str | None]] = [(held.anchor, address) for address in mine]
        about += [(ref, None) for ref in sorted({s.ref for s in stated if s.address is None})]
        links: tuple[tuple[Ref, Ref], ...] = ()
        events: list[tuple[str, Event]] = []
        if not about:  # nothing but the person is known, who is the record of our edits
            ref, links = held.edits(tx)
            about, events = [(ref, None)], [operation.seen(ref)]
        is_repeat = asked.occurred_at is None and self._is_so(about, stated, now)
        if is_repeat and asked.status != "opted_out":
            return Write(), now
        said_at = now
        if asked.occurred_at is None:
            said_at = operation.after(now, held.records + held.others, *(s.occurred for s in stated))
        events += [(ref[0], self._stated(ref[1], address, said_at, is_repeat=is_repeat)) for ref, address in about]
        return Write(events=tuple(events), links=links), said_at

    def _ledger(self, tx: Tx, one: ContactView, mine: Sequence[str]) -> list[ConsentEntry]:
        return consents.of(tx, mine, [row.ref for row in one.records])

    def _stated(self, external_id: str, address: str | None, now: datetime, *, is_repeat: bool) -> ConsentStated:
        asked = self.asked
        return ConsentStated(
            external_id=external_id,
            channel=self.channel,
            status=asked.status,
            address=address,
            # Without a time of its own it counts from the request, a "yes" too: the person is asked now.
            occurred_at=asked.occurred_at or now,
            purpose=asked.purpose,
            method=asked.method,
            evidence=asked.evidence or {},
            origin=asked.source or API_SOURCE,
            legal_basis=asked.legal_basis,
            expires_at=asked.expires_at,
            is_repeat=is_repeat,
        )

    def _is_so(self, about: Sequence[tuple[Ref, str | None]], stated: Sequence[ConsentEntry], now: datetime) -> bool:
        """Whether that is what counts for each of them already."""
        counting = consent_rules.counting_by_address(stated)
        found = [counting.get((self.channel, self.asked.purpose, address or ref)) for ref, address in about]
        return all(said is not None and self._says(consent_rules.first_statement(said, stated), now) for said in found)

    def _says(self, said: ConsentEntry, now: datetime) -> bool:
        """Whether a statement says what is asked; details that the request leaves out are not compared."""
        asked = self.asked
        if said.status != asked.status or (said.expires_at is not None and said.expires_at <= now):
            return False
        given = {
            "method": (asked.method, said.method),
            "source": (asked.source, said.origin),
            "evidence": (asked.evidence, dict(said.evidence)),
            "legal_basis": (asked.legal_basis, said.legal_basis),
            "expires_at": (asked.expires_at, said.expires_at),
        }
        return all(name not in asked.model_fields_set or wanted == known for name, (wanted, known) in given.items())

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Consent belongs to addresses, whoever holds them now."""

    def answer(self, tx: Tx, _: Applied) -> Answer:
        one = look(tx, self.contact_id)
        key = (self.channel, self.asked.purpose)
        row = next(c for c in one.consents if (c.statement.channel, c.statement.purpose) == key)
        return Answer(200, schemas.ConsentAnswer(data=schemas.Consent.of(row, one.contact.id)))


@dataclass(slots=True)
class _Suppress:
    key: Key
    contact_id: str
    asked: SuppressionIn
    about: list[tuple[str, str]] = field(default_factory=list)  #: (channel, address)
    is_new: bool = False

    def plan(self, tx: Tx, now: datetime) -> tuple[Write, datetime]:
        """State it for one address, or with ``all`` for everything that the contact is reached by.

        A suppression that repeats another is kept: what would lift it may still be on its way.
        """
        asked = self.asked
        one = look(tx, self.contact_id)
        self.about = self._addresses(one)
        known = self._known(tx)
        self.is_new = not known
        if not asked.active and not known:
            raise ApiError(404, "suppression not found")
        if not asked.active and asked.occurred_at is None and all(row.lifted is not None for row in known):
            return Write(), now
        said_at = now
        if asked.occurred_at is None:
            said_at = operation.after(now, [], *(s.occurred for ledger in self._ledgers(tx) for s in ledger))
        source, external_id = operation.held(one.contact, one.records).anchor
        events: list[tuple[str, Event]] = [
            (
                source,
                SuppressionStated(
                    external_id=external_id,
                    channel=cast("Channel", channel),
                    address=address,
                    reason=asked.reason,
                    occurred_at=asked.occurred_at,
                    scope=asked.scope,
                    lifted=not asked.active,
                    expires_at=asked.expires_at,
                    origin=asked.source or API_SOURCE,
                    note=asked.note,
                ),
            )
            for channel, address in self.about
        ]
        return Write(events=tuple(events)), said_at

    def _addresses(self, one: ContactView) -> list[tuple[str, str]]:
        asked = self.asked
        if asked.address is not None:
            return [(asked.channel, self._address(asked.address))]
        # What is another's is suppressed with ours, but not given free with ours.
        owned = not asked.active
        if asked.channel == "all":
            held = one.identities + ([] if owned else one.unowned)
            mine = list(dict.fromkeys(_reach(identity) for identity in held if identity.type != EXTERNAL_ID))
        else:
            mine = [(asked.channel, address) for address in addresses(one, asked.channel, owned=owned)[:1]]
        if not mine:
            raise not_valid("address", f"required: the contact has none for {asked.channel}")
        return mine

    def _address(self, given: str) -> str:
        kind = identifiers.type_of_address(self.asked.channel, given)
        if kind == "phone":
            found = identifiers.given_phone(given, self.key.region)
        else:
            found = identifiers.normal_form(kind, given, None)
        if found is None:
            raise not_valid("address", f"not an address of the channel {self.asked.channel}")
        return found.key

    def _ledgers(self, tx: Tx) -> tuple[list[SuppressionEntry], list[ConsentEntry]]:
        about = [address for _, address in self.about]
        return suppressions.of(tx, about), consents.of(tx, about)

    def _known(self, tx: Tx) -> list[Suppression]:
        """What stands, or stood, for the addresses; they need not be the contact's own any more."""
        rows = consent_rules.suppressions(*self._ledgers(tx))
        wanted = (self.asked.scope, self.asked.reason)
        return [row for row in rows if (row.channel, row.address) in self.about and (row.scope, row.reason) == wanted]

    def judge(self, tx: Tx, people: Changeset) -> None:
        """A suppression belongs to its address, whoever holds it now."""

    def answer(self, tx: Tx, _: Applied) -> Answer:
        contact = find(tx, self.contact_id)
        first = min(self._known(tx), key=lambda row: self.about.index((row.channel, row.address)))
        shown = schemas.Suppression.of(first, contact.id, datetime.now(UTC))
        return Answer(201 if self.is_new else 200, schemas.SuppressionAnswer(data=shown))


def _reach(identity: Identity) -> tuple[str, str]:
    """How "all channels" is said of an identity: ``all`` of numbers and e-mails, else the one channel it is for."""
    if identity.type in ("phone", "email"):
        return ("all", identity.key)
    return ("whatsapp" if identity.type == "whatsapp_bsuid" else identity.type, identity.key)
