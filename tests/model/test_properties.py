"""The model on invented histories: what must hold in each state and in each step."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.model.ids import IdBook, persons
from tests.model.mirror import followed, rows_due
from tests.model.model import World
from tests.model.promises import broken_groups, disagreements, open_against_a_no, opened_by_accident
from tests.model.strategies import histories

slowly = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def states_of(envelopes):
    return [World(envelopes[:n]) for n in range(len(envelopes) + 1)]


@given(histories(max_steps=24), st.randoms(use_true_random=False))
@slowly
def test_order_and_repeats_change_nothing(envelopes, randomly):
    again = [*envelopes, *randomly.sample(envelopes, k=len(envelopes) // 2)]
    randomly.shuffle(again)

    assert World(again).contacts == World(envelopes).contacts


@given(histories(max_steps=24))
@slowly
def test_no_state_breaks_a_promise(envelopes):
    for n, world in enumerate(states_of(envelopes)):
        assert broken_groups(world) == []
        assert disagreements(world) == []
        assert open_against_a_no(world, envelopes[:n]) == []


@given(histories(max_steps=24))
@slowly
def test_no_step_opens_an_address_by_accident(envelopes):
    for before, after in itertools.pairwise(states_of(envelopes)):
        assert opened_by_accident(before, after) == []


@given(histories(max_steps=24))
@slowly
def test_an_assignment_of_ids_that_keeps_the_rules_passes(envelopes):
    book, numbers = IdBook(), itertools.count()
    for world in states_of(envelopes):
        ids, aliases = book.assign(persons(world), lambda: next(numbers))

        assert book.complaints(ids, aliases) == []
        assert set(ids.values()) == set(persons(world))
        book.take(ids, aliases)


@given(histories(max_steps=24))
@slowly
def test_a_mirror_that_follows_the_feed_equals_the_store(envelopes):
    book, numbers, mirror, before = IdBook(), itertools.count(), {}, {}
    for world in states_of(envelopes):
        ids, aliases = book.assign(persons(world), lambda: next(numbers))
        book.take(ids, aliases)
        after = {id_: world.show(min(person.live)) for id_, person in ids.items()}
        mirror = followed(mirror, rows_due(before, after, aliases))
        before = after

        assert mirror == after
