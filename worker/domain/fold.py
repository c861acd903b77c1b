"""Fold: what one source says about one customer, whatever order it said it in.

A record is a set of last-writer-wins registers, each with a stamp. A register takes a value only if
its stamp is greater, so folding is commutative, associative and idempotent: batches, retries, several
workers and replays need no ordering. Pure: no database, no clock.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: registers beside the profile fields
CREATED = "#created"  #: the record's creation at its source, microseconds
IDENTIFIER = "@"  #: prefix of an identifier's slot: ``@email``

Kind = Literal["customer", "guest"]


class Stamp(NamedTuple):
    """When and where something was said; compared as a whole, never by arrival.

    Times are microseconds since 1970, 0 for unknown (a baseline that beats nothing timed).
    """

    occurred: int
    sent: int
    delivery_id: str
    position: int
    envelope_id: str  #: hex; one to one with the delivery id, kept to explain the value


class Claim(NamedTuple):
    """An identifier in its normal form, with the proof the source has of it."""

    type: str
    key: str
    value: str
    is_verified: bool


@dataclass(slots=True)
class Stated:
    """Registers to set: profile fields by name, ``@slot`` for identifiers (a Claim or None)."""

    stamp: Stamp
    registers: Mapping[str, Any]
    exists: bool = True


@dataclass(slots=True)
class Removed:
    """The source deleted the customer."""

    stamp: Stamp


@dataclass(slots=True)
class Tagged:
    """Tags put on (``present``) or taken off; names by their case-folded key."""

    stamp: Stamp
    tags: Mapping[str, str]
    present: bool


@dataclass(slots=True)
class TagsRead:
    """The customer's tags, all of them."""

    stamp: Stamp
    tags: Mapping[str, str]


Statement = Stated | Removed | Tagged | TagsRead


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
        """Not removed, or seen again since; a record that was only mentioned counts as live."""
        return self.removed is None or (self.seen is not None and self.seen > self.removed)

    def effective(self) -> dict[str, tuple[Stamp, Any]]:
        """Registers as they read now: nothing of a removed record, nothing up to a removal."""
        if not self.is_live:
            return {}
        if self.removed is None:
            return self.registers
        return {name: register for name, register in self.registers.items() if register[0] > self.removed}

    def effective_tags(self) -> dict[str, tuple[Stamp, str]]:
        """Tags as they read now, by key: where each came from and how it is spelt."""
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

    def said(self) -> tuple[bool, dict[str, Any], dict[str, str]]:
        """What this record says, without when it was said: whether it is live, its values and its tags."""
        values = {
            name: tuple(value) if value is not None and name.startswith(IDENTIFIER) else value  # a list once stored
            for name, (_, value) in self.effective().items()
        }
        return (self.is_live, values, {key: name for key, (_, name) in self.effective_tags().items()})

    def created(self) -> int | None:
        """Creation at the source in microseconds, if the source said."""
        register = self.effective().get(CREATED)
        return None if register is None else register[1]

    def claims(self) -> dict[tuple[str, str], Claim]:
        """The identifiers this record claims, by (type, key); worked out once until something changes."""
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


# Customers of one source mostly have the same registers, in the same order.
@lru_cache(maxsize=1024)
def _identifiers(registers: tuple[str, ...]) -> Sequence[str]:
    """Those of these registers that hold identifiers, in one order: of two spellings of one value the first shows."""
    return sorted(name for name in registers if name.startswith(IDENTIFIER))


@lru_cache(maxsize=1024)
def _in_order(registers: tuple[str, ...]) -> Sequence[str]:
    return sorted(registers)


def fold(record: Record, statements: Iterable[Statement]) -> bool:
    """Let a record take in statements about it, in place; whether anything changed.

    A statement it already knows, or one older than what it holds, changes nothing.
    """
    changed = False
    for statement in statements:
        changed |= _FOLDS[type(statement)](record, statement)
    if changed:
        record._claims = None  # noqa: SLF001 - folding is the one way a record changes
    return changed


def repeats(record: Record, statements: Iterable[Statement]) -> bool:
    """Whether statements plainly say what a record says already, be it at a later time.

    False where it takes folding them to know. To be asked before.
    """
    if record.removed is not None or record.tags:
        return False
    registers = record.registers
    for statement in statements:
        if type(statement) is Stated:
            for name, value in statement.registers.items():
                known = registers.get(name)
                if known is None or not _is_same(known[1], value):
                    return False
        elif type(statement) is TagsRead:
            if record.snapshot is None or record.snapshot[1] != statement.tags:
                return False
        else:
            return False
    return True


def _is_same(known: Any, value: Any) -> bool:
    return bool(known == value) or (type(known) is list and tuple(known) == value)  # a claim, once stored


def withdraw(record: Record, envelope_id: str) -> None:
    """Take back everything an envelope stated, before it is read anew."""

    def of_others(stamp: Stamp | None) -> bool:
        return stamp is not None and stamp.envelope_id != envelope_id

    record._claims = None  # noqa: SLF001 - as in fold
    record.registers = {name: kept for name, kept in record.registers.items() if of_others(kept[0])}
    record.tags = {key: kept for key, kept in record.tags.items() if of_others(kept[0])}
    record.snapshot = record.snapshot if record.snapshot and of_others(record.snapshot[0]) else None
    record.seen = record.seen if of_others(record.seen) else None
    record.removed = record.removed if of_others(record.removed) else None


def microseconds(at: datetime | None) -> int:
    """Return a time as microseconds since 1970; 0 for none."""
    if at is None:
        return 0
    since = at - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds  # a division takes twice as long


def moment(at: int) -> datetime | None:
    """Return microseconds since 1970 as a time; None for 0."""
    return None if at == 0 else EPOCH + timedelta(microseconds=at)


def _state(record: Record, statement: Stated) -> bool:
    stamp = statement.stamp
    registers = record.registers
    if not registers:  # all that is said of most customers
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


def _remove(record: Record, statement: Removed) -> bool:
    if record.removed is not None and statement.stamp <= record.removed:
        return False
    record.removed = statement.stamp
    return True


def _is_older(delta: Stamp, snapshot: Stamp) -> bool:
    """Whether a set of tags was read after a delta: not, if both bear the same time.

    Sources tell times in whole seconds. A tag that is changed just after the set was read is in no later
    statement, and one that was changed just before is in the set already: keeping the delta is right in both cases.
    """
    return delta <= snapshot if not delta.occurred else delta.occurred < snapshot.occurred


def _tag(record: Record, statement: Tagged) -> bool:
    if record.snapshot is not None and _is_older(statement.stamp, record.snapshot[0]):
        return False
    changed = False
    for key, name in statement.tags.items():
        known = record.tags.get(key)
        if known is None or statement.stamp > known[0]:
            record.tags[key] = (statement.stamp, statement.present, name)
            changed = True
    return changed


def _read_tags(record: Record, statement: TagsRead) -> bool:
    if record.snapshot is not None and statement.stamp <= record.snapshot[0]:
        return False
    record.snapshot = (statement.stamp, dict(statement.tags))
    # Older deltas are overruled for ever. Only taking the snapshot back could revive them, and that
    # is done by a replay, which reads the kept envelopes again.
    record.tags = {key: kept for key, kept in record.tags.items() if not _is_older(kept[0], statement.stamp)}
    return True


_FOLDS: Mapping[type, Callable[[Record, Any], bool]] = {
    Stated: _state,
    Removed: _remove,
    Tagged: _tag,
    TagsRead: _read_tags,
}


def dump(record: Record) -> dict[str, Any]:
    """Write a record's state as JSON values; stamps are stored once and referred to by index."""
    stamps: dict[Stamp, int] = {}

    def at(stamp: Stamp) -> int:
        return stamps.setdefault(stamp, len(stamps))

    registers: dict[str, tuple[int, Any]] = {}
    last, place = None, 0
    for name in _in_order(tuple(record.registers)):
        stamp, value = record.registers[name]
        if stamp is not last:  # one statement gives most of a record's values
            last, place = stamp, at(stamp)
        registers[name] = (place, value)
    state: dict[str, Any] = {"r": registers}
    if record.tags:
        state["t"] = {key: [at(stamp), present, name] for key, (stamp, present, name) in sorted(record.tags.items())}
    if record.snapshot is not None:
        state["n"] = [at(record.snapshot[0]), record.snapshot[1]]
    if record.seen is not None:
        state["v"] = at(record.seen)
    if record.removed is not None:
        state["x"] = at(record.removed)
    state["s"] = [tuple(stamp) for stamp in stamps]
    return state


def load(source: str, external_id: str, kind: Kind, state: Mapping[str, Any]) -> Record:
    """Read a record's state as ``dump`` wrote it."""
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


def envelope_of(stamp: Stamp) -> UUID:
    """Return the envelope that made a statement."""
    return UUID(hex=stamp.envelope_id)
