"""Apply: the one write path. Readings go through fold, resolve, upsert and record in one transaction.

Reading, folding and resolving need no lock: they are done first, on what the database shows. Then the
identifiers concerned are locked and what was read is checked; if another writer was faster, the
transaction is given up and done again with the locks taken first (``docs/adr/0003``).
"""

import itertools
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from worker import ids
from worker.domain.fold import Record, fold, repeats, withdraw
from worker.domain.resolve import Limits, Resolution, resolve
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import API_SOURCE, Ref, Stamp
from worker.errors import TransientError
from worker.pipeline import load as components
from worker.pipeline.load import Component, lock_keys
from worker.pipeline.record import decide, entries_of, record
from worker.pipeline.record import withdraw as withdraw_statements
from worker.pipeline.upsert import look_ahead, upsert
from worker.settings import settings
from worker.store import claims, connections, db, decisions, envelopes, locks, records
from worker.store.changes import Change, causes_of
from worker.store.db import Last, Tx
from worker.store.records import RecordRow

#: serialization failure, deadlock; unique and foreign key violations show the same race here
RACES = frozenset({"40001", "40P01", "23505", "23503"})
ATTEMPTS = 8
#: attempts with locks on identifiers before the whole organization is locked: where many write about the
#: same few people, what has to be locked grows faster than it can be locked piece by piece
_PATIENCE = 3


class OutdatedError(Exception):
    """What was read has changed, or more has to be locked: do it again under these keys."""

    def __init__(self, keys: Collection[str] = ()) -> None:
        super().__init__("another writer was faster")
        self.keys = set(keys)


@dataclass(slots=True)
class _Locking:
    """What an attempt locks before it reads; nothing the first time."""

    keys: set[str]
    everything: bool
    is_first: bool  #: the first attempt, which trusts that what nearly never is there is not

    def take(self, tx: Tx) -> None:
        """Take the locks that are known to be needed."""
        if self.everything:
            locks.take_all(tx)
        elif self.keys:
            locks.take(tx, self.keys, settings().lock_buckets)

    def confirm(self, tx: Tx, needed: set[str], is_current: Callable[[], bool]) -> None:
        """See that what was read is locked and still true; raises OutdatedError if not."""
        if self.everything:
            return
        if not self.keys:
            locks.take(tx, needed, settings().lock_buckets)
            if is_current():
                return
        elif needed <= self.keys:
            return
        raise OutdatedError(needed)


@dataclass(slots=True)
class Replay:
    """Envelopes that are read anew: what they once stated is withdrawn first."""

    envelope_ids: Sequence[UUID]
    #: reads what else was kept about the same records; called under the locks, because a statement that
    #: counted for nothing until now may be what remains
    others: Callable[[Tx], list[EnvelopeStatements]]


@dataclass(slots=True)
class Applied:
    """What a transaction did."""

    records: int  #: records whose state changed
    changes: int  #: entries added to the change log
    contact_of: Mapping[Ref, UUID | None] = field(default_factory=dict)  #: the records concerned, as they stand now
    contacts: Mapping[UUID, Change] = field(default_factory=dict)  #: contacts whose row was written
    changed_by: Collection[UUID] = ()  #: the envelopes that led to an entry in the change log
    envelope_ids: Sequence[UUID] = ()


@dataclass(slots=True)
class Batch:
    """What one transaction takes in. The hooks run in it, and may run again when it does."""

    readings: Sequence[EnvelopeStatements] = ()
    connection_of: Mapping[UUID, UUID] = field(default_factory=dict)  #: by envelope
    replay: Replay | None = None

    def begin(self, tx: Tx, now: datetime) -> None:
        """Come first: take queue rows away, work out what the readings are. ``now`` is the database's time.

        What is read here is not locked unless another writer was faster before; ``judge`` has to look again.
        """

    def judge(self, tx: Tx, component: Component, resolution: Resolution) -> None:
        """Look at the outcome once it is locked and before it is written; raise to write nothing."""

    def finish(self, tx: Tx, applied: Applied) -> None:
        """Come last, when all is written."""


def apply(engine: Engine, organization_id: UUID, batch: Batch) -> Applied:
    """Let readings take effect, once and whole.

    A replay is rare and locks the whole organization. Raises TransientError when other writers keep being
    faster; database errors of other kinds, and what the hooks raise, pass.
    """
    keys: set[str] = set()
    for attempt in range(ATTEMPTS):
        try:
            with engine.begin() as conn:
                tx = Tx(conn, organization_id)
                now = db.enter(tx)
                everything = attempt >= _PATIENCE or batch.replay is not None
                locking = _Locking(keys, everything, is_first=attempt == 0)
                locking.take(tx)
                batch.begin(tx, now)
                idle = not batch.readings and batch.replay is None
                applied = Applied(0, 0) if idle else _apply(tx, batch, locking)
                batch.finish(tx, applied)
                return applied
        except OutdatedError as outdated:
            keys |= outdated.keys
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in RACES:
                raise
            time.sleep(random.uniform(0.005, 0.2) * (attempt + 1))  # noqa: S311 - jitter, not a secret
    raise TransientError("other writers kept changing the same people")


def _apply(tx: Tx, batch: Batch, locking: _Locking) -> Applied:
    limits = Limits(settings().crowd_limit, settings().component_limit)
    readings, replay = batch.readings, batch.replay
    gone: list[RecordRow] = []
    if replay is not None:
        readings = [*readings, *replay.others(tx)]
        gone = _withdraw(tx, replay)
    decide(tx, readings)
    touched = _touched(tx, readings, gone)
    news = touched.keys() if replay is not None else _news(touched, readings)
    before = {ref: touched[ref].record.claims() for ref in news}
    said = {ref: touched[ref].record.said() for ref in news if touched[ref].version > 0 and replay is None}
    folded = _fold(touched, readings, replay)
    forgotten = _forgotten(tx, readings, gone)
    # A record that says what it said before, be it at a later time, cannot regroup anybody, nor change a contact.
    repeated = (touched.keys() - news) | _repeated(touched, said, folded, readings)
    active = {ref: row for ref, row in touched.items() if ref not in repeated}
    before = {ref: before[ref] for ref in active}
    component = components.load(tx, active, before, limits)
    component.rows.update({ref: touched[ref] for ref in repeated & component.rows.keys()})
    resolution = resolve(component.members(), component.decisions, limits, component.crowded)

    aside = [touched[ref] for ref in (repeated & folded) - component.rows.keys()]
    causes = _causes(readings, component)
    outlook = look_ahead(component, resolution, folded, aside, connections.priorities(tx), causes)
    # Ours first: a record that another writer stored meanwhile must not pass for the one that we made up.
    rows = {**component.rows, **touched}
    # Crowded identifiers too: letting go of one can end a crowd.
    idents = {*component.claimed, *itertools.chain.from_iterable(reading.idents for reading in readings)}
    needed = lock_keys(rows, idents)
    entries = entries_of(readings)
    locking.confirm(tx, needed, lambda: _is_current(tx, component, rows, limits, len(active)))
    batch.judge(tx, component, resolution)
    last: Last = []
    changes = upsert(tx, component, resolution, folded, before, outlook, causes, last)
    records.delete(tx, forgotten)
    spoken = [(r.envelope_id, touched[ref].id) for r in readings for ref in r.records]
    are_new = locking.is_first and replay is None
    last.append(partial(envelopes.link, tx, spoken, are_new=are_new))
    logged = record(tx, readings, entries, rows, changes, batch.connection_of, last)
    db.send(tx.conn, last)
    return Applied(
        records=len(folded),
        changes=len(logged),
        contact_of={ref: row.contact_id for ref, row in rows.items()},
        contacts=changes,
        changed_by=causes_of(logged),
        envelope_ids=[reading.envelope_id for reading in readings],
    )


def _withdraw(tx: Tx, replay: Replay) -> list[RecordRow]:
    """Take back what envelopes stated beside records; return the records they spoke of, which are next."""
    ids_ = envelopes.records_of(tx, replay.envelope_ids)
    decided = withdraw_statements(tx, replay.envelope_ids)
    envelopes.unlink(tx, replay.envelope_ids)
    rows = {row.ref: row for row in records.by_ids(tx, ids_)}
    rows.update({row.ref: row for row in records.by_refs(tx, decided)})
    return list(rows.values())


def _forgotten(tx: Tx, readings: Sequence[EnvelopeStatements], gone: Sequence[RecordRow]) -> list[UUID]:
    """Find records that only a withdrawn reading spoke of; they count as removed and are to be deleted."""
    spoken_of = {ref for reading in readings for ref in reading.records}
    suspects = [row for row in gone if row.ref not in spoken_of]
    known = envelopes.spoken_of(tx, [row.id for row in suspects]) if suspects else set()
    forgotten = [row for row in suspects if row.id not in known]
    for row in forgotten:
        row.record.removed = row.record.removed or Stamp(0, 0, "", 0, "")
    return [row.id for row in forgotten]


def _touched(tx: Tx, readings: Sequence[EnvelopeStatements], gone: Sequence[RecordRow]) -> dict[Ref, RecordRow]:
    """Read the records that are spoken of; new ones are made up."""
    touched = {row.ref: row for row in gone}
    refs = {ref for reading in readings for ref in reading.records} - touched.keys()
    touched.update({row.ref: row for row in records.by_refs(tx, refs)})
    for reading in readings:
        for ref in reading.records:
            if ref not in touched:
                touched[ref] = RecordRow(ids.new(), Record(*ref, reading.kinds[ref]))
    return touched


def _fold(touched: Mapping[Ref, RecordRow], readings: Sequence[EnvelopeStatements], replay: Replay | None) -> set[Ref]:
    """Fold the readings into their records; return those whose state changed."""
    folded = set()
    for envelope_id in () if replay is None else replay.envelope_ids:
        for ref, row in touched.items():
            withdraw(row.record, envelope_id.hex)
            folded.add(ref)
    for reading in readings:
        for ref, statements in reading.records.items():
            if fold(touched[ref].record, statements):
                folded.add(ref)
    return folded


def _news(touched: Mapping[Ref, RecordRow], readings: Iterable[EnvelopeStatements]) -> set[Ref]:
    """Return the records of which something is said, or decided, that they do not plainly say already.

    All that a request speaks of: of edits the newest counts, and its answer is judged by the outcome.
    """
    news = {ref for ref, row in touched.items() if row.version == 0}
    for reading in readings:
        for ref, statements in reading.records.items():
            if ref not in news and (reading.source == API_SOURCE or not repeats(touched[ref].record, statements)):
                news.add(ref)
        for decision in reading.decisions:
            news.update((decision.a, decision.b))
    return news


def _repeated(
    touched: Mapping[Ref, RecordRow],
    said: Mapping[Ref, object],
    folded: Collection[Ref],
    readings: Iterable[EnvelopeStatements],
) -> set[Ref]:
    """Return those of the records with news that say what they ``said``, now that it was folded."""
    asked = {ref for reading in readings if reading.source == API_SOURCE for ref in reading.records}
    decided = {ref for reading in readings for decision in reading.decisions for ref in (decision.a, decision.b)}
    return {
        ref
        for ref, before in said.items()
        if ref not in decided and (ref not in folded or (ref not in asked and touched[ref].record.said() == before))
    }


def _causes(readings: Sequence[EnvelopeStatements], component: Component) -> dict[Ref, set[UUID]]:
    """Map each record to the envelopes that spoke of it."""
    causes: dict[Ref, set[UUID]] = defaultdict(set)
    for reading in readings:
        for ref in reading.records:
            if ref in component.rows:
                causes[ref].add(reading.envelope_id)
    return causes


def _is_current(
    tx: Tx,
    component: Component,
    rows: Mapping[Ref, RecordRow],
    limits: Limits,
    active: int,
) -> bool:
    """Whether nothing that was read without a lock has changed since."""
    stored = {row.id: row.version for row in rows.values() if row.version > 0}
    if records.versions(tx, rows.keys()) != stored:
        return False
    if decisions.touching(tx, component.rows.keys()) != component.decisions:
        return False
    most = limits.component + 1 + active
    standing = claims.claimants(tx, component.claimed.keys(), most)
    return standing == {ident: found for ident, found in component.claimed.items() if found}
