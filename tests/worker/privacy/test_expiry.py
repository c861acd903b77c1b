"""Expiry: bodies of settled envelopes go after their time, those that are still needed stay, in small batches."""

import time
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from worker import ids
from worker.errors import ConfigError
from worker.inbox.replay import queue_replay
from worker.privacy import expiry
from worker.store import expiries
from worker.store.db import Tx

OLD, NEW = timedelta(days=36), timedelta(days=34)

_FILL = text("""
    WITH made AS (
        SELECT ('00000000-0000-7000-8000-' || right(repeat('0', 12) || to_hex(n), 12))::uuid AS low, n, age
          FROM generate_series(1, :many) AS n
         CROSS JOIN LATERAL (SELECT CAST(:oldest AS interval) * (1 - n::float / :many) AS age) AS a
    ), kept AS (
        INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, received_at, headers, body,
                               body_sha256)
        SELECT :organization_id,
               (lpad(to_hex((extract(epoch FROM now() - age) * 1000)::bigint), 12, '0')
                || right(replace(low::text, '-', ''), 20))::uuid,
               :connection_id, 'seen', n::text, now() - age, '[["a", "b"]]', '{}', sha256('{}')
          FROM made RETURNING organization_id, id)
    INSERT INTO outcomes (organization_id, envelope_id, outcome) SELECT organization_id, id, 'settled' FROM kept
""")


@pytest.fixture
def connection_id():
    return uuid4()


@pytest.fixture
def keep(engine, organization_id, connection_id):
    """Keep an envelope of some age; return its id."""

    def keep(age, *, outcome="settled", headers="[]", delivery_id=None):
        moment = datetime.now(UTC) - age
        id_ = ids.within(ids.first_at(moment), uuid4().int & 0xFFFF)
        given = {
            "organization_id": organization_id,
            "id": id_,
            "connection_id": connection_id,
            "delivery_id": delivery_id or uuid4().hex,
            "moment": moment,
            "headers": headers,
        }
        with engine.begin() as conn:
            conn.execute(
                text(
                    "INSERT INTO envelopes (organization_id, id, connection_id, topic, delivery_id, received_at, "
                    "headers, body, body_sha256) VALUES (:organization_id, :id, :connection_id, 'seen', :delivery_id, "
                    ":moment, CAST(:headers AS json), '{}', sha256('{}'))"
                ),
                given,
            )
            if outcome:
                conn.execute(
                    text("INSERT INTO outcomes (organization_id, envelope_id, outcome) VALUES (:o, :e, :outcome)"),
                    {"o": organization_id, "e": id_, "outcome": outcome},
                )
        return id_

    return keep


@pytest.fixture
def kept(engine):
    """Return the ids of the envelopes whose bodies are kept."""

    def kept():
        with engine.connect() as conn:
            return set(conn.execute(text("SELECT id FROM envelopes WHERE body IS NOT NULL")).scalars())

    return kept


def look_again(engine):
    """Let a day pass."""
    with engine.begin() as conn:
        conn.execute(text("UPDATE held_bodies SET looked_at = looked_at - interval '25 hours'"))
        conn.execute(text("UPDATE expiries SET looked_at = looked_at - interval '25 hours'"))


def test_the_bodies_and_headers_of_old_settled_envelopes_expire(engine, organization_id, keep, kept):
    old = keep(OLD, headers='[["x-customer", "Ayu"], ["actor", "Ayu"]]')
    ignored, new = keep(OLD, outcome="ignored"), keep(NEW)

    assert expiry.expire(engine, budget_s=5)

    assert kept() == {new}
    with engine.begin() as conn:
        assert conn.execute(text("SELECT headers FROM envelopes WHERE id = :id"), {"id": old}).scalar() == []
        for id_ in (old, ignored):
            with pytest.raises(ConfigError, match="with a body that is still kept"):
                queue_replay(Tx(conn, organization_id), ids.show(ids.ENVELOPE, id_))


def test_a_request_of_the_api_still_names_its_key(engine, keep):
    old = keep(OLD, headers='[["x-customer", "Ayu"], ["actor", "key_1"]]', delivery_id="api:1")
    expiry.expire(engine, budget_s=5)

    with engine.connect() as conn:
        headers = conn.execute(text("SELECT headers FROM envelopes WHERE id = :id"), {"id": old}).scalar()
    assert headers == [["actor", "key_1"]]


HELD = {
    "ready": "INSERT INTO ready (organization_id, envelope_id, connection_id, lane) VALUES (:o, :e, :c, 1)",
    "postponed": "INSERT INTO ready (organization_id, envelope_id, connection_id, lane, next_run_at) "
    "VALUES (:o, :e, :c, 1, 'infinity')",
    "parked": "INSERT INTO parked (organization_id, envelope_id, connection_id, topic, kind, reason, attempts) "
    "VALUES (:o, :e, :c, 'seen', 'malformed', 'r', 1)",
    "privacy_requests": "INSERT INTO privacy_requests (organization_id, id, kind, connection_id, envelope_id, source, "
    "requested_at, due_at) VALUES (:o, :e, 'erase_customer', :c, :e, 'shop', now(), now() + interval '30 days')",
}


@pytest.mark.parametrize("why", HELD)
@pytest.mark.parametrize("outcome", ["settled", None])
def test_a_body_that_is_still_needed_stays_until_it_is_not(
    engine, organization_id, connection_id, keep, kept, why, outcome
):
    needed = keep(OLD, outcome=outcome)
    about = {"o": organization_id, "e": needed, "c": connection_id}
    with engine.begin() as conn:
        conn.execute(text(HELD[why]), about)
    expiry.expire(engine, budget_s=5)
    look_again(engine)
    expiry.expire(engine, budget_s=5)
    assert kept() == {needed}

    with engine.begin() as conn:
        conn.execute(text(f"DELETE FROM {why if why != 'postponed' else 'ready'}"))
        conn.execute(text("INSERT INTO outcomes VALUES (:o, :e, 'settled') ON CONFLICT DO NOTHING"), about)
    look_again(engine)
    expiry.expire(engine, budget_s=5)
    assert kept() == set()
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM held_bodies")).scalar() == 0


def test_who_is_at_work_is_left_alone(engine, organization_id, keep, kept):
    old = keep(OLD)
    with engine.begin() as conn:
        assert expiries.organizations(conn, timedelta(0)) == [organization_id]
    with engine.begin() as conn:
        expiries.expire(Tx(conn, organization_id), timedelta(days=99), 10)
        with engine.begin() as second:
            assert expiries.expire(Tx(second, organization_id), timedelta(days=35), 10) == 0
    assert kept() == {old}


def test_what_does_not_fit_the_time_is_done_next_time(engine, monkeypatch, keep, kept):
    monkeypatch.setattr(expiry, "BATCH", 1)
    for _ in range(3):
        keep(OLD)
    assert not expiry.expire(engine, budget_s=0)
    assert len(kept()) == 2
    monkeypatch.setattr(expiry, "_LATER_S", 0)
    assert expiry.expire(engine, budget_s=5)
    assert kept() == set()


def test_batches_take_as_long_when_there_are_many_rows(engine, organization_id, connection_id, kept):
    with engine.begin() as conn:
        about = {"organization_id": organization_id, "connection_id": connection_id}
        conn.execute(_FILL, {**about, "many": 100_000, "oldest": timedelta(days=70)})
        expiries.organizations(conn, timedelta(0))
    times = []
    looked = expiry.BATCH
    while looked == expiry.BATCH:
        began = time.monotonic()
        with engine.begin() as conn:
            looked = expiries.expire(Tx(conn, organization_id), timedelta(days=35), expiry.BATCH)
        times.append(time.monotonic() - began)

    assert len(kept()) == pytest.approx(50_000, abs=5)
    first, last = sorted(times[:20]), sorted(times[-20:])
    print(f"batches: {len(times)}, median first {first[10] * 1000:.1f} ms, last {last[10] * 1000:.1f} ms")  # noqa: T201
    assert last[10] < 3 * first[10]
