"""Lanes: Python and SQL give a connection the same lane."""

from uuid import uuid4

from sqlalchemy import text

from worker.store.lanes import LANES, lane_of, lane_sql


def test_a_lane_is_the_same_in_the_store_and_outside(engine):
    connection_ids = [uuid4() for _ in range(50)]
    statement = f"SELECT {lane_sql('id')} FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS t(id, n) ORDER BY n"
    with engine.connect() as conn:
        lanes = conn.execute(text(statement), {"ids": connection_ids}).scalars().all()

    assert lanes == [lane_of(id_) for id_ in connection_ids]
    assert set(lanes) <= set(range(LANES))
