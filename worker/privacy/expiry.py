"""Expiry: bodies and headers of settled envelopes go when they are old enough, a batch a transaction.

It commits in steps, each short, so it holds up nobody, and what is killed on the way goes on where it stopped.
"""

import time
from datetime import timedelta

import structlog
from sqlalchemy import Engine

from worker.settings import settings
from worker.store import expiries
from worker.store.db import Tx

log = structlog.get_logger()

#: envelopes of a batch
BATCH = 1_000
#: A call stops after this long, and the next comes soon. So at most a fifth of a process's time goes into it.
BUDGET_S = 0.5
_SOON_S, _LATER_S = 2.0, 60.0


class _Timer:
    """Remembers when this process looks next."""

    next_at = 0.0


_timer = _Timer()


def sweep(engine: Engine) -> None:
    """Let bodies expire if it is time for that in this process."""
    if time.monotonic() < _timer.next_at:
        return
    is_done = expire(engine, budget_s=BUDGET_S)
    _timer.next_at = time.monotonic() + (_LATER_S if is_done else _SOON_S)


def expire(engine: Engine, *, budget_s: float) -> bool:
    """Let bodies expire, organization after organization; return whether all was done within the time."""
    until = time.monotonic() + budget_s
    kept = timedelta(days=settings().body_days)
    with engine.begin() as conn:
        waiting = expiries.organizations(conn, timedelta(seconds=_LATER_S))
    for organization_id in waiting:
        while True:
            with engine.begin() as conn:
                looked = expiries.expire(Tx(conn, organization_id), kept, BATCH)
            if time.monotonic() > until:
                return False
            if looked < BATCH:
                break
    return True
