"""Report: how many people an upgrade parts, brings together, or lets be written to otherwise than before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

#: what is counted, in the order in which it is told: contacts of before
COUNTED = {
    "part": "contacts that become several people",
    "meet": "contacts that become one person with others",
    "go": "contacts that nobody is left of: only mentioned, or deleted at their source",
    "more": "contacts to whom something may be sent that could not be sent before",
    "less": "contacts to whom something may no longer be sent",
}


@dataclass(slots=True)
class Report:
    """Counts of contacts of before, and examples by id. It has no names and no addresses."""

    most_examples: int
    records: int = 0
    contacts: int = 0
    entries: int = 0  #: of the change log
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    examples: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in COUNTED})

    @classmethod
    def of(cls, shown: Mapping[str, Any], most_examples: int) -> "Report":
        """Return the report that ``shown`` made."""
        counts = {name: shown.get(name, {}).get("count", 0) for name in COUNTED}
        examples = {name: list(shown.get(name, {}).get("examples", ())) for name in COUNTED}
        whole = (shown.get("records", 0), shown.get("contacts", 0), shown.get("entries", 0))
        return cls(most_examples, *whole, counts, examples)

    def add(self, name: str, example: Any) -> None:
        """Count a contact, and keep it as an example if there are few."""
        self.counts[name] += 1
        if len(self.examples[name]) < self.most_examples:
            self.examples[name].append(example)

    def shown(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        whole = {"records": self.records, "contacts": self.contacts, "entries": self.entries}
        return whole | {name: {"count": self.counts[name], "examples": self.examples[name]} for name in COUNTED}

    def rows(self) -> Sequence[tuple[str, int, str]]:
        """Return what is counted, how often, and what it means."""
        return [(name, self.counts[name], meaning) for name, meaning in COUNTED.items()]
