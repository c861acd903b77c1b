"""Ids: whether contacts were given ids as section 5 says under "Ids are remembered, not computed".

Ids are no function of the set of envelopes, so nothing is compared here. An ``IdBook`` follows the states of one store,
one after the other, and complains about an assignment that the design does not allow. Where it allows several, each of
them passes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.model.history import Ref
from tests.model.model import World

Id = Any  #: ids compare by age, the older first


@dataclass(frozen=True)
class Person:
    """What an id is about: the records of one contact."""

    customers: frozenset[Ref]  #: who live and are shown
    live: frozenset[Ref]  #: the same and the guests
    hidden: frozenset[Ref]  #: who live, and whom their source merged away
    gone: frozenset[Ref]  #: who were removed, and sit here


def persons(world: World) -> list[Person]:
    people = world.people
    return [
        Person(
            customers=group & people.customers,
            live=group & (people.customers | people.guests),
            hidden=frozenset(ref for ref in group & people.survivors.keys() if world.records[ref].lives()),
            gone=frozenset(ref for ref in group if world.records[ref].seen and not world.records[ref].lives()),
        )
        for group in world.contacts
    ]


@dataclass
class IdBook:
    """What ids have meant so far. Call ``complaints`` and then ``take`` after each step of a store."""

    people: dict[Id, Person] = field(default_factory=dict)  #: of the present ids
    aliases: dict[Id, Id] = field(default_factory=dict)
    meant: dict[Id, frozenset[Ref]] = field(
        default_factory=dict
    )  #: by id: who lived in it when it was last a contact's
    since: dict[Ref, int] = field(default_factory=dict)  #: the step since which a record lives in its contact
    ever: dict[Id, set[Ref]] = field(default_factory=dict)  #: by id: who has ever lived or sat in it
    dead: set[Id] = field(default_factory=set)  #: ids of people of whom nobody lived at some time
    step: int = 0

    def sides(self, id_: Id, after: Iterable[Person]) -> list[Person]:
        """Return the persons that a present id may go on with.

        They are those with the live customer that was in the contact longest; without a live customer, with the
        record that was; if all were merged away meanwhile, with one of these. Nobody, if the person is gone.
        """
        before = self.people[id_]
        for stayed in (
            {ref: one for one in after for ref in one.customers & before.customers},
            {ref: one for one in after for ref in one.live & before.live},
            {ref: one for one in after for ref in one.hidden & before.live},
        ):
            longest = min((self.since[ref] for ref in stayed), default=None)
            if longest is not None:
                return [one for ref, one in stayed.items() if self.since[ref] == longest]
        return []

    def own_ids(self, person: Person) -> set[Id]:
        """Return the ids that those who have just left a contact came with."""
        were_live = {ref for one in self.people.values() for ref in one.live | one.hidden}
        left = (person.customers or person.live) & were_live
        return {id_ for id_, refs in self.meant.items() if refs & left and id_ not in self.people}

    def complaints(self, after: Mapping[Id, Person], aliases: Mapping[Id, Id]) -> list[str]:
        """Say what is wrong with the ids of the next state; ``aliases`` are the ids that answer with another one."""
        found = [f"{id_} is a contact's and an alias" for id_ in after.keys() & aliases.keys()]
        found += [f"{alias} leads to {id_}, which is no contact" for alias, id_ in aliases.items() if id_ not in after]
        if found:
            return found
        answers = {id_: after[aliases.get(id_, id_)] for id_ in [*after, *aliases]}
        for id_ in self.people:
            sides = self.sides(id_, after.values())
            if sides and answers.get(id_) not in sides:
                found.append(f"{id_} does not answer with the person that it was given to")
            if not sides and id_ in after and not after[id_].gone & self.people[id_].live:
                found.append(f"{id_} was given to somebody else, its person is gone")
        for id_, person in after.items():
            found += self._wrong_id(id_, person, answers, after)
        for id_ in self.meant.keys() - self.people.keys() - self.dead:
            heirs = [person for person in after.values() if (person.live | person.hidden) & self.meant[id_]]
            if heirs and answers.get(id_) not in heirs:
                found.append(f"{id_}, an older id, does not answer with its own person")
        return found

    def _wrong_id(
        self, id_: Id, person: Person, answers: Mapping[Id, Person], after: Mapping[Id, Person]
    ) -> Iterable[str]:
        brought = {one for one in self.people if answers.get(one) == person}
        if brought:
            if id_ != min(brought):
                yield f"{id_} is not the oldest of {sorted(brought)}, which met"
        elif id_ in self.meant:
            if not (person.live | person.gone) & self.ever[id_]:
                yield f"{id_} was another person's"
        elif any(
            answers.get(own) is None or (answers[own] == person and len(person.live) < 2)
            for own in self.own_ids(person)
        ):  # of several who leave together each has ids of its own
            yield f"{id_} is new, though who left had an id"

    def take(self, after: Mapping[Id, Person], aliases: Mapping[Id, Id]) -> None:
        """Remember the ids of a state."""
        self.step += 1
        lived_in = {(ref, id_) for id_, one in self.people.items() for ref in one.live}
        self.since = {
            ref: self.since[ref] if (ref, id_) in lived_in else self.step
            for id_, one in after.items()
            for ref in one.live
        }
        self.people, self.aliases = dict(after), dict(aliases)
        self.meant |= {id_: one.live | one.hidden for id_, one in after.items()}
        for id_, one in after.items():
            self.ever.setdefault(id_, set()).update(one.live | one.hidden | one.gone)
        for alias, id_ in aliases.items():  # who has parted from it since has another id
            if alias in self.meant:
                self.meant[alias] &= after[id_].live | after[id_].hidden
        alive = {ref for one in after.values() for ref in one.live | one.hidden}
        self.dead |= {id_ for id_, refs in self.meant.items() if not refs & alive}
        self.dead -= after.keys()

    def assign(self, after: Iterable[Person], new_id: Callable[[], Id]) -> tuple[dict[Id, Person], dict[Id, Id]]:
        """Return one assignment that passes, and its aliases."""
        after = sorted(after, key=lambda one: min(one.live))
        goes_on = {id_: sides[0] for id_ in self.people if (sides := self.sides(id_, after))}
        id_of: dict[Person, Id] = {}
        for person in after:
            brought = [id_ for id_, one in goes_on.items() if one == person]
            if brought:
                id_of[person] = min(brought)
        for person in after:
            if person not in id_of:
                own = self.own_ids(person) - set(id_of.values())
                id_of[person] = min(own) if own else new_id()
        aliases = {}
        for id_ in self.meant.keys() - set(id_of.values()):
            heirs = [one for one in after if (one.live | one.hidden) & self.meant[id_]]
            if id_ in goes_on:
                aliases[id_] = id_of[goes_on[id_]]
            elif heirs:
                aliases[id_] = id_of[heirs[0]]
        return {id_: person for person, id_ in id_of.items()}, aliases
