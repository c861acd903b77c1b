"""Refetch: read single customers of whom a webhook did not say everything, and keep them like rows of a run.

A deletion that is in doubt (``worker/inbox/doubts.py``) takes effect as such a row, too: if the customer is not there,
the row says that they are gone.

It commits in steps: first the lease of the customers, then, after the provider has answered, their envelopes together
with the end of the request for them. No transaction is open while the provider is asked.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid4

import structlog
from sqlalchemy import Engine

import connectors
from connectors.contract import MalformedPayloadError
from connectors.reader import NOT_BEFORE, AccessRefusedError, ReadingError, Row
from worker import ids
from worker.backfill.reading_lease import LEASE, LeaseLostError, ReadingLease
from worker.domain import deliveries
from worker.domain.times import microseconds
from worker.errors import ConfigError
from worker.inbox.nudge import nudger
from worker.providers.session import job_of, provider_session
from worker.store import connections, db, envelopes, ready, refetches
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import Incoming
from worker.store.lanes import lane_of
from worker.store.refetches import Refetch

log = structlog.get_logger()

_AT_ONCE = 100
#: until others may lease the same customers; doubled with each attempt
_LEASE = timedelta(seconds=30)
_ATTEMPTS = 8
#: for all requests about the customers of one lease
_BUDGET_S = 35.0
#: the customer asked for if only our access is in doubt; nobody has to have this id
_ANYBODY = "1"


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
    token = uuid4()
    with engine.begin() as conn:
        leased = refetches.lease(conn, most=_AT_ONCE, lease=_LEASE, reading=LEASE, token=token)
        connection = connections.by_id(conn, leased[0].connection_id) if leased else None
    if not leased or connection is None:
        return False
    lease = ReadingLease(engine, connection, token, lambda _: True)
    with lease.held():
        _read(engine, connection, leased, lease)
    return True


def _read(engine: Engine, connection: ConnectionRow, leased: Sequence[Refetch], lease: ReadingLease) -> None:
    """Ask for customers that we hold under a lease, and keep what the provider shows of them."""
    given_up = [customer for customer in leased if customer.attempts > _ATTEMPTS or not connection.can_be_read]
    asked = [customer for customer in leased if customer not in given_up]
    found = _Found([], datetime.now(UTC))
    if asked:
        try:
            found = _ask(engine, connection, asked, lease)
        except (ReadingError, MalformedPayloadError, ConfigError, LeaseLostError) as error:
            log.warning("read_back_failed", connection_id=str(connection.id), reason=str(error))
            return  # the leases lapse, and the customers are due again
    if given_up:
        log.warning("read_back_given_up", connection_id=str(connection.id), customers=len(given_up))
    with engine.begin() as conn:
        tx = Tx(conn, connection.organization_id)
        db.enter(tx)
        rows = [*found.rows, *_settle_doubts(tx, connection, found, asked, given_up)]
        if rows:
            envelopes.keep(conn, [envelope_of_row(connection, row, None) for row in rows])
        refetches.delete(conn, [*given_up, *(one for one in asked if _is_access(one) or not found.is_refused)])
    nudger.nudge({lane_of(connection.id)})


class _Found(NamedTuple):
    """What the provider answered."""

    rows: list[Row]
    at: datetime  #: whoever is not among the rows was gone by then
    is_refused: bool = False  #: it no longer accepts our access; then it said nothing of customers


def _is_access(customer: Refetch) -> bool:
    """Return whether the question is not about a customer, but whether our access was taken back."""
    return not customer.external_id


def _ask(engine: Engine, connection: ConnectionRow, asked: Sequence[Refetch], lease: ReadingLease) -> _Found:
    """Ask the provider. Raises a ReadingError, but for a refusal that answers the question about our access."""
    reader = connectors.reader_of(connection.connector)
    requested_at = datetime.now(UTC)
    external_ids = [customer.external_id for customer in asked if not _is_access(customer)]
    try:
        until = time.monotonic() + _BUDGET_S
        with provider_session(engine, connection, until=until, before=lease.check) as fetch:
            rows = list(reader.read_some(job_of(connection, "full"), external_ids or [_ANYBODY], fetch))
    except AccessRefusedError:
        if any(map(_is_access, asked)):
            return _Found([], requested_at, is_refused=True)
        raise
    # The source's clock counts if a row shows it, because our clock may be ahead.
    return _Found(rows if external_ids else [], min([requested_at, *(row.not_before for row in rows)]))


def _settle_doubts(
    tx: Tx, connection: ConnectionRow, found: _Found, asked: Sequence[Refetch], given_up: Sequence[Refetch]
) -> list[Row]:
    """Note what became of doubted deletions and revocations; return the rows of customers who are gone."""
    reader = connectors.reader_of(connection.connector)
    present = {row.external_id for row in found.rows}
    rows: list[Row] = []
    outcomes: list[tuple[UUID, str, str | None]] = []
    for customer in (*asked, *given_up):
        if customer.envelope_id is None or customer.deleted_at is None:
            continue
        is_unanswered = customer in given_up  # where the source cannot be read, the request takes effect as it is
        if _is_access(customer):
            if is_unanswered or found.is_refused:
                connections.revoke(tx, connection.id, microseconds(customer.deleted_at if is_unanswered else found.at))
                outcomes.append((customer.envelope_id, "settled", None))
            else:
                outcomes.append((customer.envelope_id, "ignored", "not confirmed: the source still gives us access"))
        elif is_unanswered or (not found.is_refused and customer.external_id not in present):
            rows.append(reader.gone(customer.external_id, customer.deleted_at if is_unanswered else found.at))
            outcomes.append((customer.envelope_id, "settled", None))
        elif not found.is_refused:
            outcomes.append((customer.envelope_id, "ignored", "not confirmed: the source still has the customer"))
    ready.confirm(tx, outcomes)
    return rows
