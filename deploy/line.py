"""A line of the trial's table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """What was tried, what came of it, and whether it is as promised."""

    what: str
    found: str
    is_good: bool = True
