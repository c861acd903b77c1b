"""Regroup: walk over all records of an organization and group them anew, by the rules of today.

It commits in steps, a batch each, and notes in the same transaction how far it is, so a run that was killed goes on
where it stopped. Everything is written through the one write path (``worker/pipeline/apply.py``). Each batch takes the
families of its records whole (``kinship``), so that each family is looked at once.

A dry run does the same and rolls each batch back. It writes nothing but ``loose_ties``, which only upgrades read.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import Engine

from worker.domain.changeset import Changeset
from worker.domain.folded import Regrouped
from worker.domain.normalise import ceiling_of
from worker.domain.terms import Tie
from worker.domain.times import microseconds
from worker.pipeline.apply import Applied, Batch, apply
from worker.settings import settings
from worker.store import consents, contact_aliases, db, suppressions, upgrades
from worker.store.db import Tx
from worker.upgrade.correct import correct, correct_ledgers
from worker.upgrade.kinship import Kin, kin
from worker.upgrade.outcome import Outcome
from worker.upgrade.report import Report

#: records of a batch; it holds the lock of the organization for about half a second
BATCH = 1_000
#: records, or rows of a ledger, that a statement looks through where little has to be written
_PAGE = 20_000
_NOBODY = UUID(int=0)


def regroup(
    engine: Engine,
    organization_id: UUID,
    *,
    is_dry: bool,
    most_examples: int = 10,
    tell: Callable[[Report], None] = lambda _: None,
) -> Report | None:
    """Bring an organization to today's rules, or tell what that would do; ``tell`` hears after every batch.

    Returns None if there is nothing to do: nothing was stored by an earlier release, or it was brought here before.
    """
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        now = db.enter(tx)
        row = upgrades.of_organization(tx)
        if row is None or row.done_at is not None:
            return None
        if not is_dry:
            upgrades.begin(tx, now)
    _tie(engine, organization_id)
    began_at = row.began_at or now
    report = Report.of({} if is_dry else row.report, most_examples)
    after = row.last_record_id
    while True:
        batch = _Families(after=after, began_at=began_at, report=report, is_dry=is_dry)
        _carry_out(engine, organization_id, batch)
        if batch.last is None:
            break
        after, report = batch.last, batch.report
        tell(report)
    if not is_dry:
        _finish(engine, organization_id, began_at)
    elif row.began_at is None:  # otherwise a run that goes on later needs them
        with engine.begin() as conn:
            upgrades.untie(Tx(conn, organization_id))
    return report


class _UndoneError(Exception):
    """A batch of a dry run is rolled back."""


def _carry_out(engine: Engine, organization_id: UUID, batch: "_Families") -> None:
    try:
        apply(engine, organization_id, batch)
    except _UndoneError:
        return


@dataclass(slots=True, kw_only=True)
class _Families(Batch):
    """The families of the next records."""

    after: UUID
    began_at: datetime
    report: Report
    is_dry: bool
    locks_all: bool = True
    last: UUID | None = None
    found: Kin = field(default_factory=Kin)
    outcome: Outcome = field(default_factory=Outcome)
    people: Changeset | None = None

    def begin(self, tx: Tx, now: datetime) -> None:  # noqa: ARG002 - the time at which the run began counts
        self.people = self.regrouped = None
        own = upgrades.page(tx, self.after, BATCH)
        self.last = own[-1] if own else None
        if not own:
            return
        self.found = kin(tx, own, self.after, settings().component_limit)
        if not self.found.rows:
            return
        self.outcome = Outcome.of(tx, self.found)
        upgrades.note_shown(tx, self.outcome.shown())
        changed = correct(tx, self.found, microseconds(ceiling_of(self.began_at)))
        ties = {
            ref: {
                one.claim.ident: Tie(one.claim.role, one.claim.value, one.claim.is_verified)
                for one in self.found.held.get(row.id, ())
            }
            for ref, row in self.found.rows.items()
        }
        self.regrouped = Regrouped(list(self.found.rows.values()), changed, ties)

    def judge(self, tx: Tx, people: Changeset) -> None:  # noqa: ARG002 - a hook's
        self.people = people

    def finish(self, tx: Tx, applied: Applied) -> None:
        if self.last is None:
            return
        report = Report.of(self.report.shown(), self.report.most_examples)
        report.records += len(self.found.rows) if self.people is not None else 0
        report.entries += applied.changes
        if self.people is not None:
            self._keep_ids_of_edits(tx, applied)
            self.outcome.add_to(report, tx, self.people, applied.contact_of)
        if self.is_dry:
            self.report = report
            raise _UndoneError
        upgrades.advance(tx, self.last, report.shown())
        self.report = report

    def _keep_ids_of_edits(self, tx: Tx, applied: Applied) -> None:
        """Let the ids of edits, which answered before, answer with the person."""
        assert self.people is not None  # noqa: S101 - it was judged
        lost = self.people.resolution.lost
        carriers: dict[UUID, UUID] = {}
        for ref, row in self.found.rows.items():
            contact_id = applied.contact_of[ref]
            if contact_id is not None and row.record.is_live and row.record.kind != "edit" and ref not in lost:
                carriers.setdefault(contact_id, row.id)
        aliases = {}
        for ref, row in self.found.rows.items():
            contact_id = applied.contact_of[ref]
            if row.record.kind == "edit" and row.contact_id is not None and contact_id in carriers:
                aliases[row.id] = carriers[contact_id]
        contact_aliases.ensure(tx, aliases)


def _tie(engine: Engine, organization_id: UUID) -> None:
    """Note what removed records held, so that their families can be found."""
    after: UUID | None = _NOBODY
    while after is not None:
        with engine.begin() as conn:
            tx = Tx(conn, organization_id)
            after = upgrades.tie(tx, after, _PAGE)


def _finish(engine: Engine, organization_id: UUID, began_at: datetime) -> None:
    """Correct what no family has led to, and note that everything is done."""
    unknown = microseconds(ceiling_of(began_at))
    key: bytes | None = b""
    while key is not None:
        with engine.begin() as conn:
            tx = Tx(conn, organization_id)
            entries = consents.page(tx, key, _PAGE)
            correct_ledgers(tx, entries, (), unknown)
        key = entries[-1].key if entries else None
    key = b""
    while key is not None:
        with engine.begin() as conn:
            tx = Tx(conn, organization_id)
            rows = suppressions.page(tx, key, _PAGE)
            correct_ledgers(tx, (), [entry for _, entry in rows], unknown)
        key = rows[-1][0] if rows else None
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        upgrades.bound_requests(tx, began_at)
        upgrades.compose_notes(tx)
        upgrades.untie(tx)
        upgrades.finish(tx)
