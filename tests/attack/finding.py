"""What an attack found out."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from tests.flows.stack import RunningStack


class Finding(NamedTuple):
    """One attack, in words that a reader of the table understands without the code."""

    attack: str
    bound: str  #: what must hold
    measured: str  #: what was seen
    held: bool


class Attack(Protocol):
    """The shape of a module's ``attack``. A short one (``full=False``) takes a few seconds."""

    def __call__(self, stack: RunningStack, *, full: bool) -> Iterator[Finding]:
        """Attack the stack; what is left of it must work for the next attack."""
