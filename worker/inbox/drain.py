"""Drain: take due envelopes from the queue through to contacts, one batch a transaction.

Two commits a batch: the claim (lease, fencing token, crash count), then the work together with the removal
of the queue rows. A crash anywhere leaves the work due; nothing counts twice. A bad envelope is found by
bisection and parked alone.
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
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from connectors import reader_of
from connectors.contract import MalformedPayloadError
from worker import metrics
from worker.domain.statements import EnvelopeStatements
from worker.errors import PermanentError, TransientError
from worker.inbox import kept_envelopes
from worker.pipeline.apply import Applied, Batch, Replay, apply
from worker.settings import settings
from worker.store import connections, ready, refetches, runs
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow
from worker.store.ready import Leased, Parked

log = structlog.get_logger()

#: SQLSTATE classes of values that the database will never take
_POISON = ("22", "23502", "23514", "54")
#: a fault of ours is tried again after so long, doubled each time
_FIRST_DELAY = timedelta(seconds=1)
#: the system is at fault (lost connection, full disk): nothing is counted against the envelopes
_SYSTEM_DELAY = timedelta(seconds=1)


class LeaseLostError(Exception):
    """Another drain took the rows over; it will do the work."""


@dataclass(slots=True)
class Drained:
    """What became of a batch."""

    claimed: int = 0
    settled: int = 0
    ignored: int = 0
    parked: int = 0
    postponed: int = 0

    def __iadd__(self, other: "Drained") -> Self:
        for name in ("claimed", "settled", "ignored", "parked", "postponed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


@dataclass(slots=True)
class _Item:
    """A claimed envelope on its way."""

    claimed: Leased
    reading: EnvelopeStatements | None = None
    parked: Parked | None = None

    @property
    def envelope(self) -> EnvelopeRow:
        """What was received."""
        return self.claimed.envelope


@dataclass(slots=True, kw_only=True)
class _Settling(Batch):
    """The work and the queue in one transaction."""

    organization_id: UUID
    token: UUID
    items: Sequence[_Item]
    outcomes: Sequence[tuple[UUID, str, str | None]]
    to_read_back: Sequence[tuple[UUID, str]]

    def begin(self, tx: Tx, now: datetime) -> None:  # noqa: ARG002 - a hook's
        """Take the rows away first of all: they stay locked until the end, so nobody can take them over meanwhile."""
        ids_ = [item.envelope.id for item in self.items]
        if ready.take(tx, ids_, self.token) != len(ids_):
            raise LeaseLostError
        ready.park(tx, [item.parked for item in self.items if item.parked is not None])
        is_replay = any(item.claimed.replay for item in self.items)
        ready.settle(tx, self.outcomes, is_replay=is_replay)

    def finish(self, tx: Tx, applied: Applied) -> None:
        """Count last: others wait for the row of the run."""
        refetches.ensure(tx, self.to_read_back)
        runs.count(tx, _counts(self.items, applied.changed_by))


def drain(engine: Engine, lane: int, *, budget_s: float, on_full: Callable[[int], None] = lambda _: None) -> Drained:
    """Drain a lane until nothing is due or the budget is spent; safe beside any number of others.

    ``on_full`` is called when there was more than one batch to take: others could help.
    """
    began = time.monotonic()
    total = Drained()
    while True:
        batch = drain_batch(engine, lane, on_full=on_full)
        suspect = drain_batch(engine, lane, suspects=True)
        total += batch
        total += suspect
        if batch.claimed + suspect.claimed == 0 or time.monotonic() - began > budget_s:
            return total


def drain_batch(
    engine: Engine, lane: int, *, suspects: bool = False, on_full: Callable[[int], None] = lambda _: None
) -> Drained:
    """Claim one batch and work it off."""
    token = uuid4()
    with engine.begin() as conn:
        lease = timedelta(seconds=settings().lease_s)
        claimed = ready.lease_due(conn, lane, most=settings().inbox_batch, lease=lease, token=token, suspects=suspects)
        if not claimed:
            return Drained()
        accounts = connections.by_ids(conn, {row.envelope.connection_id for row in claimed})
    if len(claimed) == settings().inbox_batch:
        on_full(lane)
    result = Drained(claimed=len(claimed))
    held: dict[UUID, list[_Item]] = defaultdict(list)
    for row in claimed:
        held[row.envelope.organization_id].append(_Item(row))
    with metrics.batch_seconds.time():
        while held:
            organization_id = next(iter(held))
            try:
                result += _drain_organization(engine, organization_id, held[organization_id], accounts, token)
            except SoftTimeLimitExceeded:
                raise  # a batch that never ends counts as one that kills: that isolates what causes it
            except Exception as error:
                _give_back(engine, held, token)
                if not _is_system_fault(error):
                    raise
                raise TransientError(f"the system failed: {type(error).__name__}") from None
            del held[organization_id]
    metrics.count(result)
    log.info("inbox_drained", lane=lane, **{name: getattr(result, name) for name in Drained.__slots__})
    return result


def _drain_organization(
    engine: Engine,
    organization_id: UUID,
    items: Sequence[_Item],
    accounts: Mapping[UUID, ConnectionRow],
    token: UUID,
) -> Drained:
    at_rest = {id_ for id_, account in accounts.items() if account.state == "paused"}
    paused = [item for item in items if item.envelope.connection_id in at_rest] if at_rest else []
    _set_aside(engine, organization_id, paused, token)
    result = Drained(postponed=len(paused))
    together: list[_Item] = []
    alone: list[_Item] = []
    max_crashes = settings().max_crashes
    for item in items:
        if at_rest and item.envelope.connection_id in at_rest:
            continue
        if item.claimed.crashes >= max_crashes:
            item.parked = _park(item, "crashed", f"its processing ended {item.claimed.crashes} processes")
        elif not _read(item, accounts):
            result += _failed(engine, organization_id, item, token)
            continue
        (alone if item.claimed.replay else together).append(item)
    if together:
        result += _work(engine, organization_id, together, accounts, token)
    for item in alone:
        result += _work(engine, organization_id, [item], accounts, token)
    return result


def _read(item: _Item, accounts: Mapping[UUID, ConnectionRow]) -> bool:
    """Normalise an envelope, or park it; False if our own code failed on it."""
    try:
        item.reading = kept_envelopes.read(item.envelope, accounts[item.envelope.connection_id])
    except MalformedPayloadError as error:
        item.parked = _park(item, "malformed", str(error))
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        # The message of an unknown error may quote the payload, which is personal data.
        log.error("envelope_unreadable", envelope_id=str(item.envelope.id), exc_info=error)
        return False
    return True


def _work(
    engine: Engine, organization_id: UUID, items: Sequence[_Item], accounts: Mapping[UUID, ConnectionRow], token: UUID
) -> Drained:
    """Apply a batch; on an error that may be one envelope's fault, halve it until that one stands alone."""
    try:
        return _commit(engine, organization_id, items, accounts, token)
    except LeaseLostError:
        # Some rows are another's now; the token guards those, and the rest is due again.
        log.warning("lease_lost", envelopes=len(items))
        _postpone(engine, organization_id, items, token, timedelta(0), failed=False)
        return Drained(postponed=len(items))
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        if _is_system_fault(error):
            raise
        if len(items) > 1:
            half = len(items) // 2
            result = _work(engine, organization_id, items[:half], accounts, token)
            result += _work(engine, organization_id, items[half:], accounts, token)
            return result
        return _fault(engine, organization_id, items[0], token, error)


def _commit(
    engine: Engine, organization_id: UUID, items: Sequence[_Item], accounts: Mapping[UUID, ConnectionRow], token: UUID
) -> Drained:
    """Let a batch take effect: the work and the removal from the queue stand or fall together."""
    parked = sum(1 for item in items if item.parked is not None)
    good = [item for item in items if item.parked is None and item.reading is not None]
    outcomes = [_outcome(item) for item in good]
    connection_of = {item.envelope.id: item.envelope.connection_id for item in items}

    def others(tx: Tx) -> list[EnvelopeStatements]:
        readings = []
        for item in replayed:
            for reading, connection_id in kept_envelopes.siblings(tx, item.envelope, accounts):
                readings.append(reading)
                connection_of[reading.envelope_id] = connection_id
        return readings

    # A body that is found malformed now withdraws what it had stated when it was thought to be sound.
    replayed = [
        item for item in items if item.claimed.replay and (item.parked is None or item.parked.kind == "malformed")
    ]
    replay = Replay([item.envelope.id for item in replayed], others) if replayed else None
    readings = [item.reading for item in good if item.reading is not None]
    settling = _Settling(
        readings,
        connection_of,
        replay,
        organization_id=organization_id,
        token=token,
        items=items,
        outcomes=outcomes,
        to_read_back=_to_read_back(good, accounts),
    )
    apply(engine, organization_id, settling)
    ignored = sum(1 for outcome in outcomes if outcome[1] == "ignored")
    return Drained(settled=len(outcomes) - ignored, ignored=ignored, parked=parked)


def _to_read_back(items: Sequence[_Item], accounts: Mapping[UUID, ConnectionRow]) -> list[tuple[UUID, str]]:
    """Name the customers to be read back, of whom an envelope did not say all, and whom we can ask for."""
    readers = {id_: reader_of(account.connector) for id_, account in accounts.items() if account.can_be_read}
    found = []
    for item in items if readers else ():
        envelope = item.envelope
        if item.claimed.run_id is None and envelope.body is not None and envelope.connection_id in readers:
            external_id = readers[envelope.connection_id].wanted(envelope.topic, bytes(envelope.body))
            if external_id is not None:
                found.append((envelope.connection_id, external_id))
    return found


def _counts(items: Sequence[_Item], changed_by: Collection[UUID]) -> dict[UUID, list[int]]:
    """Count what became of the rows of each run: changed, unchanged, parked."""
    counts: dict[UUID, list[int]] = {}
    for item in items:
        if item.claimed.run_id is not None:
            place = 2 if item.parked is not None else 0 if item.envelope.id in changed_by else 1
            counts.setdefault(item.claimed.run_id, [0, 0, 0])[place] += 1
    return counts


def _outcome(item: _Item) -> tuple[UUID, str, str | None]:
    if item.reading is None or item.reading.is_empty:
        return (item.envelope.id, "ignored", item.envelope.topic or "(no topic)")
    return (item.envelope.id, "settled", None)


def _fault(engine: Engine, organization_id: UUID, item: _Item, token: UUID, error: Exception) -> Drained:
    """One envelope alone fails: park what can never work, try the rest again a few times."""
    cause = getattr(error, "orig", None)
    state = getattr(cause, "sqlstate", None)
    if isinstance(error, PermanentError):
        return _set_apart(engine, organization_id, item, token, "failed", str(error))
    is_poison = isinstance(cause or error, UnicodeEncodeError) or (
        isinstance(error, DBAPIError) and (state is None or state.startswith(_POISON))
    )
    if is_poison:
        reason = f"the database cannot hold one of its values (SQLSTATE {state})"
        return _set_apart(engine, organization_id, item, token, "refused", reason)
    log.error("envelope_failed", envelope_id=str(item.envelope.id), sqlstate=state, exc_info=error)
    return _failed(engine, organization_id, item, token)


def _failed(engine: Engine, organization_id: UUID, item: _Item, token: UUID) -> Drained:
    """Our own code failed: later again, and after some attempts it is for a person."""
    attempts = item.claimed.attempts + 1
    if attempts >= settings().max_attempts:
        reason = "our code failed on it; see the log for envelope_failed"
        return _set_apart(engine, organization_id, item, token, "failed", reason)
    _postpone(engine, organization_id, [item], token, _FIRST_DELAY * 2**attempts, failed=True)
    return Drained(postponed=1)


def _set_apart(engine: Engine, organization_id: UUID, item: _Item, token: UUID, kind: str, reason: str) -> Drained:
    """Park one envelope, in a transaction of its own."""
    with engine.begin() as conn:
        if ready.take(Tx(conn, organization_id), [item.envelope.id], token) != 1:
            return Drained()  # another drain has it now
        item.parked = _park(item, kind, reason)
        ready.park(Tx(conn, organization_id), [item.parked])
        runs.count(Tx(conn, organization_id), _counts([item], ()))
    return Drained(parked=1)


def _park(item: _Item, kind: str, reason: str) -> Parked:
    row = item.envelope
    log.warning("envelope_parked", envelope_id=str(row.id), connection_id=str(row.connection_id), kind=kind)
    return Parked(row.id, row.connection_id, row.topic, kind, reason, item.claimed.attempts + 1)


def _set_aside(engine: Engine, organization_id: UUID, items: Sequence[_Item], token: UUID) -> None:
    """Let the envelopes of paused connections wait until they resume."""
    if items:
        ids_, connection_ids = zip(*((i.envelope.id, i.envelope.connection_id) for i in items), strict=True)
        with engine.begin() as conn:
            ready.set_aside(Tx(conn, organization_id), ids_, set(connection_ids), token)


def _postpone(
    engine: Engine, organization_id: UUID, items: Sequence[_Item], token: UUID, delay: timedelta, *, failed: bool
) -> None:
    with engine.begin() as conn:
        ids_ = [item.envelope.id for item in items]
        ready.postpone(Tx(conn, organization_id), ids_, token, delay=delay, failed=failed)


def _give_back(engine: Engine, held: Mapping[UUID, Sequence[_Item]], token: UUID) -> None:
    """Return what we hold once the database is back; a lease that lapses would count against the envelopes."""
    until = time.monotonic() + settings().lease_s / 2
    while time.monotonic() < until:
        try:
            for organization_id, items in held.items():
                _postpone(engine, organization_id, items, token, _SYSTEM_DELAY, failed=False)
        except DBAPIError:
            time.sleep(0.5)
        else:
            return


def _is_system_fault(error: Exception) -> bool:
    """Whether the database is away, full or half deployed: no envelope is to blame.

    A statement that timed out or a lock that did not come may be one envelope's doing, and is not among them.
    """
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if error.connection_invalidated or isinstance(error, InterfaceError):
        return True
    if state is None:
        return isinstance(error, OperationalError)
    return str(state).startswith(("08", "53", "57P", "42", "58"))
