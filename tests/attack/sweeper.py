"""Attack the sweeper: freeze every worker, then the stand-in that beat starts in their place."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

from connectors.shopify.simulator.shop import two_shops
from tests.attack.finding import Finding
from tests.flows.stack import RunningStack, processes, send, wait_until

#: a webhook is worked off by then, though no worker runs: patience, a tick, the start of a stand-in
SWEPT_S = 15.0
#: the same while the stand-in is frozen too
HELPED_S = 25.0
#: a frozen stand-in is gone by then: its lease, and some ticks
KILLED_S = 40.0


class Witness:
    """A shop of an organization of its own, whose webhooks should be worked off soon."""

    def __init__(self, stack: RunningStack) -> None:
        self._stack = stack
        self._organization = f"witness-{random.randrange(10**9)}"
        history = two_shops(random.randrange(10**6), 60)
        self._shop = history[0][0]
        self._deliveries = [delivery for shop, delivery in history if shop is self._shop]
        self._url = stack.connect(
            self._shop.domain, secret=self._shop.secret, source="witness", organization=self._organization
        )

    def takes_s(self, limit_s: float) -> float:
        """Send a webhook and return after how long it is worked off; the limit if it never is."""
        began = time.monotonic()
        send([(self._url, self._deliveries.pop(0))])
        with suppress(AssertionError):
            self._stack.settled(self._organization, timeout=limit_s)
        return time.monotonic() - began


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Freeze the workers, then the stand-in as well."""
    witness = Witness(stack)
    stopped = stack.stop_workers()
    frozen: list[int] = []
    try:
        first = [witness.takes_s(2 * SWEPT_S) for _ in range(4 if full else 2)]
        yield Finding(
            "every worker is frozen while webhooks come",
            f"each is worked off within {SWEPT_S:.0f} s, by a stand-in",
            f"{max(first):.1f} s at most, {min(first):.1f} s at best",
            max(first) < SWEPT_S and bool(stand_ins(stack)),
        )
        frozen = stand_ins(stack)
        frozen_at = time.monotonic()
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        took = witness.takes_s(2 * HELPED_S)
        yield Finding(
            "the stand-in is frozen as well",
            f"a webhook is worked off within {HELPED_S:.0f} s",
            f"{took:.1f} s",
            took < HELPED_S,
        )
        if full:
            with suppress(AssertionError):
                wait_until(lambda: not set(frozen) & set(stand_ins(stack)), 2 * KILLED_S)
            took = time.monotonic() - frozen_at
            yield Finding(
                "a stand-in stays frozen", f"it is killed within {KILLED_S:.0f} s", f"{took:.1f} s", took < KILLED_S
            )
    finally:
        for pid in frozen:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        stack.continue_workers(stopped)


def stand_ins(stack: RunningStack) -> list[int]:
    """Return the process ids of the stand-ins of a stack."""
    return [pid for pid, line in processes() if "worker.stand_in drain" in line and stack.is_ours(pid)]
