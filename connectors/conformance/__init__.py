"""What every connector owes, asked of one with its own examples: for its author, and for our tests.

``contactsync connectors check NAME`` runs it. Nothing is random and nothing leaves the process. A reason names the
check's example and field and never quotes a value, because who develops a connector may judge it by real requests.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from connectors.conformance import readers, translation, webhooks
from connectors.conformance.examples import Example, Provider, Simulator, examples_of, simulator_of, written
from connectors.conformance.subject import BrokenError, NotCheckedError, Subject, called

__all__ = ["CHECKS", "Example", "Finding", "Provider", "check", "judge", "subject_of", "written"]

#: by name: ``parse.odd_values``; the first line of each's docstring is the promise
CHECKS: Mapping[str, Callable[[Subject], None]] = {**webhooks.CHECKS, **translation.CHECKS, **readers.CHECKS}


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of one check."""

    check: str
    state: Literal["passed", "failed", "not checked"]
    reason: str = ""  #: of what did not pass


def subject_of(
    connector: Any,
    *,
    registered: str | None = None,
    examples: Sequence[Example] = (),
    simulator: Simulator | None = None,
) -> Subject:
    """Gather what a connector is judged by: what it brings along, and the examples and simulator given here."""
    return Subject(
        connector=connector,
        registered=registered if registered is not None else str(getattr(connector, "name", "")),
        examples=[*examples_of(connector), *examples],
        simulator=simulator or simulator_of(connector),
    )


def check(subject: Subject) -> list[Finding]:
    """Run every check; those of reading only if the connector can be read."""
    is_read = hasattr(subject.connector, "read")
    return [judge(subject, name) for name in CHECKS if is_read or name not in readers.CHECKS]


def judge(subject: Subject, name: str) -> Finding:
    """Run one check."""
    try:
        called(name, lambda: CHECKS[name](subject))
    except BrokenError as error:
        return Finding(name, "failed", str(error))
    except NotCheckedError as error:
        return Finding(name, "not checked", str(error))
    return Finding(name, "passed")
