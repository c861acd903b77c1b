"""Drain: what becomes of envelopes, good, bad and deadly."""

import gc
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from connectors import CONNECTORS
from connectors.contract import MalformedPayloadError, ProfileSeen, Receipt, TagsAdded
from worker import settings as worker_settings
from worker import status
from worker.domain.statements import EnvelopeStatements
from worker.inbox import drain as draining
from worker.inbox.drain import drain, drain_batch
from worker.inbox.ingest import Source, accept
from worker.store import connections, envelopes, ready
from worker.store.db import Tx
from worker.store.lanes import lane_of


class Plain:
    """A connector that says what the body says."""

    name = "plain"
    PROTECTED_FIELDS = frozenset()
    SKIPPED_TOPICS = {}

    def verify(self, headers, body, secrets):
        pass

    def receive(self, headers, body):
        return Receipt(topic=headers.get("topic", "seen"), delivery_id=headers["id"], sent_at=None)

    def parse(self, envelope, account):
        if envelope.topic == "skipped":
            return []
        body = orjson.loads(envelope.body)
        if "malformed" in body:
            raise MalformedPayloadError("email: expected text, got a number")
        if "bug" in body:
            raise ZeroDivisionError("ayu@example.com")
        if "tag" in body:
            return [TagsAdded(external_id=body["id"], tags=(body["tag"],), occurred_at=None)]
        return [ProfileSeen(external_id=body["id"], occurred_at=None, fields=body.get("fields", {}))]


@pytest.fixture
def plain(monkeypatch):
    connector = Plain()
    monkeypatch.setitem(CONNECTORS, "plain", connector)
    return connector


@pytest.fixture
def source(engine, organization_id, plain):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="plain",
            source="plain",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
        )
    return Source(organization_id, id_, "plain", ("x",))


def keep(engine, source, *bodies, topic="seen"):
    """Queue bodies; the n-th is delivery n of all that this source has sent."""
    incoming = [accept(source, [("id", uuid4().hex), ("topic", topic)], orjson.dumps(body)) for body in bodies]
    with engine.begin() as conn:
        return [kept.envelope_id for kept in envelopes.keep(conn, incoming)]


def lane(source):
    return lane_of(source.id)


def rows(engine, statement):
    with engine.connect() as conn:
        return conn.execute(text(statement)).all()


def run_now(engine):
    """Let time pass for everything that waits."""
    with engine.begin() as conn:
        conn.execute(
            text("UPDATE ready SET next_run_at = now() - interval '1 s', lease_until = NULL, lease_token = NULL")
        )


def test_a_batch_settles_ignores_and_parks(engine, source):
    keep(engine, source, {"id": "1"}, {"malformed": 1}, {"id": "2"})
    keep(engine, source, {"id": "3"}, topic="skipped")

    done = drain(engine, lane(source), budget_s=5)

    assert (done.settled, done.ignored, done.parked) == (2, 1, 1)
    assert rows(engine, "SELECT count(*) FROM ready")[0][0] == 0
    assert rows(engine, "SELECT kind, reason FROM parked") == [("malformed", "email: expected text, got a number")]
    assert rows(engine, "SELECT detail FROM outcomes WHERE outcome = 'ignored'") == [("skipped",)]


def test_a_batch_leaves_nothing_to_the_collector(engine, source):
    """What a batch held goes when it is done, or a process grows by every batch until the collector comes by."""
    keep(engine, source, {"id": "0"})
    drain_batch(engine, lane(source))  # imports and compiled statements come first
    keep(engine, source, *({"id": str(n)} for n in range(1, 51)))
    gc.collect()
    gc.disable()
    try:
        assert drain_batch(engine, lane(source)).settled == 50
        left = [held for held in gc.get_objects() if isinstance(held, EnvelopeStatements)]
    finally:
        gc.enable()

    assert left == []


def test_a_value_the_database_refuses_is_found_and_parked_alone(engine, source):
    good = [{"id": str(n)} for n in range(7)]
    keep(engine, source, *good, {"id": "bad", "fields": {"note": "nul \x00 inside"}})

    done = drain(engine, lane(source), budget_s=5)

    assert (done.settled, done.parked) == (7, 1)
    assert "SQLSTATE 22P05" in rows(engine, "SELECT reason FROM parked")[0][0]


def test_a_bug_is_tried_again_and_parked_in_the_end(engine, source, capsys):
    keep(engine, source, {"id": "1"}, {"bug": 1})
    attempts = worker_settings.settings().max_attempts

    done = [drain(engine, lane(source), budget_s=5)]
    for _ in range(attempts - 1):
        assert rows(engine, "SELECT count(*) FROM parked")[0][0] == 0
        run_now(engine)
        done.append(drain(engine, lane(source), budget_s=5))

    assert done[0].settled == 1
    assert [d.postponed for d in done] == [1] * (attempts - 1) + [0]
    assert rows(engine, "SELECT kind, attempts FROM parked") == [("failed", attempts)]
    assert "ayu@example.com" not in capsys.readouterr().err  # the message of an unknown error may quote a body


def test_who_loses_the_lease_changes_nothing(engine, source, monkeypatch):
    keep(engine, source, {"id": "1"})

    def steal(*args, **kwargs):
        run_now(engine)
        return apply(*args, **kwargs)

    apply = draining.apply
    monkeypatch.setattr(draining, "apply", steal)
    lost = drain_batch(engine, lane(source))
    monkeypatch.undo()

    assert lost.settled == 0
    assert rows(engine, "SELECT count(*) FROM records")[0][0] == 0
    monkeypatch.setitem(CONNECTORS, "plain", Plain())
    assert drain(engine, lane(source), budget_s=5).settled == 1


def die_holding(engine, source, *, suspects=False):
    """Claim and vanish; the lease is over when we look again."""
    with engine.begin() as conn:
        return ready.lease_due(conn, lane(source), most=99, lease=timedelta(0), token=uuid4(), suspects=suspects)


def test_an_envelope_that_kills_processes_is_taken_with_few_then_alone_then_parked(engine, source):
    keep(engine, source, *({"id": str(number)} for number in range(30)))
    for _ in range(3):
        die_holding(engine, source)
    assert [row.crashes for row in rows(engine, "SELECT crashes FROM ready")] == [2] * 30
    assert die_holding(engine, source) == []

    few = drain_batch(engine, lane(source), suspects=True)
    assert (few.leased, few.settled) == (20, 20)

    assert len(die_holding(engine, source, suspects=True)) == 10
    alone = drain_batch(engine, lane(source), suspects=True)
    assert (alone.leased, alone.settled) == (1, 1)

    assert len(die_holding(engine, source, suspects=True)) == 1
    found = drain(engine, lane(source), budget_s=5)
    assert (found.parked, found.settled) == (1, 8)
    assert rows(engine, "SELECT kind FROM parked") == [("crashed",)]


def test_a_system_fault_counts_against_nobody(engine, source, monkeypatch):
    keep(engine, source, {"id": "1"})

    def fail(*_args, **_kwargs):
        with engine.connect() as conn:
            conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    monkeypatch.setattr(draining, "apply", fail)
    with pytest.raises((draining.TransientError, DBAPIError)):
        drain(engine, lane(source), budget_s=5)
    monkeypatch.undo()
    monkeypatch.setitem(CONNECTORS, "plain", Plain())

    assert rows(engine, "SELECT attempts, crashes, lease_until FROM ready") == [(0, 0, None)]
    run_now(engine)
    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_what_a_paused_connection_sends_waits(engine, organization_id, source):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})

    assert drain(engine, lane(source), budget_s=5).settled == 0
    assert drain(engine, lane(source), budget_s=5).leased == 0
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "active")
        ready.unhold(Tx(conn, organization_id), source.id)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_a_parked_envelope_is_replayed_after_a_fix(engine, organization_id, source, plain, monkeypatch):
    keep(engine, source, {"malformed": 1, "id": "7"})
    drain(engine, lane(source), budget_s=5)
    monkeypatch.setattr(
        plain, "parse", lambda envelope, account: [ProfileSeen(external_id="7", occurred_at=None)], raising=False
    )

    with engine.begin() as conn:
        assert len(status.replay(Tx(conn, organization_id), None)) == 1
    done = drain(engine, lane(source), budget_s=5)

    assert done.settled == 1
    assert rows(engine, "SELECT count(*) FROM parked")[0][0] == 0
    assert rows(engine, "SELECT external_id FROM contacts") == [("7",)]


def test_a_replay_withdraws_what_the_envelope_had_stated(engine, organization_id, source, plain, monkeypatch):
    first, second = keep(
        engine, source, {"id": "1", "fields": {"note": "kept"}}, {"id": "1", "fields": {"note": "wrong", "x": 1}}
    )
    drain(engine, lane(source), budget_s=5)
    wrong = rows(engine, "SELECT custom_fields FROM contacts")[0][0]
    parse = plain.parse

    def corrected(envelope, account):
        return (
            []
            if orjson.loads(envelope.body).get("fields", {}).get("note") == wrong["note"]
            else parse(envelope, account)
        )

    monkeypatch.setattr(plain, "parse", corrected, raising=False)
    newest = second if wrong["note"] == "wrong" else first
    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), [newest])
    drain(engine, lane(source), budget_s=5)

    other = {"note": "kept"} if newest == second else {"note": "wrong", "x": 1}
    assert rows(engine, "SELECT custom_fields FROM contacts")[0][0] == other


def test_a_replay_of_everything_changes_no_contact(engine, organization_id, source):
    kept = keep(
        engine, source, *({"id": str(n % 3), "fields": {"note": str(n)}} for n in range(9)), {"id": "1", "tag": "vip"}
    )
    drain(engine, lane(source), budget_s=5)
    shown = "SELECT id, custom_fields, tags, updated_at FROM contacts ORDER BY id"
    before = rows(engine, shown)

    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), kept)
    done = drain(engine, lane(source), budget_s=5)

    assert done.settled == 10
    assert rows(engine, shown) == before


def test_a_delivery_kept_twice_is_one_envelope(engine, source):
    request = accept(source, [("id", "d1"), ("topic", "seen")], b'{"id": "1"}')
    again = accept(source, [("id", "d1"), ("topic", "seen")], b'{"id": "1"}')
    other = accept(source, [("id", "d1"), ("topic", "seen")], b'{"id": "2"}')

    with engine.begin() as conn:
        first, second = envelopes.keep(conn, [request, again])
        third = envelopes.keep(conn, [other])[0]

    assert first.envelope_id == second.envelope_id == third.envelope_id
    assert [kept.is_duplicate for kept in (first, second, third)] == [False, True, True]
    assert [kept.is_mismatch for kept in (first, second, third)] == [False, False, True]
    assert rows(engine, "SELECT count(*) FROM ready")[0][0] == 1


def test_removing_a_paused_connection_loses_nothing(engine, organization_id, source):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})
    drain(engine, lane(source), budget_s=5)

    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "removed")
        ready.unhold(Tx(conn, organization_id), source.id)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_a_resume_during_a_drain_strands_nothing(engine, organization_id, source, monkeypatch):
    with engine.begin() as conn:
        connections.set_state(Tx(conn, organization_id), source.id, "paused")
    keep(engine, source, {"id": "1"})
    set_aside = ready.set_aside

    def resumed_meanwhile(*args):
        with engine.begin() as conn:
            connections.set_state(Tx(conn, organization_id), source.id, "active")
            ready.unhold(Tx(conn, organization_id), source.id)
        set_aside(*args)

    monkeypatch.setattr(ready, "set_aside", resumed_meanwhile)
    drain_batch(engine, lane(source))
    monkeypatch.setattr(ready, "set_aside", set_aside)

    assert drain(engine, lane(source), budget_s=5).settled == 1


def test_a_row_whose_envelope_is_gone_is_parked_and_stops_nobody(engine, source):
    gone, _ = keep(engine, source, {"id": "1"}, {"id": "2"})
    with engine.begin() as conn:
        conn.execute(text("DELETE FROM envelopes WHERE id = :id"), {"id": gone})

    drained = drain(engine, lane(source), budget_s=5)

    assert (drained.settled, drained.parked) == (1, 1)
    assert rows(engine, "SELECT envelope_id, kind FROM parked") == [(gone, "malformed")]
    assert rows(engine, "SELECT count(*) FROM ready") == [(0,)]


def test_pausing_does_not_disturb_what_is_being_worked_on(engine, organization_id, source):
    keep(engine, source, {"id": "1"})
    with engine.begin() as conn:
        ready.lease_due(conn, lane(source), most=9, lease=timedelta(seconds=30), token=uuid4())
        ready.hold(Tx(conn, organization_id), source.id)

    assert rows(engine, "SELECT lease_until IS NULL FROM ready") == [(False,)]


def test_one_envelope_whose_statement_times_out_stops_nobody(engine, source, monkeypatch):
    keep(engine, source, *({"id": str(n)} for n in range(6)), {"id": "slow"})
    apply = draining.apply

    def slow(on, organization_id, batch):
        if any(("plain", "slow") in reading.records for reading in batch.statements):
            with on.begin() as conn:
                conn.execute(text("SET LOCAL statement_timeout = 1"))
                conn.execute(text("SELECT pg_sleep(1)"))
        return apply(on, organization_id, batch)

    monkeypatch.setattr(draining, "apply", slow)
    done = drain_batch(engine, lane(source))

    assert (done.settled, done.postponed) == (6, 1)
    assert rows(engine, "SELECT attempts FROM ready") == [(1,)]


def test_a_record_that_only_a_withdrawn_reading_spoke_of_is_gone(engine, organization_id, source, plain, monkeypatch):
    (kept,) = keep(engine, source, {"id": "wrong", "fields": {"note": "x"}})
    drain(engine, lane(source), budget_s=5)
    right = [ProfileSeen(external_id="right", occurred_at=None)]
    monkeypatch.setattr(plain, "parse", lambda envelope, account: right, raising=False)

    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), [kept])
    drain(engine, lane(source), budget_s=5)

    assert rows(engine, "SELECT external_id FROM records") == [("right",)]
    assert rows(engine, "SELECT external_id FROM contacts") == [("right",)]


def test_a_replay_sees_what_its_own_batch_added(engine, organization_id, source, plain, monkeypatch):
    (newer,) = keep(engine, source, {"id": "1", "at": 2, "fields": {"note": "wrong"}})
    at = {1: datetime(2026, 10, 1, tzinfo=UTC), 2: datetime(2026, 10, 2, tzinfo=UTC)}

    def timed(envelope, account):
        body = orjson.loads(envelope.body)
        if body["fields"]["note"] == "wrong" and withdrawn:
            return []
        return [ProfileSeen(external_id="1", occurred_at=at[body["at"]], fields=body["fields"])]

    withdrawn = []
    monkeypatch.setattr(plain, "parse", timed, raising=False)
    drain(engine, lane(source), budget_s=5)
    keep(engine, source, {"id": "1", "at": 1, "fields": {"note": "old but true"}})
    withdrawn.append(True)
    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), [newer])

    drain(engine, lane(source), budget_s=5)

    assert rows(engine, "SELECT custom_fields FROM contacts") == [({"note": "old but true"},)]
