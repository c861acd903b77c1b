"""The spine: the Celery tasks in order of flow. Read this first.

    webhook ──> ingest ─> INBOX ─> drain: lease ─> normalise ─> load ─> changeset ─> write ─> settle
    schedule ─> read ───────┘

The inbox in Postgres is the queue, and a Celery message is a nudge: it says that there is work, never which. A message
may be lost, doubled or late, and Redis may be wiped at any moment, because ``tick`` finds due work in Postgres alone.
Where no worker takes it, ``tick`` starts a stand-in (``stand_in.py``), and does nothing of it itself.

``inbox/ingest.py`` verifies and keeps an envelope; ``backfill/slices.py`` reads providers and keeps their rows as
envelopes; ``inbox/drain.py`` leases and settles, and between the two ``pipeline/apply.py`` loads, works out the
changeset and writes.
"""

import base64
import binascii
import time
from datetime import timedelta

import structlog
from celery.exceptions import Reject
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from connectors.contract import BadSignatureError
from worker import ids
from worker.app import app
from worker.backfill import schedules, slices
from worker.errors import ConfigError, TransientError
from worker.inbox import drain as draining
from worker.inbox.ingest import accept, is_ping, source_of
from worker.inbox.nudge import READING, nudger
from worker.privacy import expiry, shops
from worker.settings import settings
from worker.stack.stand_ins import StandIns
from worker.stand_in import DRAIN, READ, patience_s
from worker.store import connections, counts, db, envelopes, idempotency_keys, ready, runs
from worker.store.lanes import LANES

log = structlog.get_logger()

#: between two batches of expired rows, in each process
_TIDY_UP_EVERY_S = 20.0


@app.task(name="worker.tasks.ingest", acks_late=True, reject_on_worker_lost=True)
def ingest(connection_id: str, headers: dict[str, str], body_base64: str) -> None:
    """Do what the webhook route does, for producers that feed the queue directly.

    A message has the connection (``con_…``), the request's headers, and its raw body in base64. A message that cannot
    be accepted (unknown connection, bad signature, too large) is dropped with a line in the log. While Postgres is
    away, the message goes back to the broker.
    """
    try:
        id_ = ids.parse(ids.CONNECTION, connection_id)
        connection_id = "none" if id_ is None else connection_id  # it is logged, and may be any text
        body = base64.b64decode(body_base64, validate=True)
        if len(body) > settings().max_body_bytes:
            log.warning("ingest_refused", reason="body too large", connection_id=connection_id)
            return
        with db.engine().begin() as conn:
            row = None if id_ is None else connections.by_id(conn, id_)
            source = None if row is None else source_of(row)
            if source is None:
                db.check_scope(conn)
                log.warning("ingest_refused", reason="unknown or removed connection")
                return
            try:
                incoming = accept(source, list(headers.items()), body)
            except BadSignatureError:
                if is_ping(source, list(headers.items()), body):
                    return
                connections.note_deliveries(conn, [(source.id, None, 1)])
                log.warning("ingest_refused", reason="bad signature", connection_id=connection_id)
                return
            envelopes.keep(conn, [incoming])
    except (binascii.Error, TypeError, AttributeError):
        log.warning("ingest_refused", reason="expected headers as an object and the body in base64")
        return
    except (OperationalError, InterfaceError, ConfigError) as error:
        log.warning("ingest_waits", error=error)
        time.sleep(1)
        raise Reject(requeue=True) from None
    except Exception as error:  # Celery would log its message, which may quote a person
        log.error("ingest_failed", connection_id=connection_id, exc_info=error)
        raise Reject("unexpected error", requeue=False) from None
    nudger.nudge({incoming.lane})


@app.task(name="worker.tasks.drain")
def drain(lane: int) -> None:
    """Drain one lane of the inbox for a while, then nudge for the rest, so that every lane gets its turn."""
    if not (isinstance(lane, int) and 0 <= lane < LANES):
        return  # anybody who can write to the broker can send anything
    budget = settings().drain_budget_s
    began = time.monotonic()
    try:
        draining.drain(db.engine(), lane, budget_s=budget, on_full=_call_for_help)
    except (TransientError, DBAPIError) as error:
        log.warning("drain_stopped", lane=lane, error=error)
        return
    except Exception as error:  # as in ingest; the drain has given its envelopes back
        log.error("drain_failed", lane=lane, exc_info=error)
        return
    if time.monotonic() - began > budget:
        nudger.nudge({lane})


def _call_for_help(lane: int) -> None:
    """Nudge for a lane that has more than one batch: another process may be idle."""
    nudger.nudge({lane})


@app.task(name="worker.tasks.read")
def read(_: int) -> None:
    """Read providers for a while, then nudge for the rest, so that every lane gets its turn."""
    try:
        is_more = slices.work(db.engine(), budget_s=settings().drain_budget_s)
    except (TransientError, DBAPIError) as error:
        log.warning("reading_stopped", error=error)
        return
    except Exception as error:  # as in ingest
        log.error("reading_failed", exc_info=error)
        return
    if is_more:
        nudger.nudge({READING})


class _Housekeeping:
    """Remembers when this process tidies up next."""

    next_at = 0.0


_housekeeping = _Housekeeping()


def _tidy_up() -> None:
    """Delete a batch of the rows whose time is over, and add up the counters."""
    if time.monotonic() < _housekeeping.next_at:
        return
    _housekeeping.next_at = time.monotonic() + _TIDY_UP_EVERY_S
    with db.engine().begin() as conn:
        idempotency_keys.delete_expired(conn)
    with db.engine().begin() as conn:
        counts.fold(conn)


def _read_due() -> None:
    """Start the runs that are due. Nudge the workers to read; call a stand-in if nudges did not help."""
    schedules.start_due(db.engine())
    with db.engine().connect() as conn:
        age_s = runs.due_for_s(conn)
    if age_s is None:
        return
    if age_s < patience_s():
        nudger.nudge({READING})
    else:
        stand_ins.call(READ)


def _drain_due() -> None:
    """Nudge the workers to drain what waits; call a stand-in if nudges did not help."""
    with db.engine().connect() as conn:
        waiting = ready.waiting(conn, lease=timedelta(seconds=settings().lease_s))
    for lane in waiting:
        if lane.age_s > patience_s() and not lane.is_held:
            stand_ins.call(DRAIN)
        elif lane.age_s > settings().nudge_after_s:
            nudger.nudge({lane.lane})


def _expire_bodies() -> None:
    expiry.sweep(db.engine())


def _hide_shops() -> None:
    shops.sweep(db.engine())


#: the stand-ins of this process
stand_ins = StandIns()


@app.task(name="worker.tasks.tick")
def tick() -> None:
    """Sweep: start what is due, nudge for what waits, and call a stand-in where nobody takes the work.

    A sweep needs no Redis, and it does none of the work itself: what hangs in the work must not hang scheduling. Any
    number may run at once. What fails in one step keeps no other step from its turn.
    """
    stand_ins.watch()
    for step in (_drain_due, _read_due, _tidy_up, _expire_bodies, _hide_shops):
        try:
            step()
        except (TransientError, DBAPIError) as error:
            log.warning("sweep_failed", step=step.__name__, error=error)
        except Exception as error:  # as in ingest
            log.error("sweep_failed", step=step.__name__, exc_info=error)
