"""The requests that a simulated shop sends, and the disorder in which they arrive."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request as a shop sends it."""

    topic: str  #: as the connector's receipt names it: ``customers/update``, ``Customer/update``
    headers: dict[str, str]
    body: bytes


def disturbed(deliveries: Sequence[T], rng: random.Random, most: int = 4) -> list[T]:
    """Return the deliveries in any order, each 1 to ``most`` times: true redeliveries, headers and all."""
    repeated = [delivery for delivery in deliveries for _ in range(rng.randint(1, most))]
    return rng.sample(repeated, len(repeated))
