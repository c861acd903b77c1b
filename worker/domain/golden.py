"""Golden: what a contact shows, computed from the records of one person.

Each field shows the value of the best record that has one. An edit through the API comes first (the newest edit, where
a merge brought several together), then the connection's priority decides, then which record its source created first,
then (source, external_id). A guest gives values only to a contact without a customer.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from worker.domain import registers
from worker.domain.limits import MAX_FIELDS, MAX_TAGS, units
from worker.domain.record import Record, counts, idle_records
from worker.domain.registers import FIRST_NAME, LAST_NAME, NAME, PROFILE_NAME, FieldPlace
from worker.domain.terms import API_SOURCE, EVIDENCE, Ident, Ref, Stamp

_LAST = 1 << 62


class Origin(NamedTuple):
    """Who said a value, and when."""

    source: str
    external_id: str
    stamp: Stamp


@dataclass(slots=True)
class Golden:
    """What a contact shows. ``origins`` tells who said each value, by ``name``, ``email``, field or ``tag:vip``."""

    external_source: str
    external_id: str
    name: str | None = None
    email: str | None = None
    phone_number: str | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)


def golden(
    records: Sequence[Record],
    lost: Iterable[Ref],
    priorities: Mapping[str, int],
    foreign: Collection[Ident] = (),
) -> Golden:
    """Return what the contact of these records shows; at least one of them is live and not lost.

    ``lost`` are records that their source merged away: they give no values. ``priorities`` are by source, lower first;
    a source without a connection has 100, the default of a connection. ``foreign`` are identifiers that guests gave and
    that lead to somebody else, or to nobody: a message to them would reach a stranger.
    """
    gone = set(lost)
    ranked = [r for r in records if r.is_live and (not gone or r.ref not in gone)]
    best = ranked[0]
    if len(ranked) > 1:
        if any(r.kind in ("customer", "person") for r in ranked):
            ranked = [r for r in ranked if r.kind != "guest"]
        ranked.sort(key=lambda r: _rank(r, priorities))
        best = min((r for r in ranked if r.kind != "edit"), key=lambda r: r.kind != "customer")
    contact = Golden(best.source, best.external_id)
    tags: dict[str, str] = {}
    edits = {r.ref: r.effective() for r in ranked if r.kind == "edit"} if len(ranked) > 1 else {}
    for ref in idle_records(records, gone).intersection(edits) if edits else ():
        edits[ref] = {name: held for name, held in edits[ref].items() if not registers.is_identifier(name)}
    edited = _newest(edits.values())
    for record in ranked:
        effective = record.effective()
        if record.ref in edits:
            effective = {name: held for name, held in edits[record.ref].items() if edited[name] == held[0]}
        _take_name(contact, record, effective)
        origin = _take_values(contact, record, effective, foreign if record.kind == "guest" else ())
        for key, (stamp, shown) in record.effective_tags().items():
            if key not in tags:
                tags[key] = shown
                if origin is None or origin.stamp is not stamp:
                    origin = Origin(record.source, record.external_id, stamp)
                contact.origins[f"tag:{key}"] = origin
    contact.tags = [tags[key] for key in sorted(tags)]
    _bound(contact, ranked, tags)
    if contact.name is None and isinstance(said := contact.custom_fields.get(PROFILE_NAME), str):
        contact.name = said
        contact.origins["name"] = contact.origins[PROFILE_NAME]
    return contact


def foreign_to(group: Collection[Record], owned: Callable[[Ident, Ref], bool]) -> set[Ident]:
    """Return the identifiers that guests of a group gave beside their keys and that lead to others, or to nobody.

    ``owned`` tells whether a record has the strongest claim on an identifier.
    """
    guests = [record for record in group if record.kind == "guest"]
    ties = {(ident, tie.role == EVIDENCE) for guest in guests for ident, tie in guest.ties().items()}
    given = {ident for ident, is_evidence in ties if is_evidence and (ident, False) not in ties}
    return {ident for ident in given if not any(owned(ident, record.ref) for record in group)}


def _rank(record: Record, priorities: Mapping[str, int]) -> tuple[bool, int, int, bool, str, str]:
    created = record.created()
    return (
        record.kind != "edit",
        priorities.get(record.source, 100),
        _LAST if created is None else created,
        record.source == API_SOURCE,
        record.source,
        record.external_id,
    )


def _take_name(contact: Golden, record: Record, effective: Mapping[str, tuple[Stamp, Any]]) -> None:
    """Take the name from one record: the first name of one source and the last name of another are nobody's name."""
    if contact.name is not None:
        return
    whole = effective.get(NAME)
    if whole and whole[1]:
        contact.name, stamp = whole[1], whole[0]
    else:
        first, last = effective.get(FIRST_NAME), effective.get(LAST_NAME)
        if not (first and first[1]):
            first, last = last, None
        if not (first and first[1]):
            return
        stamp, contact.name = first
        if last and last[1]:
            stamp, contact.name = max(stamp, last[0]), f"{first[1]} {last[1]}"
    contact.origins["name"] = Origin(record.source, record.external_id, stamp)


def _take_values(
    contact: Golden, record: Record, effective: Mapping[str, tuple[Stamp, Any]], foreign: Collection[Ident]
) -> Origin | None:
    """Take the identifiers and custom fields that no better record has; return the last origin."""
    fields, origins = contact.custom_fields, contact.origins
    origin: Origin | None = None
    last_stamp: Stamp | None = None
    for register, place in _places(tuple(effective)):
        stamp, value = effective[register]
        if value is None or (place is None and registers.is_uncertain(register) and not counts(register, effective)):
            continue
        if stamp is not last_stamp or origin is None:  # most values of a record come from one statement
            origin, last_stamp = Origin(record.source, record.external_id, stamp), stamp
        if place is None:
            if not foreign or tuple(value[:2]) not in foreign:
                _take_identifier(contact, value, origin)
            continue
        name, entry, whole = place
        if whole in origins:
            continue
        if entry is not None:
            _take_entry(contact, register, name, entry, value, origin)
        elif fields.get(name) is None:  # no better record gave entries of it
            fields[name] = value
            origins[whole] = origin
    return origin


def _take_identifier(contact: Golden, claim: Sequence[Any], origin: Origin) -> None:
    kind, _, value, _ = claim
    if kind == "email" and contact.email is None:
        contact.email = value
        contact.origins["email"] = origin
    elif kind == "phone" and contact.phone_number is None:
        contact.phone_number = value
        contact.origins["phone_number"] = origin


@lru_cache(maxsize=1024)
def _places(held: tuple[str, ...]) -> Sequence[tuple[str, FieldPlace | None]]:
    """Return where registers are shown, names left out, in the order in which they are taken; None for identifiers.

    Cached, because most customers of one source have the same registers in the same order.
    """
    return [
        (register, None if register[:1] == "@" else registers.place_of(register))
        for register in sorted(held)
        if register[:1] == "@" or registers.is_field(register)
    ]


def _take_entry(contact: Golden, register: str, name: str, entry: str, value: Any, origin: Origin) -> None:
    """Take one entry of a custom field; other sources may give other entries of it."""
    if register not in contact.origins:
        fields = contact.custom_fields
        fields[name] = {**(fields.get(name) or {}), entry: value}
        contact.origins[register] = origin


def _bound(contact: Golden, records: Collection[Record], tags: Mapping[str, str]) -> None:
    """Show no more of all records together than one may have; what was stated last stays."""
    if len(records) == 1:
        return  # what one record says is bounded already
    origins = contact.origins
    if len(tags) > MAX_TAGS:
        newest = sorted(tags, key=lambda key: (origins[f"tag:{key}"].stamp, key), reverse=True)
        contact.tags = [tags[key] for key in sorted(newest[:MAX_TAGS])]
    fields = contact.custom_fields
    if len(fields) <= MAX_FIELDS and not any(record.sizes for record in records):
        return
    stated: dict[str, Stamp] = {}
    for register, origin in origins.items():
        if registers.is_field(register) and (name := registers.place_of(register).name) in fields:
            stated[name] = max(origin.stamp, stated.get(name, origin.stamp))
    room = MAX_FIELDS
    for name in sorted(stated, key=lambda name: (stated[name], name), reverse=True):
        room -= units(fields[name])
        if room < 0:
            del fields[name]


def _newest(edits: Iterable[Mapping[str, tuple[Stamp, Any]]]) -> dict[str, Stamp]:
    """Return the stamp of the newest edit of each field, over all records of edits."""
    newest: dict[str, Stamp] = {}
    for effective in edits:
        for name, (stamp, _) in effective.items():
            if name not in newest or stamp > newest[name]:
                newest[name] = stamp
    return newest
