"""Record state: a record as JSON values, and back."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from worker.domain.record import Record
from worker.domain.terms import Kind, Stamp


@lru_cache(maxsize=1024)
def _in_order(registers: tuple[str, ...]) -> Sequence[str]:
    return sorted(registers)


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
    for key, at in (("v", record.seen), ("x", record.removed), ("e", record.erased), ("w", record.voided)):
        if at is not None:
            state[key] = index_of(at)
    if record.deleted is not None:
        state["d"] = record.deleted
    _add_past(state, record, index_of)
    _add_limits(state, record, index_of)
    state["s"] = [tuple(stamp) for stamp in stamps]
    return state


def _add_past(state: dict[str, Any], record: Record, index_of: Callable[[Stamp], int]) -> None:
    if record.past_names:
        state["a"] = {name: index_of(stamp) for name, stamp in sorted(record.past_names.items())}
    if record.claimed:
        claimed = sorted(record.claimed.items())
        state["c"] = [[*ident, index_of(first), index_of(last)] for ident, (first, last) in claimed]


#: keys of what limits.py keeps; few records have any
_LIMITS = ("z", "f", "ft", "fc")


def _add_limits(state: dict[str, Any], record: Record, index_of: Callable[[Stamp], int]) -> None:
    if record.sizes:
        sizes = sorted(record.sizes.items())
        state["z"] = {name: [[index_of(at), size] for at, size in found] for name, found in sizes}
    if record.fields_floor is not None:
        state["f"] = [index_of(record.fields_floor[0]), record.fields_floor[1]]
    for key, at in (("ft", record.tags_floor), ("fc", record.claims_floor)):
        if at is not None:
            state[key] = index_of(at)


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
    if "e" in state:
        record.erased = stamps[state["e"]]
    if "w" in state:
        record.voided = stamps[state["w"]]
    record.deleted = state.get("d")
    if "a" in state:
        record.past_names = {name: stamps[at] for name, at in state["a"].items()}
    if not state.keys().isdisjoint(_LIMITS):
        _decode_limits(record, state, stamps)
    if "c" in state:
        record.claimed = {(kind, key): (stamps[first], stamps[last]) for kind, key, first, last in state["c"]}
    return record


def _decode_limits(record: Record, state: Mapping[str, Any], stamps: Sequence[Stamp]) -> None:
    record.sizes = {name: [(stamps[at], size) for at, size in found] for name, found in state.get("z", {}).items()}
    if "f" in state:
        record.fields_floor = (stamps[state["f"][0]], state["f"][1])
    if "ft" in state:
        record.tags_floor = stamps[state["ft"]]
    if "fc" in state:
        record.claims_floor = stamps[state["fc"]]
