"""Refetch: a row that was read becomes an envelope, and customers are read whom a webhook did not describe whole."""

from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace
from uuid import uuid4

import orjson
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from connectors.contract import Envelope
from connectors.reader import NOT_BEFORE, AccessRefusedError, Row, TryAgainError, read_from
from tests.worker.backfill.running import again, due, dump, webhook, work_off
from tests.worker.backfill.scripted import CHANGED_AT, customer
from worker.backfill import refetch, slices

CONNECTION = SimpleNamespace(organization_id=uuid4(), id=uuid4())
NOW = datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def a_row(not_before=NOW, body=b"{}"):
    return Row(external_id="1", updated_at=None, topic="row", body=body, not_before=not_before, not_after=NOW)


@given(st.datetimes(datetime(1000, 1, 1), timezones=st.just(UTC) | ZONES))  # noqa: DTZ001 - the zone comes beside it
def test_its_mark_says_since_when_it_was_read(at):
    kept = refetch.envelope_of_row(CONNECTION, a_row(at), None)
    marks = orjson.loads(kept.marks)
    assert (marks, kept.headers) == ([[NOT_BEFORE, at.isoformat()]], "[]")
    envelope = Envelope(topic="row", delivery_id="1", sent_at=NOW, headers=dict(marks), body=b"{}")
    assert read_from(envelope) == at


def test_read_again_it_is_the_same_delivery_within_a_run_only():
    run = uuid4()
    in_run = [refetch.envelope_of_row(CONNECTION, a_row(body=body), run) for body in (b"{}", b"{}", b"[]")]
    assert in_run[0].delivery_id == in_run[1].delivery_id != in_run[2].delivery_id
    assert len({one.id for one in in_run}) == 3
    alone = [refetch.envelope_of_row(CONNECTION, a_row(), None) for _ in range(2)]
    assert alone[0].delivery_id != alone[1].delivery_id


def test_a_webhook_that_does_not_say_everything_is_followed_by_a_refetch(engine, connection, shop, organization_id):
    shop.hold(customer(5, tags=["vip"]))
    webhook(engine, connection, {"id": "5"}, topic="created", sent=CHANGED_AT)

    assert slices.work(engine, budget_s=5)
    work_off(engine, connection)

    (line,) = dump(engine, organization_id).splitlines()
    assert orjson.loads(line)["tags"] == ["vip"]
    assert not slices.work(engine, budget_s=5)


def test_who_cannot_be_read_now_is_read_later(engine, connection, shop):
    webhook(engine, connection, {"id": "5"}, topic="created", sent=CHANGED_AT)
    shop.faults = [TryAgainError("status 500")]

    assert slices.work(engine, budget_s=5)
    assert not slices.work(engine, budget_s=5)
    due(engine)
    assert slices.work(engine, budget_s=5)
    assert not slices.work(engine, budget_s=5)


# Deletions and revocations that are in doubt.


def outcomes(engine, connection):
    statement = "SELECT e.topic, o.outcome, o.detail FROM outcomes o JOIN envelopes e ON e.id = o.envelope_id"
    with engine.connect() as conn:
        return {row[0]: (row[1], row[2]) for row in conn.execute(text(f"{statement} ORDER BY o.settled_at"))}


def held(engine, organization_id):
    return [orjson.loads(line)["external_id"] for line in dump(engine, organization_id).splitlines()]


def test_who_is_still_there_is_not_deleted(engine, connection, shop, organization_id):
    shop.hold(customer(5))
    webhook(engine, connection, customer(5))
    webhook(engine, connection, {"id": "5"}, topic="deleted")
    assert outcomes(engine, connection)["deleted"] == ("ignored", "deleted: waits for a reading that confirms it")

    assert slices.work(engine, budget_s=5)
    work_off(engine, connection)

    assert held(engine, organization_id) == ["5"]
    assert outcomes(engine, connection)["deleted"] == ("ignored", "not confirmed: the source still has the customer")
    assert not slices.work(engine, budget_s=5)


def test_who_is_gone_is_deleted_once_the_source_says_so(engine, connection, shop, organization_id):
    webhook(engine, connection, customer(5))
    webhook(engine, connection, {"id": "5"}, topic="deleted", sent=datetime.now(UTC) - timedelta(days=3))
    assert held(engine, organization_id) == ["5"]
    shop.faults = [TryAgainError("status 500")]

    assert slices.work(engine, budget_s=5)
    assert held(engine, organization_id) == ["5"]
    due(engine)
    assert slices.work(engine, budget_s=5)
    work_off(engine, connection)

    assert held(engine, organization_id) == []
    assert outcomes(engine, connection)["deleted"] == ("settled", None)


def test_a_deletion_of_today_needs_no_reading(engine, connection, shop, organization_id):
    shop.hold(customer(5))
    webhook(engine, connection, customer(5))
    webhook(engine, connection, {"id": "5"}, topic="deleted", sent=datetime.now(UTC))

    assert held(engine, organization_id) == []
    assert not slices.work(engine, budget_s=5)


def test_where_the_source_never_answers_a_deletion_takes_effect_as_it_was_sent(
    engine, connection, shop, organization_id
):
    webhook(engine, connection, customer(5))
    webhook(engine, connection, {"id": "5"}, topic="deleted")
    with engine.begin() as conn:
        conn.execute(text("UPDATE wanted SET attempts = 8"))

    assert slices.work(engine, budget_s=5)
    work_off(engine, connection)

    assert held(engine, organization_id) == []


def test_requests_sent_again_do_not_put_a_reading_off(engine, connection, shop):
    webhook(engine, connection, {"id": "5"}, topic="deleted")
    with engine.begin() as conn:
        conn.execute(text("UPDATE wanted SET attempts = 5, next_run_at = now() + interval '1 h'"))
        before = conn.execute(text("SELECT attempts, next_run_at FROM wanted")).one()

    webhook(engine, connection, {"id": "5"}, topic="deleted")

    with engine.connect() as conn:
        assert conn.execute(text("SELECT attempts, next_run_at FROM wanted")).one() == before


def test_access_that_still_works_was_not_taken_back(engine, connection, shop):
    webhook(engine, connection, {}, topic="revoked", sent=datetime.now(UTC))

    assert slices.work(engine, budget_s=5)

    assert again(engine, connection).revoked_at is None
    assert outcomes(engine, connection)["revoked"] == ("ignored", "not confirmed: the source still gives us access")


def test_access_that_is_refused_was_taken_back(engine, connection, shop):
    webhook(engine, connection, customer(5), topic="created")
    webhook(engine, connection, {}, topic="revoked", sent=datetime.now(UTC))
    shop.faults = [AccessRefusedError("401")]

    assert slices.work(engine, budget_s=5)

    assert again(engine, connection).revoked_at is not None
    assert outcomes(engine, connection)["revoked"] == ("settled", None)
