"""Apply: the one write path. Statements go through load, changeset and write in one transaction.

Loading and planning need no lock, so they come first, on what the database shows. Then the identifiers concerned are
locked, and what was loaded is checked. If another writer was faster, the transaction is given up and done again, with
the locks taken first (ADR 3).
"""

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from worker import ids
from worker.domain.changes import Change, causes_of
from worker.domain.changeset import Changeset, changeset
from worker.domain.concerned import concerned
from worker.domain.folded import Regrouped
from worker.domain.grouping import Limits
from worker.domain.ledger import LedgerChanges, ledger_changes
from worker.domain.snapshot import lock_keys
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import Ref
from worker.errors import TransientError
from worker.pipeline.load import is_current, load, load_ledgers, withdraw
from worker.pipeline.write import ENCODER, write
from worker.settings import settings
from worker.store import db, locks, sqlstates
from worker.store.db import Tx

ATTEMPTS = 8
#: attempts with locks on identifiers before the whole organization is locked: where many write about the same few
#: people, what has to be locked grows faster than it can be locked piece by piece
_PATIENCE = 3


class OutdatedError(Exception):
    """What was loaded has changed, or more has to be locked: do it again under these keys."""

    def __init__(self, keys: Collection[str] = ()) -> None:
        super().__init__("another writer was faster")
        self.keys = set(keys)


@dataclass(slots=True)
class Replay:
    """Envelopes that are read anew: what they once stated is withdrawn first."""

    envelope_ids: Sequence[UUID]
    #: reads what else was kept about the same records; called under the locks, because a statement that counted for
    #: nothing until now may be what remains
    others: Callable[[Tx], list[EnvelopeStatements]]


@dataclass(slots=True)
class Applied:
    """What a transaction did."""

    records: int = 0  #: records whose state changed
    changes: int = 0  #: entries added to the change log
    contact_of: Mapping[Ref, UUID | None] = field(default_factory=dict)  #: the contact of each record concerned
    log: Sequence[Change] = ()  #: the entries added
    written: Collection[UUID] = ()  #: contacts whose row was written
    envelope_ids: Sequence[UUID] = ()

    @property
    def contacts(self) -> Mapping[UUID, Change]:
        """The entries of contacts whose row was written."""
        return {entry.contact_id: entry for entry in self.log if entry.contact_id in self.written}

    @property
    def changed_by(self) -> set[UUID]:
        """The envelopes that led to an entry in the change log."""
        return causes_of(self.log)


@dataclass(slots=True)
class Batch:
    """What one transaction takes in. The hooks run in it, and may run again when it does."""

    statements: Sequence[EnvelopeStatements] = ()
    connection_of: Mapping[UUID, UUID] = field(default_factory=dict)  #: by envelope
    replay: Replay | None = None
    regrouped: Regrouped | None = None  #: records to be grouped anew, in a batch without statements
    locks_all: bool = False  #: the whole organization, from the first attempt on

    def begin(self, tx: Tx, now: datetime) -> None:
        """Come first: take queue rows away, work out what the statements are. ``now`` is the database's time.

        What is loaded here is not locked, unless another writer was faster before; ``judge`` has to look again.
        """

    def judge(self, tx: Tx, people: Changeset) -> None:
        """Look at the outcome once it is locked and before it is written; raise to write nothing."""

    def finish(self, tx: Tx, applied: Applied) -> None:
        """Come last, when all is written."""


def apply(engine: Engine, organization_id: UUID, batch: Batch) -> Applied:
    """Let statements take effect, once and whole.

    A replay and an upgrade are rare and lock the whole organization. Raises TransientError when other writers keep
    being faster; database errors of other kinds, and what the hooks raise, pass.
    """
    keys: set[str] = set()
    for attempt in range(ATTEMPTS):
        try:
            with engine.begin() as conn:
                tx = Tx(conn, organization_id)
                now = db.enter(tx)
                is_whole = attempt >= _PATIENCE or batch.replay is not None or batch.locks_all
                locking = _Locking(tx, keys, is_whole=is_whole, is_first=attempt == 0)
                locking.take()
                batch.begin(tx, now)
                is_idle = not batch.statements and batch.replay is None and batch.regrouped is None
                applied = Applied() if is_idle else _attempt(tx, batch, locking)
                batch.finish(tx, applied)
                return applied
        except OutdatedError as outdated:
            keys |= outdated.keys
        except DBAPIError as error:
            if not sqlstates.is_race(error):
                raise
            time.sleep(random.uniform(0.005, 0.2) * (attempt + 1))  # noqa: S311 - jitter, not a secret
    raise TransientError("other writers kept changing the same people")


def _attempt(tx: Tx, batch: Batch, locking: "_Locking") -> Applied:
    limits = Limits(settings().crowd_limit, settings().component_limit)
    statements, withdrawn = batch.statements, None
    if batch.replay is not None:
        statements = [*statements, *batch.replay.others(tx)]
        withdrawn = withdraw(tx, batch.replay.envelope_ids)

    snapshot = load(tx, statements, limits, ids.new, withdrawn, batch.regrouped)
    try:
        people = changeset(snapshot, ENCODER)
        about = concerned(people)
    except LookupError as error:  # each SQL statement saw another moment: who was there when loaded was gone later
        if is_current(tx, snapshot):
            raise
        raise OutdatedError(lock_keys(snapshot)) from error

    locking.confirm(lock_keys(snapshot), lambda: is_current(tx, snapshot))
    batch.judge(tx, people)
    contact_of = people.contact_of()
    ledger = ledger_changes(
        people,
        about,
        load_ledgers(tx, statements, about),
        contact_of=contact_of,
        connection_of=batch.connection_of,
        name_note=_name_note,
    )
    write(tx, people, ledger, are_links_new=locking.is_first and batch.replay is None)
    return _applied(people, ledger, contact_of)


def _applied(people: Changeset, ledger: LedgerChanges, contact_of: Mapping[Ref, UUID | None]) -> Applied:
    return Applied(
        records=len(people.snapshot.folded.changed),
        changes=len(ledger.log),
        contact_of=contact_of,
        log=ledger.log,
        written=people.changes.keys(),
        envelope_ids=[stated.envelope_id for stated in people.snapshot.stated],
    )


def _name_note(envelope_id: UUID, position: int) -> tuple[UUID, str]:
    id_ = ids.within(envelope_id, position)
    return id_, ids.show(ids.NOTE, id_)


@dataclass(slots=True)
class _Locking:
    """What an attempt locks before it loads; nothing the first time."""

    tx: Tx
    keys: set[str]
    is_whole: bool  #: the whole organization
    is_first: bool  #: the first attempt, which skips the check for rows that almost never exist

    def take(self) -> None:
        """Take the locks that are known to be needed."""
        if self.is_whole:
            locks.take_all(self.tx)
        elif self.keys:
            locks.take(self.tx, self.keys, settings().lock_buckets)

    def confirm(self, needed: set[str], is_current: Callable[[], bool]) -> None:
        """See that what was loaded is locked and still true; raises OutdatedError if not."""
        if self.is_whole:
            return
        if not self.keys:
            locks.take(self.tx, needed, settings().lock_buckets)
            if is_current():
                return
        elif needed <= self.keys:
            return
        raise OutdatedError(needed)
