"""Refetch: read single customers of whom a webhook did not say everything, and keep them like rows of a run.

It commits in steps: first the lease of the customers, then, after the provider has answered, their envelopes together
with the end of the request for them. No transaction is open while the provider is asked.
"""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import structlog
from sqlalchemy import Engine

import connectors
from connectors.contract import MalformedPayloadError
from connectors.reader import NOT_BEFORE, ReadingError, Row
from worker import ids
from worker.domain import deliveries
from worker.errors import ConfigError
from worker.inbox.nudge import nudger
from worker.providers.session import job_of, provider_session
from worker.store import connections, db, envelopes, refetches
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import Incoming
from worker.store.lanes import lane_of

log = structlog.get_logger()

_AT_ONCE = 100
#: until others may lease the same customers; doubled with each attempt
_LEASE = timedelta(seconds=30)
_ATTEMPTS = 8


def envelope_of_row(connection: ConnectionRow, row: Row, run_id: UUID | None) -> Incoming:
    """Make an envelope of a row that was read.

    A row that is read again in the same run gets the same delivery id if its content is the same, so that the inbox
    keeps it once.
    """
    body_digest = sha256(row.body).digest()
    digest = sha256(b"\0".join((row.topic.encode(), row.external_id.encode(), body_digest))).hexdigest()
    id_ = ids.new()
    return Incoming(
        organization_id=connection.organization_id,
        id=id_,
        connection_id=connection.id,
        topic=row.topic,
        # Outside of a run no row is read again because of a crash, so each is a delivery of its own.
        delivery_id=deliveries.of_row(run_id or id_, digest),
        sent_at=row.not_after,
        headers="[]",
        body=row.body,
        body_sha256=body_digest,
        marks=db.json([[NOT_BEFORE, row.not_before]]),
    )


def refetch(engine: Engine) -> bool:
    """Read the customers of one connection that are due; return False if none are."""
    with engine.begin() as conn:
        leased = refetches.lease(conn, most=_AT_ONCE, lease=_LEASE)
        connection = connections.by_id(conn, leased[0].connection_id) if leased else None
    if not leased or connection is None:
        return False
    given_up = [customer for customer in leased if customer.attempts > _ATTEMPTS or not connection.can_be_read]
    external_ids = [customer.external_id for customer in leased if customer not in given_up]
    rows: list[Row] = []
    if external_ids:
        reader = connectors.reader_of(connection.connector)
        try:
            with provider_session(engine, connection) as fetch:
                rows = list(reader.read_some(job_of(connection, "full"), external_ids, fetch))
        except (ReadingError, MalformedPayloadError, ConfigError) as error:
            log.warning("read_back_failed", connection_id=str(connection.id), reason=str(error))
            return True  # the leases lapse, and the customers are due again
    if given_up:
        log.warning("read_back_given_up", connection_id=str(connection.id), customers=len(given_up))
    with engine.begin() as conn:
        db.enter(Tx(conn, connection.organization_id))
        if rows:
            envelopes.keep(conn, [envelope_of_row(connection, row, None) for row in rows])
        refetches.delete(conn, leased)
    nudger.nudge({lane_of(connection.id)})
    return True
