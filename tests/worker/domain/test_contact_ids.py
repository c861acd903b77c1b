"""Contact ids: an id stays with its person, and never comes to mean somebody else."""

from datetime import timedelta

from connectors.contract import ProfileRemoved, ProfilesMerged
from tests.worker.histories import EMAILS, T0, a_profile, statements_of
from tests.worker.memory_store import MemoryStore


class World:
    """A store in memory that customers are stated to, one envelope at a time."""

    def __init__(self):
        self.store = MemoryStore()
        self._number = 0

    def say(self, source, event):
        self._number += 1
        self.store.apply([statements_of(source, event, minute=99, number=self._number)])

    def seen(self, source, external_id, email, *, created=0):
        self.say(source, a_profile(external_id, email=email, at=self._number + 1, created=created))

    def removed(self, source, external_id):
        at = T0 + timedelta(minutes=self._number + 1)
        self.say(source, ProfileRemoved(external_id=external_id, occurred_at=at))

    def id(self, source, external_id):
        return self.store.records[source, external_id][4].contact_id

    def answers(self, contact_id):
        """Return the contact that an id leads to, as the store looks it up."""
        if contact_id in self.store.contacts:
            return contact_id
        rows = {values[0]: (ref, values) for ref, values in self.store.records.items()}
        carrier = self.store.aliases.get(contact_id, contact_id)
        ref, values = rows[carrier]
        is_own = carrier == contact_id
        is_live = self.store._row(ref).record.is_live or values[4].merged is not None
        return values[4].contact_id if is_live or not is_own else None


def test_a_source_that_is_connected_later_moves_no_id():
    world = World()
    world.seen("b", "1", EMAILS[0], created=5)
    before = world.id("b", "1")

    world.seen("a", "1", EMAILS[0], created=0)

    assert world.id("a", "1") == world.id("b", "1") == before


def test_when_contacts_meet_the_older_id_stays_and_the_other_becomes_its_alias():
    world = World()
    world.seen("a", "1", EMAILS[0])
    world.seen("b", "1", EMAILS[1])
    older, younger = world.id("a", "1"), world.id("b", "1")

    world.seen("b", "1", EMAILS[0])

    assert world.id("b", "1") == older
    assert world.answers(younger) == older


def test_who_leaves_takes_along_the_id_that_it_came_with():
    world = World()
    world.seen("a", "1", EMAILS[0])
    world.seen("b", "1", EMAILS[1])
    older, younger = world.id("a", "1"), world.id("b", "1")
    world.seen("b", "1", EMAILS[0])

    world.seen("b", "1", EMAILS[1])

    assert (world.id("a", "1"), world.id("b", "1")) == (older, younger)


def test_the_deletion_of_one_record_leaves_the_persons_id_alone():
    world = World()
    world.seen("a", "1", EMAILS[0])
    world.seen("b", "1", EMAILS[0])
    contact_id = world.id("a", "1")

    world.removed("a", "1")

    assert world.id("b", "1") == world.answers(contact_id) == contact_id


def test_who_comes_back_as_somebody_else_gets_another_id():
    world = World()
    world.seen("a", "1", EMAILS[0])
    world.seen("b", "1", EMAILS[0])
    contact_id = world.id("a", "1")
    world.removed("a", "1")

    world.seen("a", "1", EMAILS[1])

    assert world.id("b", "1") == world.answers(contact_id) == contact_id
    assert world.id("a", "1") not in (None, contact_id)


def test_who_comes_back_alone_has_the_id_from_before():
    world = World()
    world.seen("a", "1", EMAILS[0])
    contact_id = world.id("a", "1")
    world.removed("a", "1")
    assert world.store.contacts == {}

    world.seen("a", "1", EMAILS[0])

    assert world.id("a", "1") == contact_id


def test_an_alias_of_an_alias_leads_to_the_one_who_is_left():
    world = World()
    for number, source in enumerate("abc"):
        world.seen(source, "1", EMAILS[number])
    ids = [world.id(source, "1") for source in "abc"]

    world.seen("c", "1", EMAILS[1])
    world.seen("b", "1", EMAILS[0])
    world.seen("c", "1", EMAILS[0])

    assert [world.answers(id_) for id_ in ids] == [ids[0]] * 3


def test_the_id_of_a_customer_that_was_merged_away_leads_to_the_survivor():
    world = World()
    world.seen("a", "1", EMAILS[0])
    world.seen("a", "2", EMAILS[1])
    lost, kept = world.id("a", "1"), world.id("a", "2")

    world.say("a", ProfilesMerged(kept_external_id="2", lost_external_id="1", occurred_at=T0))

    assert world.answers(lost) == world.answers(kept) == world.id("a", "2")
