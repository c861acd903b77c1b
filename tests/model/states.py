"""States: what a store shows, in the words in which model and product are compared.

``of_model`` reads a ``World``. ``of_product`` reads a contact as the product's own rules show it, from wherever its
rows were loaded. What the two return is equal, or one of them is wrong.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tests.model.adapters import minute_of
from tests.model.history import PURPOSES, TYPE_OF_CHANNEL, Ident, Ref
from tests.model.model import Answer, World
from worker.domain.permission import Holder, Permissions, is_allowed, verdict
from worker.domain.record import Record, idle_records
from worker.domain.terms import CLAIM, EVIDENCE

#: (channel, purpose)
Key = tuple[str, str]
KEYS = tuple((channel, purpose) for channel in TYPE_OF_CHANNEL for purpose in PURPOSES)


@dataclass(frozen=True)
class Contact:
    """A contact. Its fields are what a mirror keeps; ``due`` is what changes with the clock alone."""

    name: str | None
    email: str | None
    phone: str | None
    tags: tuple[str, ...]
    identifiers: frozenset[tuple[Ident, bool]]  #: that its records gave, and whether each leads to the contact
    consents: Mapping[Key, str]  #: the status that decides
    open: frozenset[tuple[str, str, str]]  #: (channel, purpose, address)
    suppressions: frozenset[tuple[str, str, str, str, int | None]]  #: (channel, address, scope, reason, expiry)

    def differences(self, other: "Contact") -> dict[str, tuple[Any, Any]]:
        """Return the fields in which two states differ, with both values."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return {name: (mine, yours) for name, mine, yours in pairs if mine != yours}


@dataclass(frozen=True)
class Verdicts:
    """What a contact answers at a moment."""

    consents: Mapping[Key, tuple[str, str | None]]
    sendable: Mapping[Key, str]  #: the address that a message may go to


@dataclass(frozen=True)
class State:
    """What a store shows at a moment. A contact is named by those of its records that were seen."""

    contacts: Mapping[frozenset[Ref], Contact]
    verdicts: Mapping[frozenset[Ref], Verdicts]
    owners: Mapping[Ident, frozenset[Ref]]
    contested: frozenset[Ident]

    def differences(self, other: "State") -> dict[str, Any]:
        """Say in what two states differ; groups first, because nothing else can agree where they do not."""
        found: dict[str, Any] = {}
        if self.contacts.keys() != other.contacts.keys():
            mine, yours = self.contacts.keys() - other.contacts.keys(), other.contacts.keys() - self.contacts.keys()
            return {"groups": (sorted(map(sorted, mine)), sorted(map(sorted, yours)))}
        for name in ("owners", "contested"):
            if getattr(self, name) != getattr(other, name):
                found[name] = (getattr(self, name), getattr(other, name))
        for group, contact in self.contacts.items():
            for field, values in contact.differences(other.contacts[group]).items():
                found[f"{sorted(group)} {field}"] = values
            if self.verdicts[group] != other.verdicts[group]:
                found[f"{sorted(group)} verdicts"] = (self.verdicts[group], other.verdicts[group])
        return found


def of_model(world: World) -> State:
    """Return what the model shows."""
    people = world.people
    seen = frozenset(ref for ref, record in world.records.items() if record.seen)
    contacts, verdicts = {}, {}
    for group, shown in world.contacts.items():
        contacts[group & seen] = Contact(
            name=shown.name,
            email=shown.email,
            phone=shown.phone,
            tags=shown.tags,
            identifiers=frozenset((*shown.identifiers, *(one for one in shown.evidence if one[1]))),
            consents={(channel, purpose): one.status for channel, purpose, one in shown.consents if one.status},
            open=frozenset(
                (channel, purpose, address)
                for channel, purpose in KEYS
                for address in world.addresses(group, channel)
                if world.ledger.is_open(group, channel, purpose, address)
            ),
            suppressions=frozenset(shown.suppressions),
        )
        answers = {key: world.answer(group, *key, world.now) for key in KEYS}
        verdicts[group & seen] = Verdicts(
            consents=_said(answers),
            sendable={key: answer.address for key, answer in answers.items() if answer.sendable and answer.address},
        )
    given = {ident for group in world.contacts for ident in people.evidence_of(group)}
    resolved = {ident: people.resolve(ident) for ident in people.claims.keys() | given}
    return State(
        contacts=contacts,
        verdicts=verdicts,
        owners={ident: owner & seen for ident, owner in resolved.items() if owner},
        contested=frozenset(people.contested()),
    )


def _said(answers: Mapping[Key, Answer]) -> Mapping[Key, tuple[str, str | None]]:
    return {key: (answer.status, answer.address) for key, answer in answers.items() if answer.status}


def of_product(
    *,
    name: str | None,
    email: str | None,
    phone: str | None,
    tags: Iterable[str],
    identifiers: Iterable[tuple[Ident, bool]],
    holder: Holder,
    permissions: Callable[[datetime | None], Permissions],
    now: datetime,
) -> tuple[Contact, Verdicts]:
    """Return what the product shows of a contact.

    ``permissions`` works out what counts at a moment, or as if nothing were over yet.
    """
    found, due = permissions(None), permissions(now)
    contact = Contact(
        name=name,
        email=email,
        phone=phone,
        tags=tuple(tags),
        identifiers=frozenset(identifiers),
        consents={key: status for key, (status, _) in _counting(found, holder, None).items()},
        open=frozenset(
            (*key, address)
            for key in KEYS
            for address in holder.addresses(key[0])
            if is_allowed(
                found.shown(key, None, [address]) if key not in found.rulings else _of(found, key, address), key[1]
            )
        ),
        suppressions=frozenset(
            (one.channel, one.address, one.scope, one.reason, minute_of(one.expires_at))
            for one in found.suppressions
            if one.lifted is None
        ),
    )
    answers = {key: verdict(holder, due, key, now) for key in KEYS}
    verdicts = Verdicts(
        consents=_counting(due, holder, now),
        sendable={key: answer.address for key, answer in answers.items() if answer.sendable and answer.address},
    )
    for key, answer in answers.items():  # what is answered names the statement that is shown
        said = None if answer.consent is None else answer.consent.status
        assert said == verdicts.consents.get(key, (None, None))[0], (key, said, verdicts.consents)
    return contact, verdicts


def _of(found: Permissions, key: Key, address: str) -> Any:
    return next(ruling for ruling in found.rulings[key] if ruling.address == address)


def _counting(found: Permissions, holder: Holder, now: datetime | None) -> Mapping[Key, tuple[str, str | None]]:
    shown = {key: found.shown(key, now, holder.addresses(key[0])) for key in KEYS}
    return {key: (ruling.status, ruling.address) for key, ruling in shown.items() if ruling.status}


def held(
    records: Collection[Record], lost: Container[Ref], owner_of: Callable[[Ident], Ref | None], own: Collection[Ref]
) -> frozenset[tuple[Ident, bool]]:
    """Return the identifiers that records claim, and whether one of ``own`` owns each; and evidence that leads here."""
    idle = idle_records(records, lost)
    ties = {(ident, tie.role) for one in records if one.ref not in idle for ident, tie in one.ties().items()}
    found = {(ident, role, owner_of(ident) in own) for ident, role in ties if role in (CLAIM, EVIDENCE)}
    return frozenset((ident, is_own) for ident, role, is_own in found if is_own or role == CLAIM)
