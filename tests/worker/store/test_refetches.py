"""Refetches: a customer is read once, and again if a newer webhook does not say everything."""

from datetime import timedelta
from uuid import uuid4

from worker.store import reading_leases, refetches

LEASE = timedelta(seconds=30)


def lease(tx, most=9):
    """Lease customers, and give their connection back at once."""
    token = uuid4()
    leased = refetches.lease(tx.conn, most=most, lease=LEASE, reading=LEASE, token=token)
    for row in leased[:1]:
        reading_leases.release(tx.conn, row.organization_id, row.connection_id, token=token)
    return leased


def test_a_leased_customer_is_not_due(tx, connection_id):
    refetches.ensure(tx, [(connection_id, "1"), (connection_id, "2"), (connection_id, "1")])

    assert [row.external_id for row in lease(tx, most=1)] == ["1"]
    assert [row.external_id for row in lease(tx)] == ["2"]
    assert lease(tx) == []


def test_a_newer_request_outlives_the_answer_to_an_older_one(tx, connection_id):
    refetches.ensure(tx, [(connection_id, "1")])
    older = lease(tx)
    refetches.ensure(tx, [(connection_id, "1")])

    refetches.delete(tx.conn, older)

    (newer,) = lease(tx)
    assert (newer.external_id, newer.attempts) == ("1", 1)
    assert newer.token != older[0].token
    refetches.delete(tx.conn, [newer])
    refetches.ensure(tx, [])
    assert lease(tx) == []


def test_a_lease_has_customers_of_one_connection(tx, connection_id):
    refetches.ensure(tx, [(connection_id, "1"), (uuid4(), "1"), (connection_id, "2")])

    first, second = lease(tx), lease(tx)

    assert sorted(len(rows) for rows in (first, second)) == [1, 2]
    assert all(len({row.connection_id for row in rows}) == 1 for rows in (first, second))
