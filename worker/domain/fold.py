"""Fold: what one source says about one customer, whatever the order in which it was said.

A record is a set of registers, each with a stamp. A register takes a value only if the value's stamp is greater. So
folding is commutative, associative and idempotent, and batches, retries, several workers and replays need no order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from worker.domain.registers import CREATED, is_identifier
from worker.domain.statements import (
    ProfileStatement,
    RecordStatement,
    RemovalStatement,
    TagSnapshotStatement,
    TagsStatement,
)
from worker.domain.terms import Claim, Kind, Stamp


@dataclass(slots=True)
class Record:
    """What one source says about one customer."""

    source: str
    external_id: str
    kind: Kind
    registers: dict[str, tuple[Stamp, Any]] = field(default_factory=dict)
    tags: dict[str, tuple[Stamp, bool, str]] = field(default_factory=dict)
    snapshot: tuple[Stamp, dict[str, str]] | None = None
    seen: Stamp | None = None
    removed: Stamp | None = None
    _claims: dict[tuple[str, str], Claim] | None = field(default=None, compare=False, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether the customer was not removed, or was seen since. A record that was only mentioned counts as live."""
        return self.removed is None or (self.seen is not None and self.seen > self.removed)

    def effective(self) -> dict[str, tuple[Stamp, Any]]:
        """Return the registers that count: none of a removed record, and none as old as a removal."""
        if not self.is_live:
            return {}
        if self.removed is None:
            return self.registers
        return {name: register for name, register in self.registers.items() if register[0] > self.removed}

    def effective_tags(self) -> dict[str, tuple[Stamp, str]]:
        """Return the tags that count, by key: the stamp and the spelling of each."""
        if not self.is_live:
            return {}
        floor = self.removed
        present: dict[str, tuple[Stamp, str]] = {}
        since = None
        if self.snapshot is not None and (floor is None or self.snapshot[0] > floor):
            since, names = self.snapshot
            present = {key: (since, name) for key, name in names.items()}
        for key, (stamp, is_present, name) in self.tags.items():
            if (since is not None and _is_older(stamp, since)) or (floor is not None and stamp <= floor):
                continue
            if is_present:
                present[key] = (stamp, name)
            else:
                present.pop(key, None)
        return present

    def content(self) -> tuple[bool, dict[str, Any], dict[str, str]]:
        """Return what the record says, without its times: whether it is live, its values and its tags."""
        values = {
            name: tuple(value) if value is not None and is_identifier(name) else value  # JSON has made a list of it
            for name, (_, value) in self.effective().items()
        }
        return (self.is_live, values, {key: name for key, (_, name) in self.effective_tags().items()})

    def created(self) -> int | None:
        """Creation at the source in microseconds, if the source said."""
        register = self.effective().get(CREATED)
        return None if register is None else register[1]

    def claims(self) -> dict[tuple[str, str], Claim]:
        """Return the identifiers that the record claims, by (type, key); kept until something changes."""
        if self._claims is None:
            claims = self._claims = {}
            effective = self.effective()
            for name in _identifiers(tuple(effective)):
                value = effective[name][1]
                if value is not None:
                    claim = Claim(*value)
                    known = claims.get(claim[:2])
                    if known is None or claim.is_verified > known.is_verified:
                        claims[claim[:2]] = claim
        return self._claims


# Most customers of one source have the same registers in the same order.
@lru_cache(maxsize=1024)
def _identifiers(registers: tuple[str, ...]) -> Sequence[str]:
    """Return the registers that hold identifiers, sorted: of two spellings of one value the first one is shown."""
    return sorted(name for name in registers if is_identifier(name))


@lru_cache(maxsize=1024)
def _in_order(registers: tuple[str, ...]) -> Sequence[str]:
    return sorted(registers)


def fold(record: Record, statements: Iterable[RecordStatement]) -> bool:
    """Let a record take in statements about it, in place; return whether anything changed.

    A statement that the record knows, or that is older than what the record holds, changes nothing.
    """
    changed = False
    for statement in statements:
        changed |= _FOLDS[type(statement)](record, statement)
    if changed:
        record._claims = None  # noqa: SLF001 - folding is the one way a record changes
    return changed


def repeats(record: Record, statements: Iterable[RecordStatement]) -> bool:
    """Whether statements plainly say what a record says already, perhaps at a later time.

    Returns False if only folding can tell. Call it before folding.
    """
    if record.removed is not None or record.tags:
        return False
    registers = record.registers
    for statement in statements:
        if type(statement) is ProfileStatement:
            for name, value in statement.registers.items():
                known = registers.get(name)
                if known is None or not _is_same(known[1], value):
                    return False
        elif type(statement) is TagSnapshotStatement:
            if record.snapshot is None or record.snapshot[1] != statement.tags:
                return False
        else:
            return False
    return True


def _is_same(known: Any, value: Any) -> bool:
    return bool(known == value) or (type(known) is list and tuple(known) == value)  # JSON has made a list of a claim


def withdraw(record: Record, envelope_id: str) -> None:
    """Take back everything that an envelope (by its id in hex) stated, before it is normalised anew."""

    def of_others(stamp: Stamp | None) -> bool:
        return stamp is not None and stamp.envelope_id != envelope_id

    record._claims = None  # noqa: SLF001 - as in fold
    record.registers = {name: kept for name, kept in record.registers.items() if of_others(kept[0])}
    record.tags = {key: kept for key, kept in record.tags.items() if of_others(kept[0])}
    record.snapshot = record.snapshot if record.snapshot and of_others(record.snapshot[0]) else None
    record.seen = record.seen if of_others(record.seen) else None
    record.removed = record.removed if of_others(record.removed) else None


def _state(record: Record, statement: ProfileStatement) -> bool:
    stamp = statement.stamp
    registers = record.registers
    if not registers:  # most customers are stated once
        record.registers = {name: (stamp, value) for name, value in statement.registers.items()}
        changed = bool(record.registers)
    else:
        changed = False
        for name, value in statement.registers.items():
            known = registers.get(name)
            if known is None or stamp > known[0]:
                registers[name] = (stamp, value)
                changed = True
    if statement.exists and (record.seen is None or stamp > record.seen):
        record.seen = stamp
        changed = True
    return changed


def _remove(record: Record, statement: RemovalStatement) -> bool:
    if record.removed is not None and statement.stamp <= record.removed:
        return False
    record.removed = statement.stamp
    return True


def _is_older(delta: Stamp, snapshot: Stamp) -> bool:
    """Whether a change of tags is older than a whole set of them; a change of the same time is not.

    Sources tell times in whole seconds. A tag that was changed just after the set was read is in no later statement; a
    tag that was changed just before is in the set already. Keeping the change is right in both cases.
    """
    return delta <= snapshot if not delta.occurred else delta.occurred < snapshot.occurred


def _tag(record: Record, statement: TagsStatement) -> bool:
    if record.snapshot is not None and _is_older(statement.stamp, record.snapshot[0]):
        return False
    changed = False
    for key, name in statement.tags.items():
        known = record.tags.get(key)
        if known is None or statement.stamp > known[0]:
            record.tags[key] = (statement.stamp, statement.present, name)
            changed = True
    return changed


def _read_tags(record: Record, statement: TagSnapshotStatement) -> bool:
    if record.snapshot is not None and statement.stamp <= record.snapshot[0]:
        return False
    record.snapshot = (statement.stamp, dict(statement.tags))
    # The set overrules older changes for ever. Only a replay could revive them by taking the set back, and a replay
    # normalises the kept envelopes again.
    record.tags = {key: kept for key, kept in record.tags.items() if not _is_older(kept[0], statement.stamp)}
    return True


_FOLDS: Mapping[type, Callable[[Record, Any], bool]] = {
    ProfileStatement: _state,
    RemovalStatement: _remove,
    TagsStatement: _tag,
    TagSnapshotStatement: _read_tags,
}


def encode(record: Record) -> dict[str, Any]:
    """Return a record's state as JSON values. Each stamp is stored once, and registers refer to it by index."""
    stamps: dict[Stamp, int] = {}

    def index_of(stamp: Stamp) -> int:
        return stamps.setdefault(stamp, len(stamps))

    registers: dict[str, tuple[int, Any]] = {}
    last, place = None, 0
    for name in _in_order(tuple(record.registers)):
        stamp, value = record.registers[name]
        if stamp is not last:  # most values of a record come from one statement
            last, place = stamp, index_of(stamp)
        registers[name] = (place, value)
    state: dict[str, Any] = {"r": registers}
    if record.tags:
        state["t"] = {
            key: [index_of(stamp), present, name] for key, (stamp, present, name) in sorted(record.tags.items())
        }
    if record.snapshot is not None:
        state["n"] = [index_of(record.snapshot[0]), record.snapshot[1]]
    if record.seen is not None:
        state["v"] = index_of(record.seen)
    if record.removed is not None:
        state["x"] = index_of(record.removed)
    state["s"] = [tuple(stamp) for stamp in stamps]
    return state


def decode(source: str, external_id: str, kind: Kind, state: Mapping[str, Any]) -> Record:
    """Return the record whose state ``encode`` made."""
    stamps = [Stamp(*stamp) for stamp in state["s"]]
    record = Record(source, external_id, kind)
    record.registers = {name: (stamps[at], value) for name, (at, value) in state["r"].items()}
    if "t" in state:
        record.tags = {key: (stamps[at], present, name) for key, (at, present, name) in state["t"].items()}
    if "n" in state:
        at, names = state["n"]
        record.snapshot = (stamps[at], names)
    if "v" in state:
        record.seen = stamps[state["v"]]
    if "x" in state:
        record.removed = stamps[state["x"]]
    return record
