"""Locks: two writers about the same person wait for each other, and others do not."""

import pytest
from sqlalchemy.exc import OperationalError

from worker.store import locks, organizations

BUCKETS = 1 << 16


def is_free(tx, take):
    """Whether a session gets a lock at once; if not, its transaction has failed."""
    try:
        take(tx)
    except OperationalError:  # its lock timeout
        return False
    return True


def test_an_identifier_is_locked_until_the_transaction_ends(tx, other):
    locks.take(tx, ["phone:1", "email:1"], BUCKETS)

    assert not is_free(other, lambda tx: locks.take(tx, ["email:1"], BUCKETS))
    other.conn.rollback()
    tx.conn.rollback()
    assert is_free(other, lambda tx: locks.take(tx, ["email:1"], BUCKETS))


def test_other_identifiers_and_organizations_are_free(tx, other):
    locks.take(tx, ["phone:1"], BUCKETS)

    assert is_free(other, lambda tx: locks.take(tx, ["phone:2"], BUCKETS))
    elsewhere = other._replace(organization_id=organizations.ensure(other.conn, "other"))
    assert is_free(elsewhere, lambda tx: locks.take(tx, ["phone:1"], BUCKETS))


@pytest.mark.parametrize("whole_first", [True, False])
def test_the_whole_organization_excludes_every_identifier(tx, other, whole_first):
    takers = [locks.take_all, lambda tx: locks.take(tx, ["phone:1"], BUCKETS)]
    first, second = takers if whole_first else reversed(takers)
    first(tx)

    assert not is_free(other, second)


def test_a_name_is_locked_for_everybody(tx, other):
    locks.take_named(tx.conn, "vault")

    assert is_free(other, lambda tx: locks.take_named(tx.conn, "other"))
    assert not is_free(other, lambda tx: locks.take_named(tx.conn, "vault"))
