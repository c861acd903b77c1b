"""Deletions: found by the digests of addresses, once for each envelope."""

from datetime import UTC, datetime
from uuid import uuid4

from worker.domain.deletions import Deletion
from worker.domain.statements import DeletionStatement, EnvelopeStatements
from worker.domain.times import microseconds
from worker.store import connections, deletions, organizations
from worker.store.db import Tx

AT = microseconds(datetime(2026, 10, 1, tzinfo=UTC))
A, B = b"a" * 32, b"b" * 32
SPARED = frozenset({("shop", "2"), ("shop", "1")})


def a_deletion(*digests, spared=frozenset()):
    return EnvelopeStatements(uuid4(), "api", deletion=DeletionStatement(digests, AT, spared))


def test_deletions_are_found_by_digest_and_stored_once(tx):
    first, second = a_deletion(A, B, spared=SPARED), a_deletion(B)
    deletions.ensure(tx, [first, second, EnvelopeStatements(uuid4(), "api")])
    deletions.ensure(tx, [first])

    found = deletions.by_digests(tx, {A, B, b"c" * 32})
    assert found[A] == [Deletion(first.envelope_id, AT, SPARED)]
    assert sorted(found[B]) == sorted(
        [Deletion(first.envelope_id, AT, SPARED), Deletion(second.envelope_id, AT, frozenset())]
    )
    assert deletions.by_digests(tx, ()) == {}


def test_a_replay_forgets_the_deletions_of_its_envelope_only(tx):
    first, second = a_deletion(A), a_deletion(A)
    deletions.ensure(tx, [first, second])

    deletions.withdraw(tx, [first.envelope_id])
    assert [one.envelope_id for one in deletions.by_digests(tx, [A])[A]] == [second.envelope_id]


def test_whether_there_are_any_comes_with_the_priorities_of_sources(tx, connection_id):
    other = Tx(tx.conn, organizations.ensure(tx.conn, "another"))
    assert connections.priorities_and_removals(tx) == ({"shop": 100}, False, {})

    deletions.ensure(other, [a_deletion(A)])
    assert not connections.priorities_and_removals(tx)[1]
    deletions.ensure(tx, [a_deletion(A)])
    assert connections.priorities_and_removals(tx) == ({"shop": 100}, True, {})
    assert deletions.by_digests(other, [B]) == {}
