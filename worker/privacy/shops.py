"""Shops: when a shop is to be forgotten, its records are hidden a batch a transaction, through the one write path.

It commits in steps. From the first moment on whatever is stated about a customer of the shop meets the request
(``worker/pipeline/load.py``); this walk takes it to the records about which nobody says anything any more. It holds
the row of the request, so one process works on a request, and goes on where it stopped.
"""

import time
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from worker.domain.changeset import Changeset
from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import Ref
from worker.errors import TransientError
from worker.pipeline.apply import Applied, Batch, apply
from worker.store import shop_erasures
from worker.store.db import Tx
from worker.store.shop_erasures import ShopErasure

log = structlog.get_logger()

#: records of a batch
BATCH = 500
#: A call stops after this long, so that its process gets to its other work.
BUDGET_S = 1.0


def sweep(engine: Engine, *, budget_s: float = BUDGET_S) -> bool:
    """Hide the records of shops that are to be forgotten; return whether all was done within the time."""
    until = time.monotonic() + budget_s
    with engine.connect() as conn:
        waiting = shop_erasures.due(conn)
    for one in waiting:
        try:
            while not _hide_some(engine, one):
                if time.monotonic() > until:
                    return False
        except (TransientError, DBAPIError) as error:
            log.warning("shop_erasure_waits", organization_id=str(one.organization_id), error=error)
    return True


def _hide_some(engine: Engine, one: ShopErasure) -> bool:
    """Hide the records of one batch; return whether there are no more."""
    batch = _Hiding(one=one)
    apply(engine, one.organization_id, batch)
    return batch.is_last


@dataclass(slots=True, kw_only=True)
class _Hiding(Batch):
    """The next records of the shop."""

    one: ShopErasure
    is_last: bool = False
    page: list[Ref] = field(default_factory=list)
    hidden: int = 0

    def begin(self, tx: Tx, now: datetime) -> None:  # noqa: ARG002 - a hook's
        self.statements, self.hidden = (), 0
        found = shop_erasures.next_page(tx, self.one, BATCH)
        self.page, self.is_last = list(found or ()), found is None or len(found) < BATCH
        if self.page:
            # Nothing is stated here: load lets every record of the source meet the request.
            stated = EnvelopeStatements(self.one.envelope_id, self.one.source, is_linked=False)
            stated.records = {ref: [] for ref in self.page}
            self.statements = [stated]

    def judge(self, tx: Tx, people: Changeset) -> None:  # noqa: ARG002 - a hook's
        folded = people.snapshot.folded
        gone = [ref for ref in self.page if ref in folded.active and ref not in folded.were_gone]
        self.hidden = sum(not folded.rows[ref].record.is_live for ref in gone)

    def finish(self, tx: Tx, applied: Applied) -> None:  # noqa: ARG002 - a hook's
        if self.page:
            shop_erasures.advance(tx, self.one, self.page[-1][1], self.hidden)
        if self.is_last:
            shop_erasures.end(tx, self.one)
