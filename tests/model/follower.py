"""Follower: whoever keeps what a store tells. It is fed step by step, and complains about what it was not told.

It keeps a mirror by the feed, each contact's entries of the change log, and the ids. None of these is a function of the
set of envelopes, so they are checked after every step and not at the end.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson

from tests.model.history import Envelope, Ref
from tests.model.ids import IdBook, Person, persons
from tests.model.model import World
from tests.model.promises import refusals
from tests.model.states import Contact, State, of_model
from worker.domain.changes import Change


@dataclass
class Step:
    """What a store shows after a step, and what it told about it."""

    state: State
    id_of: Mapping[frozenset[Ref], UUID]
    aliases: Mapping[UUID, UUID]  #: of all ids that a contact ever had: with which contact they answer
    told: Collection[UUID]  #: contacts whose rows the feed brings, gone ones included
    log: Iterable[Change]
    fields: Mapping[UUID, Mapping[str, Any]]  #: what each contact shows, by the names of the change log
    records_of: Mapping[UUID, frozenset[Ref]]  #: of each contact, with those only mentioned


@dataclass
class Follower:
    """Takes the steps of one store."""

    mirror: dict[UUID, Contact] = field(default_factory=dict)
    logged: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    book: IdBook = field(default_factory=IdBook)

    def take(self, step: Step, world: World, fed: Collection[Envelope]) -> list[str]:
        """Return what is wrong after a step; ``world`` is the model of all that was ``fed``."""
        expected = of_model(world)
        found = [
            f"{name}: {mine} in the product, {yours} in the model"
            for name, (mine, yours) in step.state.differences(expected).items()
        ]
        found += self._missed(step)
        found += self._unlogged(step)
        if not found:
            found += self._wrong_ids(step, world)
        return found + _opened(step, fed)

    def _missed(self, step: Step) -> list[str]:
        """Find contacts that show something else than before, and about which the feed says nothing."""
        now = {step.id_of[group]: contact for group, contact in step.state.contacts.items()}
        found = []
        for id_ in self.mirror.keys() | now.keys():
            before, after = self.mirror.get(id_), now.get(id_)
            if before != after and id_ not in step.told:
                what = "is gone" if after is None else "is new" if before is None else before.differences(after)
                found.append(f"mirror: {id_} {what}, and the feed says nothing")
        self.mirror = now
        return found

    def _unlogged(self, step: Step) -> list[str]:
        """Find contacts whose entries do not add up to what they show."""
        found = []
        for entry in step.log:
            shown = self.logged.setdefault(entry.contact_id, {})
            if entry.kind == "created" and shown:
                found.append(f"log: {entry.contact_id} is created, and was there: {shown}")
            if entry.kind in ("merged", "removed"):
                shown.clear()
                continue
            details = dict(entry.details)
            if entry.encoded is not None:
                details |= orjson.loads(entry.encoded.json)
            for name, (before, after, *_) in details.items():
                if name == "tags":
                    before, after = _tags(shown.get(name), before, after)  # noqa: PLW2901
                if shown.get(name) != (before or None):
                    found.append(f"log: {entry.contact_id} {name} was {shown.get(name)!r}, and not {before!r}")
                shown[name] = after
                if not after:
                    del shown[name]
        present = {id_: shown for id_, shown in self.logged.items() if shown}
        for id_ in present.keys() | step.fields.keys():
            mine, theirs = present.get(id_, {}), step.fields.get(id_, {})
            found += [
                f"log: {id_} {name} is {theirs.get(name)!r}, the log says {mine.get(name)!r}"
                for name in mine.keys() | theirs.keys()
                if mine.get(name) != theirs.get(name)
            ]
        return found

    def _wrong_ids(self, step: Step, world: World) -> list[str]:
        seen = frozenset(ref for ref, record in world.records.items() if record.seen)
        person_of = dict(zip((group & seen for group in world.contacts), persons(world), strict=True))
        ids: dict[UUID, Person] = {id_: person_of[group] for group, id_ in step.id_of.items()}
        aliases = {id_: at for id_, at in step.aliases.items() if id_ not in ids}
        found = self.book.complaints(ids, aliases)
        self.book.take(ids, aliases)
        return [f"ids: {one}" for one in found]


def _opened(step: Step, fed: Collection[Envelope]) -> list[str]:
    """Find addresses that are open for marketing although somebody concerned said no, and nobody yes since."""
    return [
        f"promise: {channel} to {address} of {sorted(group)} is open: {refused}"
        for group, contact in step.state.contacts.items()
        for channel, purpose, address in contact.open
        if purpose == "marketing" and (refused := refusals(fed, step.records_of[step.id_of[group]], channel, address))
    ]


def _tags(known: list[str] | None, went: list[str], came: list[str]) -> tuple[list[str] | None, list[str]]:
    """Return the tags before and after, of which the log tells what went and what came."""
    had = set(known or ())
    fits = had.issuperset(went) and not had & set(came)
    return (known if fits else went), sorted(had.difference(went).union(came))
