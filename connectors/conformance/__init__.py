"""The conformance suite: what every connector owes, checked with the connector's own examples.

Its author runs it with ``contactsync connectors check NAME``, our tests run it too. Nothing is random and nothing
leaves the process. A reason names the example and the field, and never quotes a value, because an author may use real
requests as examples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from connectors.conformance import readers, translation, webhooks
from connectors.conformance.examples import Example, Provider, Simulator, examples_of, simulator_of, written
from connectors.conformance.subject import BrokenError, NotCheckedError, Subject, called

__all__ = ["CHECKS", "Example", "Finding", "Provider", "check", "judge", "subject_of", "written"]

#: by name, such as ``parse.odd_values``; the first line of a check's docstring is the promise that it checks
CHECKS: Mapping[str, Callable[[Subject], None]] = {**webhooks.CHECKS, **translation.CHECKS, **readers.CHECKS}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    check: str
    state: Literal["passed", "failed", "not checked"]
    reason: str = ""  #: empty if the check passed


def subject_of(
    connector: Any,
    *,
    registered: str | None = None,
    examples: Sequence[Example] = (),
    simulator: Simulator | None = None,
) -> Subject:
    """Return the connector with everything to check it with: its own examples and simulator, and those given here."""
    return Subject(
        connector=connector,
        registered=registered if registered is not None else str(getattr(connector, "name", "")),
        examples=[*examples_of(connector), *examples],
        simulator=simulator or simulator_of(connector),
    )


def check(subject: Subject) -> list[Finding]:
    """Run every check; the checks of reading only if the connector has ``read``."""
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
