"""Drain: take due envelopes from the queue through to contacts, a batch at a time.

It commits in steps: first the lease of a batch (with its fencing token and crash count), then the work of each
organization together with the removal of its queue rows. A crash anywhere leaves the envelopes due, and nothing counts
twice. A bad envelope is found by halving its batch, and parked alone.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self
from uuid import UUID, uuid4

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from connectors import reader_of
from connectors.contract import MalformedPayloadError
from worker import metrics, stopping
from worker.domain.statements import EnvelopeStatements
from worker.errors import PermanentError, TransientError
from worker.inbox import doubts, kept_envelopes, replay, retries
from worker.inbox.doubts import Doubt
from worker.pipeline.apply import Applied, Batch, apply
from worker.settings import settings
from worker.store import connections, counts, ready, refetches, runs, sqlstates
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow
from worker.store.ready import Leased, Only, Parked

log = structlog.get_logger()


class LeaseLostError(Exception):
    """Another drain has taken the rows over and will do the work."""


@dataclass(slots=True)
class Drained:
    """What became of a batch."""

    leased: int = 0
    settled: int = 0
    ignored: int = 0
    parked: int = 0
    postponed: int = 0
    left_out: int = 0  #: texts that could not be used
    clamped: int = 0  #: times ahead of ours

    def __iadd__(self, other: "Drained") -> Self:
        for name in Drained.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass(slots=True)
class _Item:
    """A leased envelope, and what is known about it so far."""

    leased: Leased
    statements: EnvelopeStatements | None = None
    parked: Parked | None = None
    doubts: Sequence[Doubt] = ()  #: what it says that has to be confirmed by reading

    @property
    def envelope(self) -> EnvelopeRow:
        """The envelope as it was received."""
        return self.leased.envelope

    @property
    def is_withdrawn(self) -> bool:
        """Return whether to withdraw what the envelope stated before.

        Every replay does. A replayed body that is now found malformed states nothing, so its old statements go too;
        an envelope that is parked for another reason keeps them.
        """
        return self.leased.replay and (self.parked is None or self.parked.kind == "malformed")

    def park(self, kind: str, reason: str) -> Parked:
        """Mark the envelope as parked, for a person to look at."""
        row = self.envelope
        log.warning("envelope_parked", envelope_id=str(row.id), connection_id=str(row.connection_id), kind=kind)
        self.parked = Parked(row.id, row.connection_id, row.topic, kind, reason, self.leased.attempts + 1)
        return self.parked

    def outcome(self) -> tuple[UUID, str, str | None]:
        """Return (envelope, outcome, detail) as ``ready.settle`` takes it."""
        if self.doubts and self.statements is not None and self.statements.is_empty:
            return (self.envelope.id, "ignored", f"{self.envelope.topic}: {doubts.WAITING}")
        if self.statements is None or self.statements.is_empty:
            return (self.envelope.id, "ignored", self.envelope.topic or "(no topic)")
        return (self.envelope.id, "settled", self.statements.remarks)


@dataclass(slots=True, kw_only=True)
class _Settling(Batch):
    """A batch whose transaction also takes its envelopes out of the queue."""

    token: UUID
    items: Sequence[_Item]
    outcomes: Sequence[tuple[UUID, str, str | None]]
    refetch: Sequence[tuple[UUID, str]]  #: (connection, external_id)
    counted: Mapping[str, float]  #: for the metrics

    def begin(self, tx: Tx, now: datetime) -> None:  # noqa: ARG002 - a hook's
        """Remove the queue rows first: they stay locked until the commit, so no other drain can take them over."""
        ids_ = [item.envelope.id for item in self.items]
        if ready.delete(tx, ids_, self.token, self.counted) != len(ids_):
            raise LeaseLostError
        ready.park(tx, [item.parked for item in self.items if item.parked is not None])
        is_replay = any(item.leased.replay for item in self.items)
        ready.settle(tx, self.outcomes, is_replay=is_replay)

    def finish(self, tx: Tx, applied: Applied) -> None:
        """Count for the runs last, because other drains wait for the lock on a run's row."""
        refetches.ensure(tx, self.refetch)
        refetches.ensure_doubts(tx, [doubt for item in self.items if item.parked is None for doubt in item.doubts])
        of_runs = [item for item in self.items if item.leased.run_id is not None]
        if of_runs:
            runs.add_counts(tx, _counts(of_runs, applied.changed_by))


def drain(engine: Engine, lane: int, *, budget_s: float, on_full: Callable[[int], None] = lambda _: None) -> Drained:
    """Drain a lane until nothing is due, the budget is spent, or this worker has to end.

    Any number of drains may work on one lane.

    ``on_full`` is called with the lane after each lease of a full batch: more may be due, and other workers could help.
    """
    began = time.monotonic()
    total = Drained()
    while True:
        batch = drain_batch(engine, lane, on_full=on_full)
        suspect = drain_batch(engine, lane, only=Only.SUSPECTS)
        total += batch
        total += suspect
        if batch.leased + suspect.leased == 0 or time.monotonic() - began > budget_s or stopping.is_told():
            return total


def drain_batch(
    engine: Engine, lane: int, *, only: Only = Only.ORDINARY, on_full: Callable[[int], None] = lambda _: None
) -> Drained:
    """Lease one batch and work it off; ``only`` says which envelopes, by whether they may have killed processes."""
    token = uuid4()
    with engine.begin() as conn:
        leased = ready.lease_due(
            conn,
            lane,
            most=settings().inbox_batch,
            lease=timedelta(seconds=settings().lease_s),
            token=token,
            only=only,
            counted=metrics.batch_times.take(),
        )
        if not leased:
            return Drained()
        accounts = connections.by_ids(conn, {row.envelope.connection_id for row in leased})
    if len(leased) == settings().inbox_batch:
        on_full(lane)
    began = time.perf_counter()
    try:
        result = _LeasedBatch(engine, token, accounts).work(leased)
    finally:
        metrics.batch_times.add(time.perf_counter() - began)
    log.info("inbox_drained", lane=lane, **{name: getattr(result, name) for name in Drained.__slots__})
    return result


def tell_times(engine: Engine) -> None:
    """Store the times of batches that no later lease took along."""
    if times := metrics.batch_times.take():
        with engine.begin() as conn:
            counts.add(conn, times)


class _LeasedBatch:
    """Envelopes under one lease, with the engine, the fencing token and the connections that their work needs."""

    def __init__(self, engine: Engine, token: UUID, accounts: Mapping[UUID, ConnectionRow]) -> None:
        self._engine = engine
        self._token = token
        self._accounts = accounts
        self._held: dict[UUID, list[_Item]] = defaultdict(list)  #: by organization; not worked off yet

    def work(self, leased: Sequence[Leased]) -> Drained:
        """Work off one organization after the other.

        Raises TransientError if the system is at fault; then the envelopes are due again, and nothing is counted
        against them.
        """
        result = Drained(leased=len(leased))
        for row in leased:
            self._held[row.envelope.organization_id].append(_Item(row))
        while self._held:
            organization_id = next(iter(self._held))
            try:
                result += self._work_organization(organization_id, self._held[organization_id])
            except SoftTimeLimitExceeded:
                raise  # the lease lapses and counts as a crash, which isolates the envelope that takes so long
            except Exception as error:
                self._give_back()
                if not sqlstates.is_system_fault(error):
                    raise
                raise TransientError(f"the system failed: {type(error).__name__}") from None
            del self._held[organization_id]
        return result

    def _work_organization(self, organization_id: UUID, items: Sequence[_Item]) -> Drained:
        """Set aside, normalise, apply: ordinary envelopes in one transaction, each replay in its own."""
        paused_ids = {id_ for id_, account in self._accounts.items() if account.state == "paused"}
        paused = [item for item in items if item.envelope.connection_id in paused_ids] if paused_ids else []
        self._set_aside(organization_id, paused)
        result = Drained(postponed=len(paused))
        together: list[_Item] = []
        alone: list[_Item] = []
        max_crashes = settings().max_crashes
        for item in items:
            if paused_ids and item.envelope.connection_id in paused_ids:
                continue
            if item.leased.crashes >= max_crashes:
                item.park("crashed", f"its processing ended {item.leased.crashes} processes")
            elif not self._normalise(item):
                result += self._fail(organization_id, item)
                continue
            (alone if item.leased.replay else together).append(item)
        if together:
            result += self._apply(organization_id, together)
        for item in alone:
            result += self._apply(organization_id, [item])
        return result

    def _normalise(self, item: _Item) -> bool:
        """Normalise an envelope, or park it; return False if our own code failed on it."""
        try:
            account = self._accounts[item.envelope.connection_id]
            item.statements = kept_envelopes.statements_of(item.envelope, account)
            item.doubts = doubts.take_out(item.envelope, account, item.statements)
        except MalformedPayloadError as error:
            item.park("malformed", str(error))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            # The message of an unknown error may quote the payload, which is personal data.
            log.error("envelope_unreadable", envelope_id=str(item.envelope.id), exc_info=error)
            return False
        return True

    def _apply(self, organization_id: UUID, items: Sequence[_Item]) -> Drained:
        """Apply items in one transaction; after an error that one envelope may have caused, try each half."""
        try:
            return self._commit(organization_id, items)
        except LeaseLostError:
            # Another drain has some of the rows, and the token keeps us off them; the others become due again.
            log.warning("lease_lost", envelopes=len(items))
            self._postpone(organization_id, items, timedelta(0), failed=False)
            return Drained(postponed=len(items))
        except SoftTimeLimitExceeded:
            raise
        except Exception as error:
            if sqlstates.is_system_fault(error):
                raise
            if len(items) == 1:
                return self._blame(organization_id, items[0], error)
            half = len(items) // 2
            result = self._apply(organization_id, items[:half])
            result += self._apply(organization_id, items[half:])
            return result

    def _commit(self, organization_id: UUID, items: Sequence[_Item]) -> Drained:
        """Apply items and take them out of the queue, in one transaction."""
        parked = sum(1 for item in items if item.parked is not None)
        good = [item for item in items if item.parked is None and item.statements is not None]
        outcomes = [item.outcome() for item in good]
        connection_of = {item.envelope.id: item.envelope.connection_id for item in items}
        replayed = [item.envelope for item in items if item.is_withdrawn]
        statements = [item.statements for item in good if item.statements is not None]
        ignored = sum(1 for outcome in outcomes if outcome[1] == "ignored")
        result = Drained(
            settled=len(outcomes) - ignored,
            ignored=ignored,
            parked=parked,
            left_out=sum(len(stated.left_out) for stated in statements),
            clamped=sum(stated.clamped for stated in statements),
        )
        settling = _Settling(
            statements,
            connection_of,
            replay.replay_of(replayed, self._accounts, connection_of) if replayed else None,
            token=self._token,
            items=items,
            outcomes=outcomes,
            refetch=self._to_refetch(good),
            counted=metrics.of_batch(result),
        )
        apply(self._engine, organization_id, settling)
        return result

    def _to_refetch(self, items: Sequence[_Item]) -> list[tuple[UUID, str]]:
        """Return the customers, as (connection, external id), of whom an envelope does not say everything.

        Only providers that we can read are asked. Rows of a run say everything.
        """
        readers = {id_: reader_of(account.connector) for id_, account in self._accounts.items() if account.can_be_read}
        incomplete = []
        for item in items if readers else ():
            envelope = item.envelope
            if item.leased.run_id is None and envelope.body is not None and envelope.connection_id in readers:
                external_id = readers[envelope.connection_id].wanted(envelope.topic, bytes(envelope.body))
                if external_id is not None:
                    incomplete.append((envelope.connection_id, external_id))
        return incomplete

    def _blame(self, organization_id: UUID, item: _Item, error: Exception) -> Drained:
        """Deal with an envelope that fails alone: park it if it can never succeed, else try it again."""
        state = sqlstates.sqlstate(error)
        if isinstance(error, PermanentError):
            return self._park_alone(organization_id, item, "failed", str(error))
        if sqlstates.is_poison(error):
            reason = f"the database cannot hold one of its values (SQLSTATE {state})"
            return self._park_alone(organization_id, item, "refused", reason)
        log.error("envelope_failed", envelope_id=str(item.envelope.id), sqlstate=state, exc_info=error)
        return self._fail(organization_id, item)

    def _fail(self, organization_id: UUID, item: _Item) -> Drained:
        """Postpone an envelope on which our own code failed; park it after some attempts."""
        attempts = item.leased.attempts + 1
        if attempts >= settings().max_attempts:
            reason = "our code failed on it; see the log for envelope_failed"
            return self._park_alone(organization_id, item, "failed", reason)
        self._postpone(organization_id, [item], retries.after_failure(attempts), failed=True)
        return Drained(postponed=1)

    def _park_alone(self, organization_id: UUID, item: _Item, kind: str, reason: str) -> Drained:
        """Park one envelope, in a transaction of its own."""
        with self._engine.begin() as conn:
            tx = Tx(conn, organization_id)
            if ready.delete(tx, [item.envelope.id], self._token, metrics.of_batch(Drained(parked=1))) != 1:
                return Drained()  # another drain has it now
            ready.park(tx, [item.park(kind, reason)])
            runs.add_counts(tx, _counts([item], ()))
        return Drained(parked=1)

    def _set_aside(self, organization_id: UUID, items: Sequence[_Item]) -> None:
        """Keep the envelopes of paused connections waiting until the connections resume."""
        if items:
            ids_, connection_ids = zip(*((i.envelope.id, i.envelope.connection_id) for i in items), strict=True)
            with self._engine.begin() as conn:
                ready.set_aside(Tx(conn, organization_id), ids_, set(connection_ids), self._token)

    def _postpone(self, organization_id: UUID, items: Sequence[_Item], delay: timedelta, *, failed: bool) -> None:
        ids_ = [item.envelope.id for item in items]
        with self._engine.begin() as conn:
            ready.postpone(Tx(conn, organization_id), ids_, self._token, delay=delay, failed=failed)

    def _give_back(self) -> None:
        """Give back the envelopes once the database is back: a lease that lapses would count as a crash."""
        until = time.monotonic() + settings().lease_s / 2
        while time.monotonic() < until:
            try:
                for organization_id, items in self._held.items():
                    self._postpone(organization_id, items, retries.AFTER_SYSTEM_FAULT, failed=False)
            except DBAPIError:
                time.sleep(0.5)
            else:
                return


def _counts(items: Sequence[_Item], changed_by: Collection[UUID]) -> dict[UUID, list[int]]:
    """Return how many rows of each run are changed, unchanged and parked."""
    counts: dict[UUID, list[int]] = {}
    for item in items:
        if (run_id := item.leased.run_id) is not None:
            place = 2 if item.parked is not None else 0 if item.envelope.id in changed_by else 1
            counts.setdefault(run_id, [0, 0, 0])[place] += 1
    return counts
