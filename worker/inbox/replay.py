"""Replay: normalise an envelope anew, together with all kept envelopes about the same records.

A replay withdraws what the envelope stated before. That can bring back an older statement of another envelope, so the
other envelopes are applied again as well.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from connectors.contract import MalformedPayloadError
from worker import ids
from worker.domain.statements import EnvelopeStatements
from worker.errors import ConfigError, PermanentError
from worker.inbox import doubts
from worker.inbox.kept_envelopes import statements_of
from worker.pipeline.apply import Replay
from worker.store import connections, envelopes, ready
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.envelopes import EnvelopeRow
from worker.store.ready import MOST_PARKED

log = structlog.get_logger(__name__)

#: other envelopes that one replay applies again, at most: more do not fit one transaction
_MOST_SIBLINGS = 10_000


def queue_replay(tx: Tx, shown_id: str | None) -> list[UUID]:
    """Make one envelope, or all parked envelopes (at most 1,000), due again; return their ids.

    Raises ConfigError for an envelope that we do not have, or whose body has expired.
    """
    if shown_id is None:
        envelope_ids = [row["envelope_id"] for row in ready.list_parked(tx, MOST_PARKED)]
        return ready.replay(tx, envelope_ids)
    id_ = ids.parse(ids.ENVELOPE, shown_id)
    queued = [] if id_ is None else ready.replay(tx, [id_])
    if not queued:
        raise ConfigError(f"no envelope {shown_id} with a body that is still kept")
    return queued


def replay_of(
    replayed: Sequence[EnvelopeRow], accounts: Mapping[UUID, ConnectionRow], connection_of: dict[UUID, UUID]
) -> Replay:
    """Make the replay of envelopes.

    ``connection_of`` maps envelopes to connections; the replay adds the other envelopes to it when it runs.
    """

    def others(tx: Tx) -> list[EnvelopeStatements]:
        loaded = []
        for envelope in replayed:
            for statements, connection_id in _siblings(tx, envelope, accounts):
                loaded.append(statements)
                connection_of[statements.envelope_id] = connection_id
        return loaded

    return Replay([envelope.id for envelope in replayed], others)


def _siblings(
    tx: Tx, replayed: EnvelopeRow, accounts: Mapping[UUID, ConnectionRow]
) -> list[tuple[EnvelopeStatements, UUID]]:
    """Load the other kept envelopes about the records of a replayed one, as statements with their connection's id.

    Raises PermanentError if there are more than one transaction can take.
    """
    record_ids = envelopes.linked_records(tx, [replayed.id])
    rows = envelopes.by_records(tx, record_ids, _MOST_SIBLINGS + 1)
    if len(rows) > _MOST_SIBLINGS:
        raise PermanentError(f"more than {_MOST_SIBLINGS:,} kept envelopes speak of the same customers")
    known = {**accounts, **connections.by_ids(tx.conn, {row.connection_id for row in rows} - accounts.keys())}
    siblings = []
    for row in rows:
        if row.id == replayed.id or row.connection_id not in known:
            continue
        try:
            statements = statements_of(row, known[row.connection_id])
            # What has to be confirmed waits for its reading, or has had it: the row that was read says it.
            doubts.take_out(row, known[row.connection_id], statements)
            siblings.append((statements, row.connection_id))
        except MalformedPayloadError:
            log.warning("sibling_unreadable", envelope_id=str(row.id))  # what it stated before stays as it is
    return siblings
