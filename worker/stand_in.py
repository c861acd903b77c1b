"""The stand-in: a process that ``tick`` starts where no worker takes the work. It drains, or it reads.

``python -m worker.stand_in drain|read`` works on what waits, goes on while there is more, and ends when nothing has
waited for a while. Whatever hangs in it hangs nobody else: ``worker/stack/stand_ins.py`` kills a stand-in that makes no
progress, and so does the kernel, which needs no process of ours for it.
"""

import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from worker import logs
from worker.errors import TransientError
from worker.settings import settings

log = structlog.get_logger()

DRAIN, READ = "drain", "read"

#: after this long a stand-in ends between two pieces of work, and what it holds of memory goes
_LIFE_S = 600.0
#: of memory for data; what needs more fails in this process instead of ending others
_MEMORY = 2 * 1024**3
#: envelopes of a lane that are drained one by one before clean ones have their turn again
_SHAKY_AT_ONCE = 50
#: failures in a row, of the system or of our code, after which another process had better try
_FAILURES = 3
#: to finish what is under way, once beat has gone
_LAST_S = 4.5


def longest_s(kind: str) -> float:
    """Return how long a stand-in may make no progress.

    A drain that takes longer than its lease has lost its envelopes anyway. A slice takes its budget, the rest of a
    request, and a batch.
    """
    return settings().lease_s if kind == DRAIN else settings().drain_budget_s + 2 * settings().lease_s


def patience_s() -> float:
    """Return for how long work may wait for a worker. Without a broker none will be told of it."""
    return settings().sweep_after_s if settings().celery_broker else 0.0


def drain_round(engine: Engine, progress: Callable[[], None]) -> int:
    """Drain a batch of each lane that waits; return the number of envelopes that were leased.

    What no process has died with comes first, so that it waits for one deadline at most; then what others died with,
    each alone, and what was leased last comes last.
    """
    from worker.inbox.drain import drain_batch, tell_times  # noqa: PLC0415 - see main
    from worker.store import ready  # noqa: PLC0415

    with engine.connect() as conn:
        waiting = ready.waiting(conn, lease=timedelta(seconds=settings().lease_s))
    lanes = [lane for lane in waiting if lane.age_s >= patience_s() and not lane.is_held]
    leased = 0
    for lane in sorted(lanes, key=lambda found: -found.age_s):
        leased += drain_batch(engine, lane.lane, only=ready.Only.CLEAN).leased
        progress()
    shaky = sorted((lane.shaky_since, lane.lane) for lane in lanes if lane.shaky_since is not None)
    for _, number in shaky:
        for _ in range(_SHAKY_AT_ONCE):
            if not drain_batch(engine, number, only=ready.Only.SHAKY).leased:
                break
            leased += 1
            progress()
    tell_times(engine)
    return leased


def read_round(engine: Engine, progress: Callable[[], None]) -> int:
    """Work on the read that is due; return 0 if none is."""
    from worker.backfill import slices  # noqa: PLC0415 - see main
    from worker.store import runs  # noqa: PLC0415

    with engine.connect() as conn:
        age_s = runs.due_for_s(conn)
    if age_s is None or age_s < patience_s():
        return 0
    worked = slices.work(engine, budget_s=settings().drain_budget_s)
    progress()
    return int(worked)


def work(
    one_round: Callable[[], int], arm: Callable[[], None], *, is_over: threading.Event, linger_s: float, life_s: float
) -> int:
    """Do round after round until nothing has waited for ``linger_s``; return the exit code.

    ``arm`` is called before each round.
    """
    began = worked = time.monotonic()
    failures = 0
    while not is_over.is_set() and time.monotonic() - began < life_s and time.monotonic() - worked < linger_s:
        arm()
        try:
            did = one_round()
        except (TransientError, DBAPIError) as error:
            log.warning("stand_in_waits", error=error)
            failures += 1
        except Exception as error:  # as in the tasks; the drain has given its envelopes back
            log.error("stand_in_failed", exc_info=error)
            failures += 1
        else:
            failures = 0
            if did:
                worked = time.monotonic()
                continue
        if failures >= _FAILURES:
            return 1
        is_over.wait(settings().sweep_interval_s * (1 if settings().celery_broker else 0.4) * 2**failures)
    return 0


def main(kind: str, slot: str) -> int:
    """Be a stand-in of a kind; ``slot`` tells its lines from those of others that beat started."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    logs.begin()
    structlog.contextvars.bind_contextvars(stand_in=kind, slot=slot)
    from worker.app import collect_seldom  # noqa: PLC0415 - takes a while to import
    from worker.store import db  # noqa: PLC0415

    collect_seldom()
    is_over = threading.Event()
    threading.Thread(target=_end_with_beat, args=(is_over,), name="beat", daemon=True).start()
    one_round = drain_round if kind == DRAIN else read_round
    longest = int(longest_s(kind)) + 1

    def arm() -> None:
        _progress()
        signal.alarm(longest)  # its handler is the kernel's, which ends the process whatever it is at

    return work(
        lambda: one_round(db.engine(), arm),
        arm,
        is_over=is_over,
        linger_s=10.0 if settings().celery_broker else 60.0,
        life_s=_LIFE_S,
    )


def _progress() -> None:
    """Tell beat that this process is alive; if beat does not listen, it is busy, or gone."""
    with suppress(OSError):
        os.write(sys.stdout.fileno(), b".")


def _end_with_beat(is_over: threading.Event) -> None:
    """Notice that beat is gone: its end of our standard input is closed then."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 64):
            pass
    is_over.set()
    time.sleep(_LAST_S)
    os._exit(1)


if __name__ == "__main__":
    os.set_blocking(sys.stdout.fileno(), False)
    sys.exit(main(*sys.argv[1:3]))
