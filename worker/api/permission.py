"""Whether and how a contact may be written to: consent, suppressions, and the verdict of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy import Connection

from connectors.contract import Channel, ConsentStated, Event, SuppressionStated
from worker import identifiers, standing
from worker.api import schemas, writing
from worker.api.asked import ConsentIn, Purpose, SuppressionIn
from worker.api.auth import Reader, Writer
from worker.api.bodies import JsonRoute
from worker.api.errors import ApiError, not_valid
from worker.api.sublists import find, look
from worker.api.writing import Answer, AskedOnce, AskedPlainly
from worker.apply import Applied
from worker.component import Component
from worker.resolve import API_SOURCE, Ref, Resolution
from worker.standing import Statement, Suppression
from worker.store import consents, db, suppressions
from worker.store.api_keys import Key
from worker.view import Identity, View
from worker.writes import Write

router = APIRouter(prefix="/v1/contacts/{contact_id}", tags=["permission"], route_class=JsonRoute)


@router.put("/consent/{channel}", response_model=schemas.ConsentAnswer)
def put_consent(key: Writer, asked: AskedPlainly, contact_id: str, channel: Channel, consent: ConsentIn) -> Response:
    """State what the contact wants on a channel, for all its addresses there.

    A statement older than the one that counts is kept, and changes nothing. Without ``occurred_at`` it counts from
    now, unless it repeats what is so.
    """
    return writing.perform(key, asked, _Consent(key, contact_id, channel, consent))


@router.get("/consents")
def list_consents(key: Reader, contact_id: str) -> schemas.ConsentList:
    """List what counts per channel and purpose."""
    with db.reading(key.organization_id) as conn:
        one = look(conn, key, contact_id)
    return schemas.ConsentList(data=[schemas.Consent.of(row, one.contact.id) for row in one.consents])


@router.get("/suppressions")
def list_suppressions(
    key: Reader, contact_id: str, include: Annotated[Literal["lifted"] | None, Query()] = None
) -> schemas.SuppressionList:
    """List the suppressions of a contact's addresses; those lifted or expired only if asked for."""
    now = datetime.now(UTC)
    with db.reading(key.organization_id) as conn:
        one = look(conn, key, contact_id)
    rows = [schemas.Suppression.of(row, one.contact.id, now) for row in one.suppressions]
    return schemas.SuppressionList(data=[row for row in rows if row.active or include == "lifted"])


@router.post(
    "/suppressions",
    response_model=schemas.SuppressionAnswer,
    status_code=201,
    responses={200: {"model": schemas.SuppressionAnswer, "description": "It was known already"}},
)
def upsert_suppression(key: Writer, asked: AskedOnce, contact_id: str, suppression: SuppressionIn) -> Response:
    """State that an address of the contact must not be used, or with ``active: false`` that it may be again."""
    return writing.perform(key, asked, _Suppress(key, contact_id, suppression))


@router.get("/sendability")
def sendability(
    key: Reader, contact_id: str, channel: Channel, purpose: Purpose = "marketing"
) -> schemas.SendabilityAnswer:
    """Tell whether a message may be sent to the contact, and which consent or suppression decided.

    Marketing needs an opt-in; other purposes only that the person has not refused. A suppression beats both.
    """
    now = datetime.now(UTC)
    with db.reading(key.organization_id) as conn:
        one = look(conn, key, contact_id)
    address = next(iter(addresses(one, channel)), None)
    row = next((c for c in one.consents if (c.statement.channel, c.statement.purpose) == (channel, purpose)), None)
    found = standing.verdict(channel, purpose, address, None if row is None else row.statement, one.suppressions, now)
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


def addresses(one: View, channel: str) -> list[str]:
    """What a contact is reached by on a channel, the one it shows first."""
    if channel == "all":
        kinds = ["phone", "email"]
    elif channel == "whatsapp":
        kinds = ["phone", "whatsapp_bsuid"]
    else:
        kinds = [identifiers.type_of_address(channel, "")]
    held = one.identities + one.unowned

    def order(identity: Identity) -> tuple[int, bool, str]:
        return (kinds.index(identity.type), not identity.is_primary, identity.key)

    return list(dict.fromkeys(i.key for i in sorted((i for i in held if i.type in kinds), key=order)))


@dataclass(slots=True)
class _Consent:
    key: Key
    contact_id: str
    channel: Channel
    asked: ConsentIn

    def plan(self, conn: Connection, now: datetime) -> tuple[Write, datetime]:
        one = look(conn, self.key, self.contact_id)
        if self.asked.occurred_at is None and self._is_so(one):
            return Write(), now
        source, external_id = _anchor(one)
        events: list[tuple[str, Event]] = [
            (source, self._stated(external_id, address, now)) for address in addresses(one, self.channel)
        ]
        # Where nothing but a record is known, the statement is about the record; so it is about those that were.
        about = {_anchor(one)} if not events else set()
        refs = sorted(about | self._without_address(conn, one))
        events += [(source, self._stated(external_id, None, now)) for source, external_id in refs]
        return Write(events=tuple(events)), now

    def _stated(self, external_id: str, address: str | None, now: datetime) -> ConsentStated:
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
        )

    def _is_so(self, one: View) -> bool:
        """Whether the request repeats what counts; details that it leaves out are not repeated."""
        said = self._row(one)
        if said is None or said.status != self.asked.status:
            return False
        asked = self.asked
        given = {
            "method": (asked.method, said.method),
            "source": (asked.source, said.origin),
            "evidence": (asked.evidence, dict(said.evidence)),
            "legal_basis": (asked.legal_basis, said.legal_basis),
            "expires_at": (asked.expires_at, said.expires_at),
        }
        return all(name not in asked.model_fields_set or wanted == known for name, (wanted, known) in given.items())

    def _row(self, one: View) -> Statement | None:
        key = (self.channel, self.asked.purpose)
        return next((c.statement for c in one.consents if (c.statement.channel, c.statement.purpose) == key), None)

    def _without_address(self, conn: Connection, one: View) -> set[Ref]:
        refs = [row.ref for row in one.records]
        stated = consents.of(conn, self.key.organization_id, (), refs)
        key = (self.channel, self.asked.purpose)
        return {s.ref for s in stated if s.address is None and (s.channel, s.purpose) == key}

    def judge(self, conn: Connection, component: Component, resolution: Resolution) -> None:
        """Consent belongs to addresses, whoever holds them now."""

    def answer(self, conn: Connection, _: Applied) -> Answer:
        one = look(conn, self.key, self.contact_id)
        key = (self.channel, self.asked.purpose)
        row = next(c for c in one.consents if (c.statement.channel, c.statement.purpose) == key)
        return Answer(200, schemas.ConsentAnswer(data=schemas.Consent.of(row, one.contact.id)))


@dataclass(slots=True)
class _Suppress:
    key: Key
    contact_id: str
    asked: SuppressionIn
    about: list[str] = field(default_factory=list)
    is_new: bool = False

    def plan(self, conn: Connection, now: datetime) -> tuple[Write, datetime]:
        one = look(conn, self.key, self.contact_id)
        self.about = self._addresses(one)
        known = self._known(conn)
        self.is_new = not known
        asked = self.asked
        if not asked.active and not known:
            raise ApiError(404, "suppression not found")
        if asked.occurred_at is None and self._is_so(known, now):
            return Write(), now
        source, external_id = _anchor(one)
        events: list[tuple[str, Event]] = [
            (
                source,
                SuppressionStated(
                    external_id=external_id,
                    channel=asked.channel,
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
            for address in self.about
        ]
        return Write(events=tuple(events)), now

    def _addresses(self, one: View) -> list[str]:
        asked = self.asked
        if asked.address is None:
            mine = addresses(one, asked.channel)
            if not mine:
                raise not_valid("address", f"required: the contact has none for {asked.channel}")
            return mine if asked.channel == "all" else mine[:1]
        kind = identifiers.type_of_address(asked.channel, asked.address)
        if kind == "phone":
            found = identifiers.given_phone(asked.address, self.key.region)
        else:
            found = identifiers.read(kind, asked.address, None)
        if found is None:
            raise not_valid("address", f"not an address of the channel {asked.channel}")
        return [found.key]

    def _known(self, conn: Connection) -> list[Suppression]:
        """What stands, or stood, for the addresses; they need not be the contact's own any more."""
        asked, organization_id = self.asked, self.key.organization_id
        rows = standing.suppressions(
            suppressions.of(conn, organization_id, self.about), consents.of(conn, organization_id, self.about)
        )
        wanted = (asked.channel, asked.scope, asked.reason)
        return [row for row in rows if (row.channel, row.scope, row.reason) == wanted]

    def _is_so(self, known: Sequence[Suppression], now: datetime) -> bool:
        asked = self.asked
        if {row.address for row in known} != set(self.about):
            return False
        if not asked.active:
            return all(row.lifted is not None for row in known)
        return all(
            row.is_active(now)
            and row.expires_at == asked.expires_at
            and ("note" not in asked.model_fields_set or row.note == asked.note)
            for row in known
        )

    def judge(self, conn: Connection, component: Component, resolution: Resolution) -> None:
        """A suppression belongs to its address, whoever holds it now."""

    def answer(self, conn: Connection, _: Applied) -> Answer:
        contact = find(conn, self.key, self.contact_id)
        first = min(self._known(conn), key=lambda row: self.about.index(row.address))
        shown = schemas.Suppression.of(first, contact.id, datetime.now(UTC))
        return Answer(201 if self.is_new else 200, schemas.SuppressionAnswer(data=shown))


def _anchor(one: View) -> Ref:
    return next(row.ref for row in one.records if row.id == one.contact.id)
