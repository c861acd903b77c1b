"""The rule of ids on small histories: what passes, and what the book complains about (example C3 of the issue)."""

import pytest

from tests.model.history import Apart, Link
from tests.model.ids import IdBook, persons
from tests.model.model import World
from tests.model.stories import E1, E2, EU, P1, S, W, guest, merged, removed, seen, story


def named(world, names):
    """Return the persons of a state by the ids that they were given; a person is named by one of its records."""
    all_persons = persons(world)
    assert len(names) == len(all_persons)
    return {id_: next(one for one in all_persons if ref in one.live) for id_, ref in names.items()}


def verdict(*states):
    """Return the complaints about the last state. Each state is (number of steps, ids, aliases), after a story."""
    steps, *states = states
    book, found = IdBook(), []
    for n, names, aliases in states:
        assert found == [], "only the last state may be wrong"
        ids = named(World(story(*steps[:n])), names)
        found = book.complaints(ids, aliases)
        book.take(ids, aliases)
    return found


S1, S2, EU1, W1 = (S, "1"), (S, "2"), (EU, "1"), (W, "1")

LATER_SOURCE = (seen(S, "1", E1, created=50), seen(W, "1", E1, created=1), removed(S, "1"))
MEET = (seen(S, "1", E1), seen(W, "1", E2), seen(EU, "1"), Link(S1, W1), Apart(S1, W1))


def test_c3_a_source_that_is_connected_later_moves_no_id():
    assert verdict(LATER_SOURCE, (1, {1: S1}, {}), (2, {1: W1}, {})) == []
    assert verdict(LATER_SOURCE, (1, {1: S1}, {}), (2, {2: W1}, {})) != []
    assert verdict(LATER_SOURCE, (1, {1: S1}, {}), (2, {2: W1}, {1: 2})) != []


def test_c3_the_deletion_of_one_record_leaves_the_id_alone():
    assert verdict(LATER_SOURCE, (2, {1: S1}, {}), (3, {1: W1}, {})) == []
    assert verdict(LATER_SOURCE, (2, {1: S1}, {}), (3, {2: W1}, {})) != []


def test_when_contacts_meet_the_older_id_stays_and_the_other_becomes_its_alias():
    before = (3, {1: W1, 2: S1, 3: EU1}, {})

    assert verdict(MEET, before, (4, {1: S1, 3: EU1}, {2: 1})) == []
    assert verdict(MEET, before, (4, {2: S1, 3: EU1}, {1: 2})) != []
    assert verdict(MEET, before, (4, {1: S1, 3: EU1}, {})) != []


def test_who_leaves_gets_back_the_id_it_came_with():
    met = [(3, {1: W1, 2: S1, 3: EU1}, {}), (4, {1: S1, 3: EU1}, {2: 1})]

    assert verdict(MEET, *met, (5, {1: W1, 2: S1, 3: EU1}, {})) == []
    assert verdict(MEET, *met, (5, {1: S1, 2: W1, 3: EU1}, {})) != []
    assert verdict(MEET, *met, (5, {1: W1, 4: S1, 3: EU1}, {})) != []
    assert verdict(MEET, *met, (5, {1: W1, 4: S1, 3: EU1}, {2: 4})) != []


def test_who_leaves_without_an_id_of_its_own_gets_a_new_one():
    steps = (seen(S, "1", E1), seen(W, "1", E1), seen(W, "1", E2))
    met = [(1, {1: S1}, {}), (2, {1: S1}, {})]

    assert verdict(steps, *met, (3, {1: S1, 2: W1}, {})) == []
    assert verdict(steps, *met, (3, {2: S1, 1: W1}, {})) != []


def test_an_id_never_comes_to_mean_somebody_else():
    steps = (seen(S, "1", E1), removed(S, "1"), seen(W, "1", E2))
    gone = [(1, {1: S1}, {}), (2, {}, {})]

    assert verdict(steps, *gone, (3, {2: W1}, {})) == []
    assert verdict(steps, *gone, (3, {1: W1}, {})) != []


def test_who_has_a_removed_record_as_a_passenger_may_have_its_id():
    steps = (seen(S, "1", E1), removed(S, "1"), seen(W, "1", E1))
    gone = [(1, {1: S1}, {}), (2, {}, {})]

    assert verdict(steps, *gone, (3, {1: W1}, {})) == []
    assert verdict(steps, *gone, (3, {2: W1}, {})) == []


def test_an_id_is_not_passed_on_in_the_step_in_which_its_person_goes():
    steps = (seen(S, "1", E1), (removed(S, "1"), seen(W, "1", E2)))

    assert verdict(steps, (1, {1: S1}, {}), (2, {2: W1}, {})) == []
    assert verdict(steps, (1, {1: S1}, {}), (2, {1: W1}, {})) != []


def test_a_person_who_is_a_guest_after_the_deletion_of_the_customer_keeps_the_id():
    steps = (seen(S, "1", E1), guest(W, 15, E1), removed(S, "1"))
    guest_of_w = (W, f"guest:email:{E1}")

    assert verdict(steps, (2, {1: S1}, {}), (3, {1: guest_of_w}, {})) == []
    assert verdict(steps, (2, {1: S1}, {}), (3, {2: guest_of_w}, {})) != []


@pytest.mark.parametrize(("ids", "older"), [((1, 2), 1), ((2, 1), 1)])
def test_who_was_merged_away_answers_with_the_survivor(ids, older):
    steps = (seen(S, "1", E1, P1), seen(S, "2", E2), merged(S, "2", "1"))
    before = (2, dict(zip(ids, (S1, S2), strict=True)), {})

    assert verdict(steps, before, (3, {older: S2}, {3 - older: older})) == []
    assert verdict(steps, before, (3, {older: S2}, {})) != []


def test_an_alias_goes_with_its_own_person():
    """The id 2 was W1's. W1 leaves for EU1, whose id is older; then 2 must lead there, no longer to S1."""
    steps = (seen(EU, "1"), seen(S, "1", E1), seen(W, "1", E2), Link(S1, W1), (Apart(S1, W1), Link(EU1, W1)))
    met = [(3, {1: EU1, 2: S1, 3: W1}, {}), (4, {1: EU1, 2: S1}, {3: 2})]

    assert verdict(steps, *met, (5, {1: EU1, 2: S1}, {3: 1})) == []
    assert verdict(steps, *met, (5, {1: EU1, 2: S1}, {3: 2})) != []
