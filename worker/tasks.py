"""The spine: the Celery tasks in order of flow. Read this first.

    webhook ─> ingest ─> INBOX ─> drain: claim ─> normalise ─> fold ─> resolve ─> upsert ─> record ─> settle
    schedule ─> read ──────┘

The inbox in Postgres is the queue. A message says "there is work" and never what; it may be lost, doubled
or late, and Redis may be wiped at any moment: ``tick`` finds what is due without it.
"""

import base64
import binascii
import time

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
from worker.settings import settings
from worker.store import connections, db, envelopes, idempotency_keys, ready, runs
from worker.store.envelopes import LANES

log = structlog.get_logger()

_FORGET_EVERY_S = 20.0


@app.task(name="worker.tasks.ingest", acks_late=True, reject_on_worker_lost=True)
def ingest(connection_id: str, headers: dict[str, str], body_base64: str) -> None:
    """Do what the webhook route does, for producers that feed the queue directly.

    ``connection_id`` as ``con_…``, the request's headers, its raw body in base64. A message that cannot
    be accepted (unknown connection, bad signature, too large) is dropped with a line in the log; while
    Postgres is away the message goes back to the queue.
    """
    try:
        body = base64.b64decode(body_base64, validate=True)
        if len(body) > settings().max_body_bytes:
            log.warning("ingest_refused", reason="body too large", connection_id=connection_id)
            return
        id_ = ids.parse(ids.CONNECTION, connection_id)
        with db.engine().begin() as conn:
            row = None if id_ is None else connections.by_id(conn, id_)
            source = None if row is None else source_of(row)
            if source is None:
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
        log.warning("ingest_waits", error=type(error).__name__)
        time.sleep(1)
        raise Reject(requeue=True) from None
    except Exception as error:  # as in drain: Celery would log the message
        log.error("ingest_failed", connection_id=connection_id, exc_info=error)
        raise Reject("unexpected error", requeue=False) from None
    nudger.nudge({incoming.lane})


@app.task(name="worker.tasks.drain")
def drain(lane: int) -> None:
    """Drain one lane of the inbox; pass the rest on after a while, so that every lane gets its turn."""
    if not (isinstance(lane, int) and 0 <= lane < LANES):
        return  # whoever can write to the broker can send anything; nothing but a lane is taken
    budget = settings().drain_budget_s
    began = time.monotonic()
    try:
        draining.drain(db.engine(), lane, budget_s=budget, on_full=_call_for_help)
    except (TransientError, DBAPIError) as error:
        log.warning("drain_stopped", lane=lane, error=type(error).__name__)
        return
    except Exception as error:  # Celery would log its message, which may quote a person; the rows are given back
        log.error("drain_failed", lane=lane, exc_info=error)
        return
    if time.monotonic() - began > budget:
        nudger.nudge({lane})


def _call_for_help(lane: int) -> None:
    """Nudge for a lane that holds more than one drain takes at once: another process may be idle."""
    nudger.nudge({lane})


@app.task(name="worker.tasks.read")
def read(_: int) -> None:
    """Read providers page by page, for as long as a drain drains; pass the rest on, so that lanes get their turn."""
    try:
        is_more = slices.work(db.engine(), budget_s=settings().drain_budget_s)
    except (TransientError, DBAPIError) as error:
        log.warning("reading_stopped", error=type(error).__name__)
        return
    except Exception as error:  # as in drain
        log.error("reading_failed", exc_info=error)
        return
    if is_more:
        nudger.nudge({READING})


class _Forgetting:
    """When this process last looked for what may go."""

    again_at = 0.0


_forgetting = _Forgetting()


def _forget() -> None:
    """Let go of what is kept for a while only, a batch at a time."""
    if time.monotonic() < _forgetting.again_at:
        return
    _forgetting.again_at = time.monotonic() + _FORGET_EVERY_S
    with db.engine().begin() as conn:
        idempotency_keys.expire(conn)


def _read_what_is_due() -> None:
    """Start what schedules say, and see that somebody reads."""
    schedules.start_due(db.engine())
    with db.engine().connect() as conn:
        age_s = runs.due_for_s(conn)
    if age_s is None:
        return
    if age_s < settings().sweep_after_s:
        nudger.nudge({READING})
        return
    try:
        slices.work(db.engine(), budget_s=settings().drain_budget_s / 4)
    except (TransientError, DBAPIError) as error:
        log.warning("reading_stopped", error=type(error).__name__)


@app.task(name="worker.tasks.tick")
def tick() -> None:
    """Do what is due: nudge for lanes that wait, drain those for which nudges do not help.

    Needs no Redis. Any number may run at once: claims skip what others hold.
    """
    _read_what_is_due()
    with db.engine().connect() as conn:
        waiting = ready.waiting(conn)
    for lane in waiting:
        if lane.age_s > settings().sweep_after_s and not lane.is_held:
            try:
                draining.drain(db.engine(), lane.lane, budget_s=settings().drain_budget_s / 2)
            except (TransientError, DBAPIError) as error:  # the other lanes wait for their turn
                log.warning("sweep_stopped", lane=lane.lane, error=type(error).__name__)
        elif lane.age_s > settings().nudge_after_s:
            nudger.nudge({lane.lane})
    _forget()
