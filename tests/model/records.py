"""Records: what each source says about each customer (section 4, the fold), from the list of envelopes.

A record keeps all that was ever said about it. Each question then looks through everything and takes the newest.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from tests.model.history import (
    ABSENT,
    API,
    GUEST,
    Apart,
    ApiConsent,
    ApiDelete,
    ApiEdit,
    Consent,
    Envelope,
    GuestOrder,
    Ident,
    Link,
    Merged,
    Ref,
    Removed,
    Saying,
    Seen,
    TagsChanged,
    TagsRead,
    edit_of,
    is_edit,
    is_guest,
)

#: of the types, in the order in which they identify
TYPES = ("email", "phone")
UNKNOWN_CREATION = 10**9


class Stamp(NamedTuple):
    """When something was said. The tie is the sending time, the delivery and the place in it, never the arrival."""

    time: int
    sent: int
    key: str
    position: int


class Record:
    """Everything that one source has said about one customer, guest or edited contact."""

    def __init__(self, ref: Ref) -> None:
        self.ref = ref
        self.said: dict[str, list[tuple[Stamp, Any]]] = defaultdict(list)
        self.seen: list[Stamp] = []
        self.removed: list[Stamp] = []
        self.tag_changes: list[tuple[Stamp, tuple[str, ...], bool]] = []
        self.tag_sets: list[tuple[Stamp, tuple[str, ...]]] = []

    def lives(self) -> bool:
        """Whether the customer was seen, and not removed since. To be mentioned is not enough."""
        return bool(self.seen) and max(self.seen) > self.removed_at()

    def removed_at(self) -> Stamp:
        return max(self.removed, default=Stamp(-1, 0, "", 0))

    def value(self, field: str) -> Any:
        """Return the newest value. A removed record has none, and nothing older than a removal counts."""
        newest = self.newest(field)
        return newest[1] if newest else None

    def newest(self, field: str) -> tuple[Stamp, Any] | None:
        """Return what the record says now, and since when."""
        said = [one for one in self.said[field] if self.lives() and one[0] > self.removed_at()]
        return max(said, key=lambda one: one[0], default=None)

    def created(self) -> int:
        """Return when the source created the customer: the earliest time that was ever said, also before a removal."""
        return min((value for _, value in self.said["created"]), default=UNKNOWN_CREATION)

    def rank(self) -> tuple[int, bool, str, str]:
        return (self.created(), self.ref[0] == API, *self.ref)

    def names(self) -> set[str]:
        """Return all names that were ever said, also before a removal."""
        return {value for _, value in self.said["name"] if value}

    def key(self) -> Ident:
        """Return the one identifier that a guest claims."""
        kind, _, key = self.ref[1].removeprefix(GUEST).partition(":")
        return (kind, key)

    def claims(self) -> dict[Ident, bool]:
        """Return the identifiers that the record claims now, e-mail first, and whether each is verified."""
        if is_guest(self.ref):
            return {self.key(): False} if self.lives() else {}
        values = {kind: self.value(kind) for kind in TYPES}
        return {
            (kind, value): kind == "email" and bool(self.value("verified")) for kind, value in values.items() if value
        }

    def evidence(self) -> set[Ident]:
        """Return what a guest gave beside its key."""
        if not is_guest(self.ref):
            return set()
        return {(kind, value) for kind in TYPES if (value := self.value(kind))} - {self.key()}

    def claimed_at(self, stamp: Stamp | None) -> list[Ident]:
        """Return what the record claimed at some time, e-mail first; without a time, what it claimed last."""
        if is_guest(self.ref):
            return [self.key()] if any(stamp is None or seen <= stamp for seen in self.seen) else []
        found = []
        for kind in TYPES:
            said = [one for one in self.said[kind] if stamp is None or one[0] <= stamp]
            _, value = max(said, key=lambda one: one[0], default=(None, None))
            if value:
                found.append((kind, value))
        return found

    def claimed(self) -> dict[Ident, tuple[Stamp, Stamp]]:
        """Return every identifier that was ever claimed: when first, and when last."""
        if is_guest(self.ref):
            return {self.key(): (min(self.seen), max(self.seen))} if self.seen else {}
        stamps = defaultdict(list)
        for kind in TYPES:
            for stamp, value in self.said[kind]:
                if value:
                    stamps[kind, value].append(stamp)
        return {ident: (min(when), max(when)) for ident, when in stamps.items()}

    def tags(self) -> set[str]:
        """Return the tags: those of the newest whole set, and the changes that are not older than it."""
        if not self.lives():
            return set()
        floor = self.removed_at()
        since, names = max((one for one in self.tag_sets if one[0] > floor), default=(None, ()))
        tags = set(names)
        for stamp, changed, present in sorted(self.tag_changes):
            if stamp > floor and (since is None or not _is_older(stamp, since)):
                tags = tags | set(changed) if present else tags - set(changed)
        return tags


def _is_older(change: Stamp, whole_set: Stamp) -> bool:
    return change < whole_set if not change.time else change.time < whole_set.time


def stamp_of(envelope: Envelope, t: int | None, position: int) -> Stamp:
    return Stamp(envelope.time_of(t), min(envelope.sent or 0, envelope.ceiling), envelope.key, position)


def records_of(envelopes: Mapping[str, Envelope]) -> dict[Ref, Record]:
    """Fold everything that was said; ``envelopes`` are the different ones, by key."""
    records: dict[Ref, Record] = {}
    deletes = []
    for envelope in envelopes.values():
        for position, saying in enumerate(envelope.says):
            stamp = stamp_of(envelope, getattr(saying, "t", None), position)
            for ref in refs_of(saying):
                records.setdefault(ref, Record(ref))
            _take_in(records, saying, stamp, envelope.ceiling)
            if isinstance(saying, ApiDelete):
                deletes.append((saying, stamp))
    # "Any other record of such an address stays removed until it states something newer."
    for delete, stamp in deletes:
        for record in records.values():
            if record.ref not in delete.records and set(record.claimed_at(stamp)) & set(delete.addresses):
                record.removed.append(stamp)
    return records


def refs_of(saying: Saying) -> list[Ref]:  # noqa: PLR0911 - one case a kind
    """Return the records that a saying is about."""
    match saying:
        case Merged(source, kept, lost):
            return [(source, kept), (source, lost)]
        case Consent(source, who):
            return [] if who is None else [(source, who)]
        case ApiEdit(records) | ApiConsent(records):
            return [*records, edit_of(records)]
        case ApiDelete(records):
            return list(records)
        case Link(a, b) | Apart(a, b):
            return [a, b]
        case Seen() | GuestOrder() | Removed() | TagsChanged() | TagsRead():
            return [(saying.source, saying.id)]
        case _:
            return []


def _take_in(records: Mapping[Ref, Record], saying: Saying, stamp: Stamp, ceiling: int) -> None:  # noqa: C901 - as above
    match saying:
        case Seen():
            record = records[saying.source, saying.id]
            _see(record, stamp, [("email", saying.email), ("phone", saying.phone), ("name", saying.name)])
            if saying.email != ABSENT:
                record.said["verified"].append((stamp, saying.verified))
            if saying.created is not None:
                record.said["created"].append((stamp, min(saying.created, ceiling)))
        case GuestOrder():
            record = records[saying.source, saying.id]
            values = [("email", saying.email), ("phone", saying.phone), ("name", saying.name)]
            _see(record, stamp, [(field, value) for field, value in values if value])
            record.said["created"].append((stamp, min(saying.t, ceiling)))
        case ApiEdit():
            record = records[edit_of(saying.records)]
            _see(record, stamp, [("email", saying.email), ("phone", saying.phone), ("name", saying.name)])
            record.said["list"].append((stamp, saying.records))
            if saying.tags:
                record.tag_changes.append((stamp, saying.tags, True))
        case ApiConsent():
            record = records[edit_of(saying.records)]
            # A consent may have a time of its own; the list of records is as new as the request.
            stamp = stamp._replace(time=stamp.sent)
            _see(record, stamp, [])
            record.said["list"].append((stamp, saying.records))
        case Removed(source, external_id):
            records[source, external_id].removed.append(stamp)
        case ApiDelete(refs):
            for ref in refs:
                records[ref].removed.append(stamp)
        case TagsChanged(source, external_id, tags, present):
            records[source, external_id].tag_changes.append((stamp, tags, present))
        case TagsRead(source, external_id, tags):
            records[source, external_id].tag_sets.append((stamp, tags))


def _see(record: Record, stamp: Stamp, values: Iterable[tuple[str, str | None]]) -> None:
    record.seen.append(stamp)
    for field, value in values:
        if value != ABSENT:
            record.said[field].append((stamp, value))


def list_of(record: Record) -> tuple[Ref, ...]:
    """Return the records that the newest request of an edit names, also after a removal; none without a request."""
    assert is_edit(record.ref)
    return max(record.said["list"], default=(None, ()))[1]


def is_customer_of_a_source(ref: Ref) -> bool:
    """Whether rule 4 is about this record: the API knows no customers."""
    return ref[0] != API and not is_guest(ref)
