"""Golden: what a contact shows, computed from the records of one person. Pure.

For each field the value of the best record that has one: an edit through the API first (the newest, where a
merge brought several together), then by the connection's priority, then the record its source created first,
then (source, external_id).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

from worker.fold import CREATED, IDENTIFIER, Record, Stamp
from worker.resolve import API_SOURCE, Ref

#: leads the register of a custom field whose name would mean something else here: ``name``, ``#created``, ``a.b``
VERBATIM = ":"
_NAMES = ("name", "first_name", "last_name")
#: what a contact shows beside its custom fields
_SHOWN = frozenset({*_NAMES, "email", "phone_number", "external_source", "external_id", "tags"})
#: what was given as an identifier and is none is kept under its slot's name and this
_AS_GIVEN = "_as_given"
_PREFIXES = (IDENTIFIER, "#", VERBATIM, "tag:", "consent:", "suppression:")
_LAST = 1 << 62


class Origin(NamedTuple):
    """Who said a value, and when."""

    source: str
    external_id: str
    stamp: Stamp


@dataclass(slots=True)
class Golden:
    """What a contact shows, and where each value came from (by ``name``, ``email``, field, ``tag:vip``)."""

    external_source: str
    external_id: str
    name: str | None = None
    email: str | None = None
    phone_number: str | None = None
    custom_fields: dict[str, Any] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    origins: dict[str, Origin] = field(default_factory=dict)


def golden(records: Sequence[Record], lost: Iterable[Ref], priorities: Mapping[str, int]) -> Golden:
    """Compute what the contact of these records shows.

    ``lost`` are records that their source merged away: they give no values. ``priorities`` of sources
    without a connection count as 100, the default of a connection.
    """
    gone = set(lost)
    ranked = sorted(
        (r for r in records if r.is_live and (r.source, r.external_id) not in gone),
        key=lambda r: _rank(r, priorities),
    )
    best = next((r for r in ranked if r.kind == "customer"), ranked[0])
    contact = Golden(best.source, best.external_id)
    tags: dict[str, str] = {}
    edited = _newest(record for record in ranked if record.source == API_SOURCE)
    for record in ranked:
        effective = record.effective()
        if record.source == API_SOURCE:
            effective = {name: held for name, held in effective.items() if edited[name] == held[0]}
        _take_name(contact, record, effective)
        origin: Origin | None = None
        for name in sorted(effective):
            stamp, value = effective[name]
            if value is None or name == CREATED or name in _NAMES:
                continue
            if origin is None or origin.stamp is not stamp:  # one statement gives most of a record's values
                origin = Origin(record.source, record.external_id, stamp)
            if name.startswith(IDENTIFIER):
                _take_identifier(contact, value, origin)
            else:
                _take_field(contact, name, value, origin)
        for key, (stamp, shown) in record.effective_tags().items():
            if key not in tags:
                tags[key] = shown
                contact.origins[f"tag:{key}"] = Origin(record.source, record.external_id, stamp)
    contact.tags = [tags[key] for key in sorted(tags)]
    return contact


def _rank(record: Record, priorities: Mapping[str, int]) -> tuple[bool, int, int, str, str]:
    created = record.created()
    return (
        record.source != API_SOURCE,
        priorities.get(record.source, 100),
        _LAST if created is None else created,
        record.source,
        record.external_id,
    )


def _take_name(contact: Golden, record: Record, effective: Mapping[str, tuple[Stamp, Any]]) -> None:
    """First and last name are one value: half of one source and half of another is nobody's name."""
    if contact.name is not None:
        return
    parts = [effective[part] for part in ("name",) if part in effective and effective[part][1]]
    parts = parts or [
        effective[part] for part in ("first_name", "last_name") if part in effective and effective[part][1]
    ]
    if parts:
        contact.name = " ".join(value for _, value in parts)
        contact.origins["name"] = Origin(record.source, record.external_id, max(stamp for stamp, _ in parts))


def _take_identifier(contact: Golden, claim: Sequence[Any], origin: Origin) -> None:
    kind, _, value, _ = claim
    if kind == "email" and contact.email is None:
        contact.email = value
        contact.origins["email"] = origin
    elif kind == "phone" and contact.phone_number is None:
        contact.phone_number = value
        contact.origins["phone_number"] = origin


def _take_field(contact: Golden, name: str, value: Any, origin: Origin) -> None:
    """Take a custom field: ``segments.3`` is one entry of ``segments``, and one source's entries may meet another's."""
    head, dot, rest = name.partition(".")
    if name.startswith(VERBATIM):
        head, dot, rest = name.removeprefix(VERBATIM), "", ""
    whole = field_register(head)
    if name in contact.origins or whole in contact.origins:
        return  # a better record has it, or all of which it is a part
    known = contact.custom_fields.get(head)
    if not dot:
        if known is None:  # not entry by entry already
            contact.custom_fields[head] = value
            contact.origins[whole] = origin
        return
    contact.custom_fields[head] = {**(known or {}), rest: value}
    contact.origins[name] = origin


def _newest(records: Iterable[Record]) -> dict[str, Stamp]:
    """The newest edit of each field, over all records of edits."""
    newest: dict[str, Stamp] = {}
    for record in records:
        for name, (stamp, _) in record.effective().items():
            if name not in newest or stamp > newest[name]:
                newest[name] = stamp
    return newest


@lru_cache(maxsize=4096)
def field_register(name: str) -> str:
    """Return the register of a custom field that was given by its plain name; also its name among the origins."""
    is_special = name in _SHOWN or name.startswith(_PREFIXES) or name.endswith(_AS_GIVEN)
    is_plain = not is_special and "." not in name
    return name if is_plain else VERBATIM + name


def is_custom(register: str) -> bool:
    """Whether a register holds a custom field."""
    return register not in _NAMES and register != CREATED and not register.startswith(IDENTIFIER)
