"""Fold: what one source says about one customer, whatever the order in which it was said.

A record is a set of registers, each with a stamp. A register takes a value only if the value's stamp is greater. So
folding is commutative, associative and idempotent, and batches, retries, several workers and replays need no order.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from worker.domain.past import History, name_in, name_of, reach
from worker.domain.registers import ABOUT, CREATED, FIRST_NAME, LAST_NAME, NAME, is_identifier
from worker.domain.statements import (
    ProfileStatement,
    RecordStatement,
    RemovalStatement,
    TagSnapshotStatement,
    TagsStatement,
)
from worker.domain.terms import CLAIM, EVIDENCE, FORMER, LAST, Claim, Ident, Kind, Ref, Stamp, Tie, key_of_guest


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
    #: names that were said and that the registers no longer hold, with the last stamp of each
    past_names: dict[str, Stamp] = field(default_factory=dict)
    #: when an identifier was first and last claimed, where the registers do not tell; nobody takes anything off it
    claimed: History = field(default_factory=dict)
    _claims: dict[tuple[str, str], Claim] | None = field(default=None, compare=False, repr=False)
    _ties: dict[Ident, Tie] | None = field(default=None, compare=False, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether the customer was seen, and not removed since. A record that was only mentioned is nobody yet."""
        return self.seen is not None and (self.removed is None or self.seen > self.removed)

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (self.source, self.external_id)

    def effective(self) -> dict[str, tuple[Stamp, Any]]:
        """Return the registers that count: none of a record that is not live, and none as old as a removal.

        When its source created the customer counts in any case.
        """
        if self.seen is None:
            return {}
        if self.removed is None:
            return self.registers
        if not self.seen > self.removed:
            return {}
        floor = self.removed
        return {name: held for name, held in self.registers.items() if held[0] > floor or name == CREATED}

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

    def content(self) -> tuple[object, ...]:
        """Return what the record says, without its times: whether it is live, its values, its tags and its past.

        Of the past it returns whatever a later repetition leaves as it is.
        """
        values = {
            name: tuple(value) if value is not None and is_identifier(name) else value  # JSON has made a list of it
            for name, (_, value) in self.effective().items()
        }
        tags = {key: name for key, (_, name) in self.effective_tags().items()}
        return (self.seen is not None, self.is_live, values, tags, self._past(), self.names())

    def _past(self) -> Sequence[object]:
        """Return the first claim of each identifier, and the last of those that are claimed no more."""
        held = {tuple(value[:2]) for name in _identifiers(tuple(self.registers)) if (value := self.registers[name][1])}
        return sorted((i, first, None if i in held else last) for i, (first, last) in self.history().items())

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

    def names(self) -> set[str]:
        """Return every name that the record has ever said: nobody loses a name by taking another."""
        _, name = self.newest_name()
        return {*self.past_names, name} if name else set(self.past_names)

    def newest_name(self) -> tuple[Stamp | None, str]:
        """Return the name that the registers tell, and its stamp; empty if a withdrawal has left only parts of it."""
        since, name = name_of(self.registers)
        return (None, "") if since in self.past_names.values() else (since, name)

    def history(self) -> History:
        """Return when each identifier was first and last claimed, of all that the record ever claimed."""
        return _add_claims(dict(self.claimed), self.registers)

    def former_claims(self) -> dict[Ident, Stamp]:
        """Return the identifiers that a live record claimed once and claims no more, with the last time of each."""
        present = self.claims()
        return {ident: last for ident, (_, last) in self.history().items() if ident not in present}

    def last_claims(self) -> dict[Ident, Claim]:
        """Return what a removed record claimed when it was removed; nothing of others."""
        if self.removed is None or self.seen is None or self.seen > self.removed:
            return {}
        held: dict[Ident, Claim] = {}
        for name in _identifiers(tuple(self.registers)):
            stamp, value = self.registers[name]
            if value is not None and stamp <= self.removed:
                claim = Claim(*value)
                held.setdefault(claim[:2], claim)
        return held

    def ties(self) -> Mapping[Ident, Tie]:
        """Return everything that may place the record beside others; kept until something changes.

        A guest claims what it is keyed by, and what else it gave is evidence.
        """
        if self._ties is None:
            self._ties = self._find_ties()
        return self._ties

    def _find_ties(self) -> dict[Ident, Tie]:
        key = key_of_guest(self.ref) if self.kind == "guest" else None
        if not self.is_live:
            last = {} if self.kind == "edit" else self.last_claims()
            return {i: Tie(LAST, claim.value, is_verified=False) for i, claim in last.items() if key in (None, i)}
        ties: dict[Ident, Tie] = {}
        effective = self.effective()
        for name in _identifiers(tuple(effective)):
            claimed = effective[name][1]
            if claimed is not None:
                kind, at, value, is_verified = claimed
                ident, known = (kind, at), ties.get((kind, at))
                if known is None or (is_verified and not known.is_verified):
                    ties[ident] = Tie(CLAIM if key is None or key == ident else EVIDENCE, value, is_verified)
        if self.claimed and self.kind in ("customer", "person"):
            for ident in self.former_claims():
                ties[ident] = Tie(FORMER, ident[1], is_verified=False)
        return ties

    def about(self) -> tuple[Ref, ...]:
        """Return the records that an edit is about, in the order in which their contact had them."""
        register = self.registers.get(ABOUT)
        return () if register is None or not register[1] else tuple((one[0], one[1]) for one in register[1])


# Most customers of one source have the same registers in the same order.
@lru_cache(maxsize=1024)
def _identifiers(registers: tuple[str, ...]) -> Sequence[str]:
    """Return the registers that hold identifiers, sorted: of two spellings of one value the first one is shown."""
    return sorted(name for name in registers if is_identifier(name))


def _add_claims(history: History, registers: Mapping[str, tuple[Stamp, Any]]) -> History:
    for name in _identifiers(tuple(registers)):
        stamp, value = registers[name]
        if value is not None:
            reach(history, (value[0], value[1]), stamp)
    return history


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
        record._claims = record._ties = None  # noqa: SLF001 - folding is the one way a record changes
    return changed


def repeats(record: Record, statements: Iterable[RecordStatement]) -> bool:
    """Whether statements plainly say what a record says already, perhaps at a later time.

    Returns False if only folding can tell. Call it before folding.
    """
    if record.removed is not None or record.tags or record.seen is None:
        return False
    return all(_is_repeated(record, statement) for statement in statements)


def _is_repeated(record: Record, statement: RecordStatement) -> bool:
    if type(statement) is TagSnapshotStatement:
        return record.snapshot is not None and record.snapshot[1] == statement.tags
    if type(statement) is not ProfileStatement:
        return False
    said = name_in(statement.registers)
    if said and said not in record.names():
        return False  # it is a part of the name
    for name, value in statement.registers.items():
        known = record.registers.get(name)
        if known is None or not _is_same(known[1], value):
            return False
        if name[0] == "@" and statement.stamp < known[0]:
            return False  # it was claimed earlier than was known
    return True


def _is_same(known: Any, value: Any) -> bool:
    return bool(known == value) or (type(known) is list and tuple(known) == value)  # JSON has made a list of a claim


def withdraw(record: Record, envelope_id: str) -> None:
    """Take back everything that an envelope (by its id in hex) stated, before it is normalised anew."""

    def of_others(stamp: Stamp | None) -> bool:
        return stamp is not None and stamp.envelope_id != envelope_id

    record._claims = record._ties = None  # noqa: SLF001 - as in fold
    record.registers = {name: kept for name, kept in record.registers.items() if of_others(kept[0])}
    record.tags = {key: kept for key, kept in record.tags.items() if of_others(kept[0])}
    record.past_names = {name: stamp for name, stamp in record.past_names.items() if of_others(stamp)}
    record.claimed = {ident: times for ident, times in record.claimed.items() if all(map(of_others, times))}
    record.snapshot = record.snapshot if record.snapshot and of_others(record.snapshot[0]) else None
    record.seen = record.seen if of_others(record.seen) else None
    record.removed = record.removed if of_others(record.removed) else None


def _state(record: Record, statement: ProfileStatement) -> bool:
    stamp = statement.stamp
    registers = record.registers
    if not registers and not record.claimed and not record.past_names:  # most customers are stated once
        record.registers = {name: (stamp, value) for name, value in statement.registers.items()}
        changed = bool(record.registers)
    elif _says_the_same(record, statement):
        changed = bool(statement.registers)
        for name, value in statement.registers.items():
            if name[0] == "@" and value is not None:
                ident, since = (value[0], value[1]), registers[name][0]
                record.claimed[ident] = (record.claimed.get(ident, (since,))[0], stamp)
            if name != CREATED or name not in registers or value <= registers[name][1]:
                registers[name] = (stamp, value)
    else:
        changed = False
        past = (dict(record.past_names), dict(record.claimed))
        _remember(record, statement)
        for name, value in statement.registers.items():
            known = registers.get(name)
            if known is None or (stamp > known[0] if name != CREATED else _is_earlier(stamp, value, *known)):
                registers[name] = (stamp, value)
                changed = True
        _forget_what_registers_tell(record)
        changed |= past != (record.past_names, record.claimed)
    if statement.exists and (record.seen is None or stamp > record.seen):
        record.seen = stamp
        changed = True
    return changed


def _says_the_same(record: Record, statement: ProfileStatement) -> bool:
    """Whether a statement repeats names and identifiers, all of them and at a later time, as most statements do."""
    stamp, said, registers = statement.stamp, statement.registers, record.registers
    if record.past_names:
        return False
    claims = 0
    for name, (since, value) in registers.items():
        if name[0] == "@" or name in (NAME, FIRST_NAME, LAST_NAME):
            if name not in said or stamp <= since or not _is_same(value, said[name]):
                return False
            claims += name[0] == "@" and value is not None
        elif name in said and stamp <= since:
            return False
    idents = {(value[0], value[1]) for name, value in said.items() if name[0] == "@" and value is not None}
    return len(idents) == claims and all(
        name in registers for name in said if name[0] == "@" or name in (NAME, FIRST_NAME, LAST_NAME)
    )


def _is_earlier(stamp: Stamp, created: int, known_stamp: Stamp, known: int) -> bool:
    """Whether a customer is older than was known: a customer is as old as anybody says."""
    return created < known or (created == known and stamp > known_stamp)


def _remember(record: Record, statement: ProfileStatement) -> None:
    """Keep of a statement, and of what it replaces, which names were said and which identifiers were claimed when.

    Whatever comes in whichever order, what is kept and what the registers hold tell the same together.
    """
    stamp, said = statement.stamp, statement.registers
    if NAME in said or FIRST_NAME in said or LAST_NAME in said:
        for since, name in (record.newest_name(), (stamp, name_in(said))):
            if name and since is not None and (name not in record.past_names or since > record.past_names[name]):
                record.past_names[name] = since
    claims = [value for name, value in said.items() if value is not None and is_identifier(name)]
    if claims or any(is_identifier(name) for name in said):
        record.claimed = record.history()
        for value in claims:
            reach(record.claimed, (value[0], value[1]), stamp)


def _forget_what_registers_tell(record: Record) -> None:
    """Keep nothing twice: equal histories have to be stored alike."""
    if record.past_names:
        since, name = name_of(record.registers)
        if name and record.past_names.get(name) == since:
            del record.past_names[name]
    if record.claimed:
        told = _add_claims({}, record.registers)
        record.claimed = {ident: times for ident, times in record.claimed.items() if told.get(ident) != times}


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
    if record.past_names:
        state["a"] = {name: index_of(stamp) for name, stamp in sorted(record.past_names.items())}
    if record.claimed:
        state["c"] = [
            [*ident, index_of(first), index_of(last)] for ident, (first, last) in sorted(record.claimed.items())
        ]
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
    if "a" in state:
        record.past_names = {name: stamps[at] for name, at in state["a"].items()}
    if "c" in state:
        record.claimed = {(kind, key): (stamps[first], stamps[last]) for kind, key, first, last in state["c"]}
    return record
