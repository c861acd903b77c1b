"""Shop erasures: sources of which everything said up to a time is void, and how far their records follow that."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from worker.domain.statements import EnvelopeStatements
from worker.domain.terms import Ref
from worker.store.batch_writer import columns_of, rows_of
from worker.store.db import Tx, json, run, sql

#: Whoever loaded before the request was known may still write for a while; the walk ends after that.
SETTLED_AFTER = timedelta(minutes=2)


class ShopErasure(NamedTuple):
    """A request that is not followed everywhere yet."""

    organization_id: UUID
    envelope_id: UUID
    source: str
    after: str  #: external ids up to this one were looked at

    @property
    def key(self) -> dict[str, Any]:
        """Its primary key."""
        return {"envelope_id": self.envelope_id, "source": self.source}


_ENSURE = sql(f"""
    INSERT INTO shop_erasures (organization_id, source, envelope_id, stamp)
    SELECT :organization_id, source, envelope_id, stamp::jsonb
      FROM {rows_of(source="text", envelope_id="uuid", stamp="json")}
        ON CONFLICT (organization_id, source, envelope_id) DO NOTHING
""")
_DUE = sql("""
    SELECT organization_id, envelope_id, source, after FROM shop_erasures
     WHERE done_at IS NULL AND next_at <= now() ORDER BY created_at, envelope_id LIMIT 100
""")
_CLAIM = sql("""
    SELECT after FROM shop_erasures
     WHERE organization_id = :organization_id AND source = :source AND envelope_id = :envelope_id AND done_at IS NULL
       FOR UPDATE SKIP LOCKED
""")
_PAGE = sql("""
    SELECT external_id FROM records
     WHERE organization_id = :organization_id AND source = :source AND external_id > :after
     ORDER BY external_id LIMIT :most
""")
_ADVANCE = sql("""
    UPDATE shop_erasures SET after = :after, hidden = hidden + :hidden
     WHERE organization_id = :organization_id AND source = :source AND envelope_id = :envelope_id
""")
# At the end it begins anew until nobody can write any more who did not know of the request.
_END = sql("""
    UPDATE shop_erasures
       SET after = '', next_at = now() + interval '30 seconds',
           done_at = CASE WHEN created_at < now() - CAST(:settled AS interval) THEN now() END
     WHERE organization_id = :organization_id AND source = :source AND envelope_id = :envelope_id
""")


def ensure(tx: Tx, statements: Iterable[EnvelopeStatements]) -> None:
    """Add the requests that envelopes make; one that is stored already changes nothing."""
    rows = [
        (stated.source, stated.envelope_id, json(list(stated.shop_erased)))
        for stated in statements
        if stated.shop_erased is not None
    ]
    if rows:
        tx.run(_ENSURE, columns_of(rows, "source", "envelope_id", "stamp"))


def due(conn: Connection) -> list[ShopErasure]:
    """Load the requests that records of the source have still to follow, of all organizations, oldest first."""
    return [ShopErasure(*row) for row in run(conn, _DUE)]


def next_page(tx: Tx, one: ShopErasure, most: int) -> Sequence[Ref] | None:
    """Load the next records to look at; None if another process is at work on the request, or it is done."""
    claimed = tx.run(_CLAIM, one.key).first()
    if claimed is None:
        return None
    rows = tx.run(_PAGE, {"source": one.source, "after": claimed[0], "most": most})
    return [(one.source, row[0]) for row in rows]


def advance(tx: Tx, one: ShopErasure, after: str, hidden: int) -> None:
    """Note up to where records follow a request, and how many more were hidden."""
    tx.run(_ADVANCE, {**one.key, "after": after, "hidden": hidden})


def end(tx: Tx, one: ShopErasure) -> None:
    """Note that the end of the records was reached."""
    tx.run(_END, {**one.key, "settled": SETTLED_AFTER})
