"""The store on Postgres against the model: the same histories, the same answers after every batch.

Each history has a number. ``MODEL_STORE_EXAMPLES`` and ``MODEL_STORE_STEPS`` ask for more and longer ones, and with
``MODEL_STORE_FROM`` a long run goes on where it stopped.
"""

import os
import random

import structlog
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.conftest import empty
from tests.model.adapters import time_of
from tests.model.follower import Follower
from tests.model.model import World
from tests.model.states import of_model
from tests.model.stored import StoredStore
from tests.model.strategies import histories

log = structlog.get_logger()
EXAMPLES = int(os.environ.get("MODEL_STORE_EXAMPLES", "60"))
STEPS = int(os.environ.get("MODEL_STORE_STEPS", "30"))
FIRST = int(os.environ.get("MODEL_STORE_FROM", "0"))


def complaints(engine, history, sizes):
    """Feed a history until something is wrong. Return how many envelopes were fed, and what is wrong."""
    empty(engine)
    store, follower, fed = StoredStore(engine), Follower(), []
    sizes = iter(sizes)
    while len(fed) < len(history):
        batch = history[len(fed) : len(fed) + next(sizes, 1)]
        fed += batch
        store.apply(batch)
        world = World(fed)
        found = follower.take(store.step(time_of(world.now)), world, fed)
        if found:
            return len(fed), found
    return len(fed), []


def invented(number):
    """Return the history of a number, and the sizes of its batches."""
    drawn = []

    @seed(number)
    @given(histories(max_steps=STEPS, min_steps=STEPS), st.lists(st.integers(1, 4), max_size=STEPS))
    @settings(
        max_examples=2,  # the first is always the plainest
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def draw(history, sizes):
        drawn.append((history, sizes))

    draw()
    return drawn[-1]


def test_store_and_model_agree_after_every_batch(engine):
    wrong = []
    for number in range(FIRST, EXAMPLES):
        fed, found = complaints(engine, *invented(number))
        if found:
            wrong.append(f"history {number}, after {fed} envelopes: {found[:3]}")
        if EXAMPLES > 100 and number % 25 == 24:
            log.info("histories_compared", count=number + 1, wrong=wrong[-3:])
    assert wrong == []


def test_the_end_is_the_same_in_another_order(engine):
    for number in range(max(2, EXAMPLES // 10)):
        history, _ = invented(number)
        again = [*history, *history[::3]]
        random.Random(number).shuffle(again)
        empty(engine)
        store = StoredStore(engine)
        for start in range(0, len(again), 7):
            store.apply(again[start : start + 7])
        world = World(history)
        assert store.step(time_of(world.now)).state.differences(of_model(world)) == {}
