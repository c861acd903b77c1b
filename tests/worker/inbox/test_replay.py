"""Replay: an envelope is normalised anew, and what it stated before is withdrawn."""

from datetime import UTC, datetime

import orjson

from connectors.contract import MalformedPayloadError, ProfileSeen
from tests.worker.inbox.plain import keep, lane, rows
from worker.inbox import replay
from worker.inbox.drain import drain
from worker.inbox.replay import queue_replay
from worker.store import ready
from worker.store.db import Tx


def test_a_parked_envelope_is_replayed_after_a_fix(engine, organization_id, source, plain, monkeypatch):
    keep(engine, source, {"malformed": 1, "id": "7"})
    drain(engine, lane(source), budget_s=5)
    monkeypatch.setattr(
        plain, "parse", lambda envelope, account: [ProfileSeen(external_id="7", occurred_at=None)], raising=False
    )

    with engine.begin() as conn:
        assert len(queue_replay(Tx(conn, organization_id), None)) == 1
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


def test_a_record_that_nothing_is_stated_about_any_more_is_gone(engine, organization_id, source, plain, monkeypatch):
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


def test_a_sibling_that_is_malformed_now_keeps_what_it_stated(engine, organization_id, source, plain, monkeypatch):
    _, replayed = keep(engine, source, {"id": "1", "tag": "vip"}, {"id": "1", "fields": {"note": "x"}})
    drain(engine, lane(source), budget_s=5)
    parse = plain.parse

    def stricter(envelope, account):
        if b"tag" in envelope.body:
            raise MalformedPayloadError("tag: no longer documented")
        return parse(envelope, account)

    monkeypatch.setattr(plain, "parse", stricter, raising=False)
    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), [replayed])

    assert drain(engine, lane(source), budget_s=5).settled == 1
    assert rows(engine, "SELECT tags, custom_fields FROM contacts") == [(["vip"], {"note": "x"})]


def test_more_siblings_than_fit_a_transaction_park_the_replay(engine, organization_id, source, monkeypatch):
    kept = keep(engine, source, *({"id": "1", "fields": {"note": str(n)}} for n in range(4)))
    drain(engine, lane(source), budget_s=5)
    monkeypatch.setattr(replay, "_MOST_SIBLINGS", 3)
    with engine.begin() as conn:
        ready.replay(Tx(conn, organization_id), kept[:1])

    assert drain(engine, lane(source), budget_s=5).parked == 1

    assert rows(engine, "SELECT kind, reason FROM parked") == [
        ("failed", "more than 3 kept envelopes speak of the same customers")
    ]
    assert rows(engine, "SELECT count(*) FROM contacts") == [(1,)]
