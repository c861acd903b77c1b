"""Read back: ask for customers of whom a webhook did not say all, and keep them like any other row."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import Engine

import connectors
from connectors.contract import MalformedPayloadError
from connectors.reader import NOT_BEFORE, ReadingError, Row
from worker import ids
from worker.domain.delivery_ids import READ
from worker.errors import ConfigError
from worker.inbox.nudge import nudger
from worker.providers.session import job_of, provider_session
from worker.store import connections, db, envelopes, refetches
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import LANES, Incoming

log = structlog.get_logger()

_AT_ONCE = 100
#: whoever took them has that long; doubled with each attempt
_LEASE = timedelta(seconds=30)
_ATTEMPTS = 8


def incoming(connection: ConnectionRow, row: Row, run_id: UUID | None) -> Incoming:
    """Make an envelope of a row. What it says tells it apart: read again in the same run, it is the same one."""
    body_digest = sha256(row.body).digest()
    digest = sha256(b"\0".join((row.topic.encode(), row.external_id.encode(), body_digest))).hexdigest()
    id_ = ids.new()
    read_in = (run_id or id_).hex  # outside of a run nothing is read again: each reading is one of its own
    return Incoming(
        organization_id=connection.organization_id,
        id=id_,
        connection_id=connection.id,
        topic=row.topic,
        delivery_id=f"{READ}{read_in}:{digest[:32]}",
        sent_at=row.not_after,
        headers=db.json([[NOT_BEFORE, row.not_before]]),
        body=row.body,
        body_sha256=body_digest,
    )


def read_back(engine: Engine) -> bool:
    """Read customers of whom a webhook did not say all; False if there are none."""
    with engine.begin() as conn:
        rows = refetches.lease(conn, most=_AT_ONCE, lease=_LEASE)
        connection = connections.by_id(conn, rows[0].connection_id) if rows else None
    if not rows or connection is None:
        return False
    given_up = [row for row in rows if row.attempts > _ATTEMPTS or not connection.can_be_read]
    asked = [row.external_id for row in rows if row not in given_up]
    found: list[Row] = []
    if asked:
        reader = connectors.reader_of(connection.connector)
        try:
            with provider_session(engine, connection) as fetch:
                found = list(reader.read_some(job_of(connection, "full"), asked, fetch))
        except (ReadingError, MalformedPayloadError, ConfigError) as error:
            log.warning("read_back_failed", connection_id=str(connection.id), reason=str(error))
            return True  # due again later, less and less often
    if given_up:
        log.warning("read_back_given_up", connection_id=str(connection.id), customers=len(given_up))
    with engine.begin() as conn:
        db.enter(Tx(conn, connection.organization_id))
        if found:
            envelopes.keep(conn, [incoming(connection, row, None) for row in found])
        refetches.delete(conn, rows)
    nudger.nudge({connection.id.int % LANES})
    return True
