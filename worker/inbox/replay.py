"""Replay: an envelope is read anew, with all that was kept about the same records."""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from connectors.contract import MalformedPayloadError
from worker.domain.statements import EnvelopeStatements
from worker.errors import PermanentError
from worker.inbox.kept_envelopes import normalised
from worker.pipeline.apply import Replay
from worker.store import connections, envelopes
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow

log = structlog.get_logger(__name__)

#: kept envelopes that one replay reads again, at most
_MOST_SIBLINGS = 10_000


def of(
    replayed: Sequence[EnvelopeRow], accounts: Mapping[UUID, ConnectionRow], connection_of: dict[UUID, UUID]
) -> Replay:
    """Make the replay of envelopes; ``connection_of`` is told of the envelopes that are read again with them."""

    def others(tx: Tx) -> list[EnvelopeStatements]:
        found = []
        for envelope in replayed:
            for statements, connection_id in _siblings(tx, envelope, accounts):
                found.append(statements)
                connection_of[statements.envelope_id] = connection_id
        return found

    return Replay([envelope.id for envelope in replayed], others)


def _siblings(
    tx: Tx, replayed: EnvelopeRow, accounts: Mapping[UUID, ConnectionRow]
) -> list[tuple[EnvelopeStatements, UUID]]:
    """Read what else was kept about the records of a replayed envelope, each with its connection's id.

    Withdrawing a statement can bring back an older one that it had replaced. Raises PermanentError if there are more
    than one transaction can take.
    """
    touched = envelopes.records_of(tx, [replayed.id])
    rows = envelopes.touching(tx, touched, _MOST_SIBLINGS + 1)
    if len(rows) > _MOST_SIBLINGS:
        raise PermanentError(f"more than {_MOST_SIBLINGS:,} kept envelopes speak of the same customers")
    known = {**accounts, **connections.by_ids(tx.conn, {row.connection_id for row in rows} - accounts.keys())}
    found = []
    for row in rows:
        if row.id == replayed.id or row.connection_id not in known:
            continue
        try:
            found.append((normalised(row, known[row.connection_id]), row.connection_id))
        except MalformedPayloadError:
            log.warning("sibling_unreadable", envelope_id=str(row.id))  # it keeps what it stated before
    return found
