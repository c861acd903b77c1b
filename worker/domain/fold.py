"""Fold: what one source says about one customer, whatever the order in which it was said.

A record is a set of registers, each with a stamp. A register takes a value only if the value's stamp is greater. So
folding is commutative, associative and idempotent, and batches, retries, several workers and replays need no order.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from worker.domain.limits import MAX_TAGS, bound, note_sizes
from worker.domain.past import name_in, name_of, reach
from worker.domain.record import Record, add_claims, is_older
from worker.domain.registers import CREATED, FIRST_NAME, LAST_NAME, NAME, is_identifier
from worker.domain.statements import (
    ProfileStatement,
    RecordStatement,
    RemovalStatement,
    TagSnapshotStatement,
    TagsStatement,
)
from worker.domain.terms import Stamp

_NAMES = (NAME, FIRST_NAME, LAST_NAME)


def fold(record: Record, statements: Iterable[RecordStatement]) -> bool:
    """Let a record take in statements about it, in place; return whether anything changed.

    A statement that the record knows, or that is older than what the record holds, changes nothing.
    """
    changed = False
    record.pushed_out.clear()
    for statement in statements:
        changed |= _FOLDS[type(statement)](record, statement)
    if changed:
        bound(record)
        record._claims = record._ties = None  # noqa: SLF001 - folding is the one way a record changes
    return changed


def repeats(record: Record, statements: Iterable[RecordStatement]) -> bool:
    """Whether statements plainly say what a record says already, perhaps at a later time.

    Returns False if only folding can tell. Call it before folding.
    """
    if record.removed is not None or record.deleted is not None or record.tags or record.seen is None:
        return False
    return all(_is_repeated(record, statement) for statement in statements)


def _is_repeated(record: Record, statement: RecordStatement) -> bool:
    if type(statement) is TagSnapshotStatement:
        return record.snapshot is not None and record.snapshot[1] == statement.tags
    if type(statement) is not ProfileStatement:
        return False
    registers, stamp = record.registers, statement.stamp
    if not _says_all_of_the_name(record, statement.registers):
        said = name_in(statement.registers)
        if said and said not in record.names():
            return False  # it is a part of the name
    for name, value in statement.registers.items():
        known = registers.get(name)
        if known is None or (known[1] != value and not _is_same(known[1], value)):
            return False
        if name[0] == "@" and stamp < known[0]:
            return False  # it was claimed earlier than was known
    return True


def _says_all_of_the_name(record: Record, said: Mapping[str, Any]) -> bool:
    """Return whether the stored name comes from one statement, and this one has all of its parts. Most have."""
    stamps = [record.registers[part][0] for part in _NAMES if part in record.registers]
    parts = sum(part in said for part in _NAMES)
    return len(stamps) == parts and all(stamp is stamps[0] for stamp in stamps)


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
    sizes = {name: [one for one in found if of_others(one[0])] for name, found in record.sizes.items()}
    record.sizes = {name: found for name, found in sizes.items() if found}
    record.fields_floor = record.tags_floor = record.claims_floor = None  # what is read again is bounded again
    record.snapshot = record.snapshot if record.snapshot and of_others(record.snapshot[0]) else None
    record.seen = record.seen if of_others(record.seen) else None
    record.removed = record.removed if of_others(record.removed) else None
    record.erased = record.erased if of_others(record.erased) else None


def _state(record: Record, statement: ProfileStatement) -> bool:
    stamp = statement.stamp
    registers = record.registers
    if not registers and not record.claimed and not record.past_names:  # most customers are stated once
        record.registers = {name: (stamp, value) for name, value in statement.registers.items()}
        changed = bool(record.registers)
    elif _says_the_same(record, statement):
        changed = False
        for name, value in statement.registers.items():
            if name[0] == "@" and value is not None:
                ident, since = (value[0], value[1]), registers[name][0]
                record.claimed[ident] = (record.claimed.get(ident, (since,))[0], stamp)
            if name != CREATED or name not in registers or value <= registers[name][1]:
                registers[name] = (stamp, value)
                changed = True
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
    changed |= note_sizes(record, stamp, statement.registers)
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
    passed: Stamp | None = None  #: the statement is newer than this
    for name, (since, value) in registers.items():
        if since is not passed and name in said:  # most registers have the same
            if stamp <= since:
                return False
            passed = since
        if name[0] == "@" or name in _NAMES:
            if name not in said or name[-1] == "?" or (value != said[name] and not _is_same(value, said[name])):
                return False
            claims += name[0] == "@" and value is not None
    idents = {(value[0], value[1]) for name, value in said.items() if name[0] == "@" and value is not None}
    return len(idents) == claims and all(name in registers for name in said if name[0] == "@" or name in _NAMES)


def _is_earlier(stamp: Stamp, created: int, known_stamp: Stamp, known: int) -> bool:
    """Whether a customer is older than was known: a customer is as old as anybody says."""
    return created < known or (created == known and stamp > known_stamp)


def _remember(record: Record, statement: ProfileStatement) -> None:
    """Keep of a statement, and of what it replaces, which names were said and which identifiers were claimed when.

    Whatever comes in whichever order, what is kept and what the registers hold tell the same together.
    """
    stamp, said = statement.stamp, statement.registers
    if NAME in said or FIRST_NAME in said or LAST_NAME in said:
        # One statement says one name; after a withdrawal the registers may have told a part of it.
        record.past_names = {name: since for name, since in record.past_names.items() if since != stamp}
        for since, name in (record.newest_name(), (stamp, name_in(said))):
            is_part = since == stamp and name != name_in(said)
            if is_part or not name or since is None:
                continue
            if name not in record.past_names or since > record.past_names[name]:
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
        told = add_claims({}, record.registers)
        record.claimed = {ident: times for ident, times in record.claimed.items() if told.get(ident) != times}


def _remove(record: Record, statement: RemovalStatement) -> bool:
    stamp, changed = statement.stamp, False
    if record.removed is None or stamp > record.removed:
        record.removed, changed = stamp, True
    if statement.erases and (record.erased is None or stamp > record.erased):
        record.erased, changed = stamp, True
    return changed


def _tag(record: Record, statement: TagsStatement) -> bool:
    if record.snapshot is not None and is_older(statement.stamp, record.snapshot[0]):
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
    record.snapshot = (statement.stamp, dict(list(statement.tags.items())[:MAX_TAGS]))
    # The set overrules older changes for ever. Only a replay could revive them by taking the set back, and a replay
    # normalises the kept envelopes again.
    record.tags = {key: kept for key, kept in record.tags.items() if not is_older(kept[0], statement.stamp)}
    return True


_FOLDS: Mapping[type, Callable[[Record, Any], bool]] = {
    ProfileStatement: _state,
    RemovalStatement: _remove,
    TagsStatement: _tag,
    TagSnapshotStatement: _read_tags,
}
