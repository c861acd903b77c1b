"""The product's pure plan against the model: the same histories, the same answers after every batch."""

import os

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.model.adapters import statements_of, time_of
from tests.model.follower import Follower
from tests.model.memory import step_of
from tests.model.model import World
from tests.model.people import Limits as ModelLimits
from tests.model.strategies import histories
from tests.worker.memory_store import MemoryStore
from worker.domain.grouping import Limits

#: of all histories, with the usual limits and with a crowd that is soon reached
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "5000"))
#: the suite tries the same histories every time; whoever asks for a number of their own looks for new ones
IS_FIXED = "MODEL_EXAMPLES" not in os.environ
STEPS = int(os.environ.get("MODEL_STEPS", "12"))
unhurried = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
#: how many envelopes each batch has; after the last one, batches of one
sizes_of_batches = st.lists(st.integers(1, 4), max_size=12)


def complaints(history, sizes, crowd):
    """Feed a history until something is wrong. Return how many envelopes were fed, and what is wrong."""
    store, follower, fed = MemoryStore(Limits(crowd, 200)), Follower(), []
    sizes = iter(sizes)
    while len(fed) < len(history):
        batch = history[len(fed) : len(fed) + next(sizes, 1)]
        fed += batch
        world = World(fed, limits=ModelLimits(crowd, 200))
        written = store.apply([statements_of(one) for one in batch])
        found = follower.take(step_of(store, written, time_of(world.now)), world, fed)
        if found:
            return len(fed), found
    return len(fed), []


@pytest.mark.parametrize(("crowd", "share"), [(10, 0.7), (2, 0.3)])
def test_product_and_model_agree_after_every_batch(crowd, share):
    @given(histories(max_steps=STEPS), sizes_of_batches)
    @settings(
        max_examples=max(1, int(EXAMPLES * share)),
        deadline=None,
        suppress_health_check=unhurried,
        derandomize=IS_FIXED,
    )
    def agree(history, sizes):
        fed, found = complaints(history, sizes, crowd)
        assert not found, f"after {fed} envelopes: {found[:5]}"

    agree()


def test_the_comparison_can_fail():
    """A store that forgets who said no is found out."""

    class Forgetful(MemoryStore):
        def _write_ledger(self, ledger):
            super()._write_ledger(ledger)
            self.consents = {k: one for k, one in self.consents.items() if one.consent.status != "opted_out"}

    @given(histories(max_steps=STEPS), sizes_of_batches)
    @settings(max_examples=500, deadline=None, suppress_health_check=unhurried, database=None, phases=[Phase.generate])
    def agree(history, sizes):
        store, follower, fed = Forgetful(), Follower(), []
        for envelope in history:
            fed.append(envelope)
            world = World(fed)
            written = store.apply([statements_of(envelope)])
            assert not follower.take(step_of(store, written, time_of(world.now)), world, fed)

    with pytest.raises(AssertionError):
        agree()
