"""Schedules: start the runs that are due.

It commits in steps: all runs that are due now start in one transaction, and the nudge follows its commit. Schedules
are rows in Postgres, so any number of beats may look for due ones.
"""

import structlog
from sqlalchemy import Engine

from worker.backfill import slices
from worker.errors import ConfigError
from worker.inbox.nudge import READING, nudger
from worker.store import connections, schedules

log = structlog.get_logger()


def start_due(engine: Engine) -> int:
    """Start the runs that are due; return their number.

    A schedule is passed over while an earlier run of its connection and kind is still under way.
    """
    started = 0
    with engine.begin() as conn:
        due = schedules.take_due(conn)
        rows = connections.by_ids(conn, {row.connection_id for row in due}) if due else {}
        for row in due:
            try:
                run_id = slices.start(conn, rows[row.connection_id], row.kind)
            except ConfigError as error:
                log.warning("schedule_failed", connection_id=str(row.connection_id), kind=row.kind, reason=str(error))
                continue
            if run_id is None:
                log.info("schedule_skipped", connection_id=str(row.connection_id), kind=row.kind)
                continue
            schedules.set_last_run(conn, row, run_id)
            started += 1
    if started:
        nudger.nudge({READING})
    return started
