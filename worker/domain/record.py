"""Record: what one source says about one customer, and what follows from that alone."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from worker.domain.past import History, name_of, reach
from worker.domain.registers import ABOUT, CREATED, certain, is_identifier, is_uncertain
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
    #: when somebody with one of its addresses was deleted, microseconds; the record has stated nothing newer
    deleted: int | None = None
    erased: Stamp | None = None  #: when the person asked to be forgotten; what was said before counts for nothing
    voided: Stamp | None = None  #: of an edit: when all that it is about was erased
    #: names that were said and that the registers no longer hold, with the last stamp of each
    past_names: dict[str, Stamp] = field(default_factory=dict)
    #: when an identifier was first and last claimed, where the registers do not tell; nobody takes anything off it
    claimed: History = field(default_factory=dict)
    #: what its large fields take, and took: by register, the newest first (``limits.py``)
    sizes: dict[str, list[tuple[Stamp, int]]] = field(default_factory=dict)
    #: fields that were stated no later, by stamp and register, are left out
    fields_floor: tuple[Stamp, str] | None = None
    tags_floor: Stamp | None = None  #: the newest tag that is left out
    claims_floor: Stamp | None = None  #: identifiers that were claimed last no later are left out
    #: of what the last folding left something out that had been there
    pushed_out: set[str] = field(default_factory=set, compare=False, repr=False)
    _claims: dict[tuple[str, str], Claim] | None = field(default=None, compare=False, repr=False)
    _ties: dict[Ident, Tie] | None = field(default=None, compare=False, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether the customer was seen, and not removed since. A record that was only mentioned is nobody yet."""
        if self.seen is None or (self.deleted is not None and self.seen.occurred <= self.deleted):
            return False
        if self.erased is None and self.voided is None:
            return self.removed is None or self.seen > self.removed
        return self.seen > self.floor  # type: ignore[operator]  # there is one

    @property
    def floor(self) -> Stamp | None:
        """What is not newer than this counts for nothing: the newest removal."""
        if self.erased is None and self.voided is None:
            return self.removed
        return max(at for at in (self.removed, self.erased, self.voided) if at is not None)

    @property
    def void_until(self) -> int | None:
        """Until when statements of the record are void because the person asked to be forgotten, in microseconds."""
        if self.erased is None and self.voided is None:
            return None
        return max(at.occurred for at in (self.erased, self.voided) if at is not None)

    def _is_void(self, stamp: Stamp) -> bool:
        return any(at is not None and stamp <= at for at in (self.erased, self.voided))

    @property
    def gone_at(self) -> int:
        """When a record that is not live was removed, in microseconds; 0 for one that was never seen."""
        if self.deleted is not None:
            return self.deleted
        return 0 if self.removed is None else self.removed.occurred

    @property
    def ref(self) -> Ref:
        """The customer at its source."""
        return (self.source, self.external_id)

    def effective(self) -> dict[str, tuple[Stamp, Any]]:
        """Return the registers that count: none of a record that is not live, and none as old as a removal.

        When its source created the customer counts in any case.
        """
        return self._unremoved() if self.is_live else {}

    def _unremoved(self) -> dict[str, tuple[Stamp, Any]]:
        """Return the registers that are newer than a removal of the record."""
        if self.removed is None and self.voided is None:  # an erasure removes, too
            return self.registers
        floor = self.floor
        if floor is None:
            return self.registers
        return {name: held for name, held in self.registers.items() if held[0] > floor or name == CREATED}

    def effective_tags(self) -> dict[str, tuple[Stamp, str]]:
        """Return the tags that count, by key: the stamp and the spelling of each."""
        if not self.is_live:
            return {}
        floor = self.floor
        present: dict[str, tuple[Stamp, str]] = {}
        since = None
        if self.snapshot is not None and (floor is None or self.snapshot[0] > floor):
            since, names = self.snapshot
            present = {key: (since, name) for key, name in names.items()}
        for key, (stamp, is_present, name) in self.tags.items():
            if (since is not None and is_older(stamp, since)) or (floor is not None and stamp <= floor):
                continue
            if is_present:
                present[key] = (stamp, name)
            else:
                present.pop(key, None)
        return present

    def content(self) -> tuple[object, ...]:
        """Return what the record says, without its times: whether it is live, its values, its tags and its past.

        Of the past it returns whatever a later repetition leaves as it is. When it was erased decides about its edits.
        """
        values = {
            name: tuple(value) if value is not None and name[:1] == "@" else value  # JSON has made a list of it
            for name, (_, value) in self.effective().items()
        }
        tags = {key: name for key, (_, name) in self.effective_tags().items()}
        held = None if self.deleted is None else set(self.held())
        return (self.seen is not None, self.is_live, values, tags, self._past(), self.names(), held, self.erased)

    def _past(self) -> Sequence[object]:
        """Return the first claim of each identifier, and the last of those that are claimed no more."""
        held = {
            tuple(value[:2]) for name in identifiers_in(tuple(self.registers)) if (value := self.registers[name][1])
        }
        return sorted((i, first, None if i in held else last) for i, (first, last) in self.history().items())

    def created(self) -> int | None:
        """Creation at the source in microseconds, if the source said; a removal changes no birth."""
        register = self.registers.get(CREATED)
        return None if register is None else register[1]

    def claims(self) -> dict[tuple[str, str], Claim]:
        """Return the identifiers that the record claims, by (type, key); kept until something changes."""
        if self._claims is None:
            claims = self._claims = {}
            effective = self.effective()
            for name in identifiers_in(tuple(effective)):
                value = effective[name][1]
                if value is not None:
                    claim = Claim(*value)
                    known = claims.get(claim[:2])
                    if known is None or claim.is_verified > known.is_verified:
                        claims[claim[:2]] = claim
        return self._claims

    def names(self) -> set[str]:
        """Return every name that the record has ever said: nobody loses a name by taking another."""
        since, name = self.newest_name()
        if self.void_until is not None:
            names = {past for past, at in self.past_names.items() if not self._is_void(at)}
            return {*names, name} if name and since is not None and not self._is_void(since) else names
        return {*self.past_names, name} if name else set(self.past_names)

    def newest_name(self) -> tuple[Stamp | None, str]:
        """Return the name that the registers tell, and its stamp; empty if a withdrawal has left only parts of it."""
        since, name = name_of(self.registers)
        return (None, "") if since in self.past_names.values() else (since, name)

    def history(self) -> History:
        """Return when each identifier was first and last claimed, of all that the record ever claimed."""
        return add_claims(dict(self.claimed), self.registers)

    def former_claims(self) -> dict[Ident, Stamp]:
        """Return the identifiers that a live record claimed once and claims no more, with the last time of each."""
        present = self.claims()
        return {
            ident: last
            for ident, (_, last) in self.history().items()
            if ident not in present and not self._is_void(last)
        }

    def last_claims(self) -> dict[Ident, Claim]:
        """Return what a removed record claimed when it was removed; nothing of others."""
        if self.is_live or self.seen is None:
            return {}
        if self.removed is None or self.seen > self.removed:
            return _first_claims(self._unremoved())
        said = {name: held for name, held in self.registers.items() if held[0] <= self.removed}
        if self.void_until is not None:
            said = {name: held for name, held in said.items() if not self._is_void(held[0])}
        return _first_claims(said)

    def held(self) -> Iterable[Ident]:
        """Return what a record claims that was seen and that its source has not removed; of a guest, its key."""
        if self.seen is None or (self.removed is not None and not self.seen > self.removed):
            return ()
        held = _first_claims(self._unremoved())
        return held if self.kind != "guest" else held.keys() & {key_of_guest(self.ref)}

    def void(self, at: Stamp | None) -> None:
        """Note when all records that an edit is about were erased; None if one of them was not."""
        self.voided = at
        self._claims = self._ties = None

    def hide(self, deleted: int | None) -> None:
        """Note the newest deletion that the record has stated nothing newer than; None if there is none."""
        self.deleted = deleted
        self._claims = self._ties = None

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
        for name in identifiers_in(tuple(effective)):
            claimed = effective[name][1]
            if claimed is not None:
                kind, at, value, is_verified = claimed
                ident, known = (kind, at), ties.get((kind, at))
                if known is None or (is_verified and not known.is_verified):
                    ties[ident] = Tie(CLAIM if key is None or key == ident else EVIDENCE, value, is_verified)
        for _, (kind, at, value, _) in uncertain(effective):
            ties.setdefault((kind, at), Tie(EVIDENCE, value, is_verified=False))
        if (self.claimed or self.removed is not None) and self.kind in ("customer", "person"):
            for ident in self.former_claims():
                ties[ident] = Tie(FORMER, ident[1], is_verified=False)
        return ties

    def about(self) -> tuple[Ref, ...]:
        """Return the records that an edit is about, in the order in which their contact had them."""
        register = self.registers.get(ABOUT)
        return () if register is None or not register[1] else tuple((one[0], one[1]) for one in register[1])


def _first_claims(registers: Mapping[str, tuple[Stamp, Any]]) -> dict[Ident, Claim]:
    held: dict[Ident, Claim] = {}
    for name in identifiers_in(tuple(registers)):
        value = registers[name][1]
        if value is not None:
            claim = Claim(*value)
            held.setdefault(claim[:2], claim)
    return held


def uncertain(effective: Mapping[str, tuple[Stamp, Any]]) -> Iterable[tuple[str, Sequence[Any]]]:
    """Yield the identifiers with two readings, by register. One that a newer identifier has replaced is left out."""
    for name in uncertain_in(tuple(effective)):
        value = effective[name][1]
        if value is not None and counts(name, effective):
            yield name, value


def counts(uncertain: str, effective: Mapping[str, tuple[Stamp, Any]]) -> bool:
    """Return whether an identifier with two readings counts: until its source says a newer one."""
    newer = effective.get(certain(uncertain))
    return newer is None or newer[0] <= effective[uncertain][0]


# Most customers of one source have the same registers in the same order.
@lru_cache(maxsize=1024)
def identifiers_in(registers: tuple[str, ...]) -> Sequence[str]:
    """Return the registers that hold identifiers, sorted: of two spellings of one value the first one is shown."""
    return sorted(name for name in registers if is_identifier(name))


@lru_cache(maxsize=1024)
def uncertain_in(registers: tuple[str, ...]) -> Sequence[str]:
    """Return the registers that hold identifiers with two readings, sorted."""
    return sorted(filter(is_uncertain, registers))


def add_claims(history: History, registers: Mapping[str, tuple[Stamp, Any]]) -> History:
    """Let a history tell what registers claim, too; return it."""
    for name in identifiers_in(tuple(registers)):
        stamp, value = registers[name]
        if value is not None:
            reach(history, (value[0], value[1]), stamp)
    return history


def is_older(delta: Stamp, snapshot: Stamp) -> bool:
    """Whether a change of tags is older than a whole set of them; a change of the same time is not.

    Sources tell times in whole seconds. A tag that was changed just after the set was read is in no later statement; a
    tag that was changed just before is in the set already. Keeping the change is right in both cases.
    """
    return delta <= snapshot if not delta.occurred else delta.occurred < snapshot.occurred


def idle_records(group: Iterable[Record], lost: Container[Ref]) -> set[Ref]:
    """Return the records of a contact that claim nothing: edits of who is gone, and records whose survivor is gone.

    ``lost`` are records that their source merged away; such a one speaks while its survivor lives.
    """
    by_ref = {record.ref: record for record in group}
    live = {ref for ref, record in by_ref.items() if record.is_live and record.kind != "edit"}
    sources = {ref[0] for ref in live if by_ref[ref].kind == "customer" and ref not in lost}
    speaking = {ref for ref in live if ref not in lost or ref[0] in sources}
    edits = {ref for ref, one in by_ref.items() if one.kind == "edit" and not speaking.intersection(one.about())}
    return edits | (live - speaking)
