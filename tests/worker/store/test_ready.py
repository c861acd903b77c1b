"""The queue: a row is leased by one holder at a time, and leaves with an outcome or a reason."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.store import envelopes, ready
from worker.store.lanes import lane_of
from worker.store.ready import Parked

LEASE = timedelta(seconds=30)


@pytest.fixture
def queued(engine, an_envelope):
    """Three envelopes in the queue, committed."""
    with engine.begin() as conn:
        return [kept.envelope_id for kept in envelopes.keep(conn, [an_envelope() for _ in range(3)])]


@pytest.fixture
def lane(connection_id):
    return lane_of(connection_id)


def lease(tx, lane, token, most=9):
    return [row.envelope.id for row in ready.lease_due(tx.conn, lane, most=most, lease=LEASE, token=token)]


def state(tx):
    return tx.conn.execute(text("SELECT attempts, crashes, lease_until IS NULL FROM ready")).all()


def test_two_holders_never_lease_the_same_row(tx, other, queued, lane):
    first = lease(tx, lane, uuid4(), most=2)
    second = lease(other, lane, uuid4())  # the first transaction is still open

    assert sorted(first + second) == sorted(queued)


def test_only_the_holder_can_delete_a_row(tx, queued, lane):
    token = uuid4()
    lease(tx, lane, token)

    assert ready.delete(tx, queued, uuid4()) == 0
    assert ready.delete(tx, queued, token) == 3


def test_only_a_failure_counts_as_an_attempt(tx, queued, lane):
    for failed, attempts in ((False, 0), (True, 1)):
        token = uuid4()
        lease(tx, lane, token)
        ready.postpone(tx, queued, token, delay=timedelta(0), failed=failed)
        assert state(tx) == [(attempts, 0, True)] * 3


def test_a_paused_connection_waits_and_leased_rows_stay(tx, connection_id, queued, lane):
    leased = lease(tx, lane, uuid4(), most=1)
    ready.hold(tx, connection_id)

    assert lease(tx, lane, uuid4()) == []
    assert state(tx).count((0, 0, False)) == len(leased) == 1
    ready.unhold(tx, connection_id)
    assert len(lease(tx, lane, uuid4())) == 2


def test_a_lane_waits_while_it_has_due_rows_that_nobody_leases(tx, queued, lane):
    assert [(row.lane, row.is_held) for row in ready.waiting(tx.conn)] == [(lane, False)]
    lease(tx, lane, uuid4(), most=1)
    assert [(row.lane, row.is_held) for row in ready.waiting(tx.conn)] == [(lane, True)]
    lease(tx, lane, uuid4())
    assert ready.waiting(tx.conn) == []


def test_an_envelope_parked_again_has_the_new_reason(tx, connection_id, queued):
    for kind, reason in (("failed", "our code failed"), ("malformed", "no id")):
        ready.park(tx, [Parked(queued[0], connection_id, "seen", kind, reason, 1)])

    assert [(row["kind"], row["reason"]) for row in ready.list_parked(tx, 9)] == [("malformed", "no id")]


def test_only_a_replay_may_have_an_outcome_already(tx, queued):
    ready.settle(tx, [(queued[0], "settled", None)])
    ready.settle(tx, [(queued[0], "ignored", "seen")], is_replay=True)

    assert (ready.outcomes(tx), ready.ignored_topics(tx)) == ({"ignored": 1}, {"seen": 1})
    with pytest.raises(IntegrityError):
        ready.settle(tx, [(queued[0], "settled", None)])


def test_a_replay_queues_what_is_parked_or_settled_and_still_kept(engine, tx, connection_id, queued, lane):
    token = uuid4()
    lease(tx, lane, token)
    ready.delete(tx, queued, token)
    parked, settled, expired = queued
    ready.park(tx, [Parked(parked, connection_id, "seen", "failed", "our code failed", 9)])
    ready.settle(tx, [(settled, "settled", None), (expired, "settled", None)])
    tx.conn.execute(text("UPDATE envelopes SET body = NULL WHERE id = :id"), {"id": expired})

    assert set(ready.replay(tx, queued)) == {parked, settled}

    assert ready.list_parked(tx, 9) == []
    assert ready.outcomes(tx) == {"settled": 1}
    assert [row.replay for row in ready.lease_due(tx.conn, lane, most=9, lease=LEASE, token=token)] == [True, True]


def test_depth_counts_for_one_organization_or_all(tx, queued):
    depths = [ready.depth(tx.conn, id_) for id_ in (tx.organization_id, None, uuid4())]

    assert [(depth["due"], depth["postponed"], depth["parked"]) for depth in depths] == [
        (3, 0, 0),
        (3, 0, 0),
        (0, 0, 0),
    ]
