"""Idempotency keys: a request that is repeated gets the first answer."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from worker.store import api_keys, idempotency_keys
from worker.store.db import Tx
from worker.store.idempotency_keys import Stored, StoredAnswer

DIGEST = b"d" * 32


@pytest.fixture
def api_key_id(engine, organization_id):
    with engine.begin() as conn:
        return api_keys.insert_new(Tx(conn, organization_id), ["contacts:write"])[0]


def reserve(tx, api_key_id, key, digest=DIGEST):
    return idempotency_keys.reserve(tx, [(api_key_id, key, digest)]).get((api_key_id, key))


def test_the_first_request_has_the_key_and_the_second_the_answer(tx, api_key_id):
    assert reserve(tx, api_key_id, "k") is None
    idempotency_keys.answer(tx, [StoredAnswer(api_key_id, "k", 201, {"etag": "1"}, b"{}", None)])

    assert reserve(tx, api_key_id, "k", b"e" * 32) == Stored(DIGEST, 201, {"etag": "1"}, b"{}")
    assert reserve(tx, api_key_id, "another") is None


def test_a_request_waits_for_one_with_its_key_that_is_at_work(tx, other, api_key_id):
    reserve(tx, api_key_id, "k")

    with pytest.raises(OperationalError):  # its lock timeout
        reserve(other, api_key_id, "k")
    other.conn.rollback()
    tx.conn.rollback()
    assert reserve(other, api_key_id, "k") is None  # the first had no effect


def test_a_key_of_another_caller_is_another_key(engine, organization_id, tx, api_key_id):
    second_id, _ = api_keys.insert_new(tx, ["contacts:write"])

    assert idempotency_keys.reserve(tx, [(api_key_id, "k", DIGEST), (second_id, "k", DIGEST)]) == {}


def test_of_several_keys_those_in_use_are_found(tx, api_key_id):
    reserve(tx, api_key_id, "one")
    idempotency_keys.answer(tx, [StoredAnswer(api_key_id, "one", 200, {}, b"1", None)])

    found = idempotency_keys.reserve(tx, [(api_key_id, key, DIGEST) for key in ("two", "one", "three")])

    assert found == {(api_key_id, "one"): Stored(DIGEST, 200, {}, b"1")}


def test_a_key_that_is_released_is_free(tx, api_key_id):
    reserve(tx, api_key_id, "k")

    idempotency_keys.release(tx, [(api_key_id, "k")])

    assert reserve(tx, api_key_id, "k", b"e" * 32) is None


def test_only_old_keys_are_deleted(tx, api_key_id):
    for key in ("old", "new"):
        reserve(tx, api_key_id, key)
    tx.conn.execute(
        text("UPDATE idempotency_keys SET created_at = now() - :kept - interval '1 s' WHERE key = 'old'"),
        {"kept": idempotency_keys.KEPT},
    )

    idempotency_keys.delete_expired(tx.conn)

    assert tx.conn.execute(text("SELECT key FROM idempotency_keys")).scalars().all() == ["new"]
