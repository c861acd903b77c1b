"""Limits: how much of what is said about one customer a record keeps, so that no record grows until it hurts others.

The newest statements stay. The order in which they come does not matter: each limit is a function of all statements.

Fields never push out identifiers, names or the time of creation.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from worker.domain.past import reach
from worker.domain.record import Record, add_claims, is_older
from worker.domain.registers import is_field
from worker.domain.terms import Stamp

MAX_TAGS = 1_000  #: tags and removals of tags that a record keeps, besides a whole set that its source stated
MAX_FIELDS = 1_000  #: custom fields that a record keeps
MAX_BYTES = 256 * 1024  #: of all its fields together; what a field takes is rounded up to a power of two of units
MAX_NAMES = 100  #: names that a record has said
MAX_IDENTIFIERS = 500  #: identifiers that a record has claimed

_UNIT = MAX_BYTES // MAX_FIELDS  #: bytes; the least that a field takes
_PLAINLY_SMALL = _UNIT // 4 - 2  #: characters of a text that is surely no more than a unit


def units(value: Any) -> int:
    """Return what a value takes of the limit."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is float or (kind is str and len(value) <= _PLAINLY_SMALL):
        return 1
    needed = -(-len(orjson.dumps(value)) // _UNIT)
    return 1 << (needed - 1).bit_length()


def note_sizes(record: Record, stamp: Stamp, said: Mapping[str, Any]) -> bool:
    """Keep of each field that takes more than one unit how much, whether or not its value counts; tell if that is news.

    A large value that a newer and smaller one has replaced still takes its room, as long as nothing newer has pushed
    it out. Otherwise what stays would depend on which of the two came first.
    """
    # Nearly all values are short texts and numbers: they are told from the others in one pass.
    perhaps_large = [
        name
        for name, value in said.items()
        if (len(value) > _PLAINLY_SMALL if type(value) is str else type(value) is dict or type(value) is list)
    ]
    is_news = False
    for name in perhaps_large:
        if (size := units(said[name])) > 1 and is_field(name):
            known = record.sizes.get(name, [])
            found = _frontier({*known, (stamp, size)})
            if found != known:
                record.sizes[name] = found
                is_news = True
    return is_news


def _frontier(sizes: Iterable[tuple[Stamp, int]]) -> list[tuple[Stamp, int]]:
    """Return the newest first, and of the older ones only those that are larger than all newer ones."""
    kept: list[tuple[Stamp, int]] = []
    for stamp, size in sorted(sizes, reverse=True):
        if not kept or size > kept[-1][1]:
            kept.append((stamp, size))
    return kept


def bound(record: Record) -> None:
    """Leave out what is above the limits, in place."""
    if record.fields_floor is not None or len(record.registers) + _extra(record) > MAX_FIELDS:
        _bound_fields(record)
    if len(record.tags) > MAX_TAGS or record.tags_floor is not None:
        _bound_tags(record)
    if len(record.past_names) >= MAX_NAMES:
        _bound_names(record)
    if record.claims_floor is not None or len(record.claimed) + len(record.registers) > MAX_IDENTIFIERS:
        _bound_claims(record)


def _extra(record: Record) -> int:
    return sum(sizes[-1][1] for sizes in record.sizes.values()) if record.sizes else 0


def left_out(record: Record) -> list[str]:
    """Name the kinds of which a record has left something out."""
    floors = {"custom_fields": record.fields_floor, "tags": record.tags_floor, "identifiers": record.claims_floor}
    return [kind for kind, floor in floors.items() if floor is not None]


def _bound_fields(record: Record) -> None:
    """Find the newest statement for which there is no room, and leave out what is no newer than that."""
    takes: list[tuple[Stamp, str, int]] = []
    for name, (stamp, value) in record.registers.items():
        if is_field(name):
            takes.append((stamp, name, units(value)))
            takes += [(at, name, size) for at, size in record.sizes.get(name, ()) if at < stamp]
    # Newest first; of one statement in the order of the names.
    takes.sort(key=lambda take: take[1])
    takes.sort(key=lambda take: take[0], reverse=True)
    taken: dict[str, int] = {}
    total = 0
    floor = record.fields_floor
    for stamp, name, size in takes:
        if floor is not None and not _is_above(stamp, name, floor):
            break
        more = max(0, size - taken.get(name, 0))
        if total + more > MAX_FIELDS:
            floor = (stamp, name)
            break
        total += more
        taken[name] = max(size, taken.get(name, 0))
    record.fields_floor = floor
    if floor is None:
        return
    kept = {
        name: held for name, held in record.registers.items() if not is_field(name) or _is_above(held[0], name, floor)
    }
    if any(value is not None and name not in kept for name, (_, value) in record.registers.items()):
        record.pushed_out.add("custom_fields")
    record.registers = kept
    # A field that is left out takes no room, and neither does an older value of one that stays.
    above = {name: [one for one in sizes if _is_above(one[0], name, floor)] for name, sizes in record.sizes.items()}
    record.sizes = {name: sizes for name, sizes in above.items() if sizes and name in record.registers}


def _is_above(stamp: Stamp, name: str, floor: tuple[Stamp, str]) -> bool:
    return stamp > floor[0] or (stamp == floor[0] and name < floor[1])


def _bound_tags(record: Record) -> None:
    if len(record.tags) <= MAX_TAGS:
        newest = list(record.tags)
    else:
        newest = sorted(record.tags, key=lambda key: (record.tags[key][0], key), reverse=True)
    dropped = newest[MAX_TAGS:]
    if dropped:
        floor = record.tags[dropped[0]][0]
        if any(record.tags[key][1] for key in dropped):
            record.pushed_out.add("tags")
        record.tags = {key: record.tags[key] for key in sorted(newest[:MAX_TAGS])}
        if record.tags_floor is None or floor > record.tags_floor:
            record.tags_floor = floor
    cut, snapshot = record.tags_floor, record.snapshot
    if cut is not None and snapshot is not None and is_older(cut, snapshot[0]):
        record.tags_floor = None  # the whole set tells of what was left out, too


def _bound_names(record: Record) -> None:
    _, name = record.newest_name()
    room = MAX_NAMES - (1 if name and name not in record.past_names else 0)
    newest = sorted(record.past_names.items(), key=lambda said: (said[1], said[0]), reverse=True)
    record.past_names = dict(newest[:room])


def _bound_claims(record: Record) -> None:
    """Leave out the identifiers that were claimed longest ago. Then the first claims count from that time on."""
    floor = record.claims_floor
    told = add_claims({}, record.registers)
    past = sorted(record.history().items(), key=lambda held: (held[1][1], held[0]), reverse=True)
    dropped = past[MAX_IDENTIFIERS:]
    if dropped and (floor is None or dropped[0][1][1] > floor):
        floor = record.claims_floor = dropped[0][1][1]
    if floor is not None:
        kept = {ident: (floor, last) for ident, (_, last) in past[:MAX_IDENTIFIERS] if last > floor}
        for ident, (_, last) in told.items():
            if ident not in kept:
                reach(kept, ident, last)
        record.claimed = {ident: times for ident, times in kept.items() if told.get(ident) != times}
