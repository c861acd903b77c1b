"""Whole runs: real HTTP, real Postgres, a real broker, real worker processes."""

import os
import random

from connectors.shopify.simulator.shop import two_shops
from connectors.simulation.deliveries import disturbed
from tests.flows.stack import RunningStack, send, wait_until

SEED = 7
#: Deliveries in a history. More take longer and must give the same result.
HISTORY = int(os.environ.get("FLOW_DELIVERIES", "600"))


def connect_two(stack: RunningStack, shops, organization: str) -> dict[str, str]:
    """Connect both shops to an organization of its own; return their webhook URLs by domain."""
    return {
        shop.domain: stack.connect(shop.domain, secret=shop.secret, source=f"shop-{n}", organization=organization)
        for n, shop in enumerate(shops)
    }


def shops_of(history):
    return list({shop.domain: shop for shop, _ in history}.values())


def test_order_and_repetition_give_the_same_bytes(stack):
    history = two_shops(SEED, HISTORY)
    in_order = connect_two(stack, shops_of(history), "in-order")
    shuffled = connect_two(stack, shops_of(history), "shuffled")

    first = send((in_order[shop.domain], delivery) for shop, delivery in history)
    stack.settled("in-order")
    second = send((shuffled[shop.domain], delivery) for shop, delivery in disturbed(history, random.Random(SEED)))
    after = stack.settled("shuffled")

    assert set(first) == set(second) == {200}
    assert second[200] > 2 * len(history)
    expected = stack.export("in-order")
    assert expected.count(b"\n") > HISTORY // 20
    assert stack.export("shuffled") == expected
    inbox = after["inbox"]
    assert inbox["settled"] + inbox["ignored"] + inbox["parked"] == len(history)


def test_killed_workers_and_a_flushed_broker_lose_nothing(stack):
    history = two_shops(SEED + 1, HISTORY)
    calm = connect_two(stack, shops_of(history), "calm")
    stormy = connect_two(stack, shops_of(history), "stormy")
    send((calm[shop.domain], delivery) for shop, delivery in history)
    stack.settled("calm")
    killed = []

    def storm(answers: int) -> None:
        if answers in (HISTORY // 4, HISTORY // 2):
            killed.append(stack.kill_workers())
            stack.flush_broker()

    send(((stormy[shop.domain], delivery) for shop, delivery in history), during=storm)
    stack.settled("stormy", timeout=60)

    assert len(killed) == 2
    assert all(killed)
    assert stack.export("stormy") == stack.export("calm")
    wait_until(lambda: len(stack.workers()) >= 3, 20)  # the worker and its pool run again


def test_without_a_worker_the_sweeper_drains(stack):
    history = two_shops(SEED + 2, 60)
    urls = connect_two(stack, shops_of(history), "swept")
    # The workers are stopped, not killed, so nobody restarts them, and nudges have no effect.
    stopped = stack.stop_workers()
    try:
        send((urls[shop.domain], delivery) for shop, delivery in history)
        stack.settled("swept", timeout=30)
    finally:
        stack.continue_workers(stopped)
