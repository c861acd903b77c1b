"""Schedules: begin the runs that are due. The schedule stands in Postgres, so any number of beats may look."""

import structlog
from sqlalchemy import Engine

from worker.backfill import slices
from worker.errors import ConfigError
from worker.inbox.nudge import READING, nudger
from worker.store import connections, schedules

log = structlog.get_logger()


def start_due(engine: Engine) -> int:
    """Begin what is due; return how many runs that were. A run of the kind still under way goes on instead."""
    begun = 0
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
            begun += 1
    if begun:
        nudger.nudge({READING})
    return begun
