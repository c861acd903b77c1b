"""Invented people, who may become customers of one simulated shop or of several.

Nobody here exists: e-mails are of example.com and example.org, numbers are drawn.
"""

import random
from dataclasses import dataclass

_FIRST = ("Budi", "Siti", "Dewi", "Agus", "Emma", "Noah", "Zoë", "Lukas", "Jürgen", "Anneliese", "João", "Beatriz")
_LAST = ("Santoso", "Wijaya", "O'Neill", "Miller", "Strauß", "Köhler", "Gonçalves", "da Silva", "Halim", "Baker")
#: country, calling code, first digits of a mobile number, how many more, what the number begins with at home
_NUMBERS = ("ID +62 812 8 0", "US +1 613555 4 ", "DE +49 151 8 0", "BR +55 119 8 0")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may become a customer, of one shop or of several."""

    first_name: str
    last_name: str
    email: str
    phone: str  #: E.164
    national: str  #: the same as people write it at home
    country: str


def people(seed: int, n: int, *, start: int = 0) -> list[Person]:
    """Invent ``n`` people, from number ``start`` on; a number is the same person in every pool of a seed."""
    return [_person(seeded(seed, f"person {number}"), number) for number in range(start, start + n)]


def seeded(seed: int, name: str) -> random.Random:
    """Return a generator that draws the same for the same seed and name."""
    return random.Random(f"{seed}:{name}")  # noqa: S311 - drawn again the same way, not a secret


def _person(rng: random.Random, number: int) -> Person:
    first, last, host = rng.choice(_FIRST), rng.choice(_LAST), rng.choice(("example.com", "example.org"))
    country, code, start, digits, trunk = rng.choice(_NUMBERS).split(" ")
    rest = "".join(rng.choices("0123456789", k=int(digits)))
    mailbox = "".join(c for c in f"{first}.{last}".lower() if c == "." or (c.isascii() and c.isalpha()))
    return Person(first, last, f"{mailbox}{number}@{host}", f"{code}{start}{rest}", f"{trunk}{start} {rest}", country)
