"""Slices: every row is kept, worked off and accounted for, whatever happens in between."""

from datetime import timedelta
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text

from connectors.reader import AccessRefusedError, NotYetError, TryAgainError, UnreadableError
from tests.worker.backfill.running import again, begin, counts, due, dump, run_of, to_the_end, webhook, work_off
from tests.worker.backfill.scripted import CHANGED_AT, READ_AT, customer
from worker.backfill import slices
from worker.errors import ConfigError
from worker.store import runs
from worker.store.db import Tx


def test_a_run_reads_everything_and_adds_up(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(10)))
    webhook(engine, connection, customer(3), sent=READ_AT)

    row = to_the_end(engine, connection, begin(engine, connection))

    assert counts(row) == ("done", 10, 9, 1, 0, 10)
    assert row.phase == "draining"
    assert dump(engine, connection.organization_id).count(b"\n") == 10


def test_run_twice_nothing_changes(engine, connection, shop):
    shop.hold(*(customer(n, tags=["vip"]) for n in range(10)))
    to_the_end(engine, connection, begin(engine, connection))
    before = dump(engine, connection.organization_id)

    row = to_the_end(engine, connection, begin(engine, connection))

    assert counts(row) == ("done", 10, 0, 10, 0, 10)
    assert dump(engine, connection.organization_id) == before


def test_newer_webhooks_win_and_older_lose(engine, connection, shop, organization_id):
    shop.hold(customer(1, name="From the shop"), customer(2, name="From the shop"))
    newer, older = CHANGED_AT + timedelta(days=1), CHANGED_AT - timedelta(days=1)
    webhook(engine, connection, customer(1, at=newer, name="Newer"), sent=newer)
    webhook(engine, connection, customer(2, at=older, name="Older"), sent=older)

    to_the_end(engine, connection, begin(engine, connection))

    lines = [orjson.loads(line) for line in dump(engine, organization_id).splitlines()]
    assert sorted(line["name"] for line in lines) == ["From the shop", "Newer"]


def test_a_row_that_is_no_customer_is_parked_and_counted(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(5)))
    shop.customers["broken"] = {"updated_at": CHANGED_AT.isoformat(), "name": "Nobody"}

    row = to_the_end(engine, connection, begin(engine, connection))

    assert counts(row) == ("done", 6, 5, 0, 1, 6)


def test_a_failing_provider_is_asked_again_where_it_was(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(10)))
    shop.faults = [None, TryAgainError("status 503"), None, TryAgainError("throttled", timedelta(hours=1))]
    id_ = begin(engine, connection)

    slices.work(engine, budget_s=5)

    row = run_of(engine, connection, id_)
    assert (row.read, row.failures, row.error) == (3, 1, "status 503")
    assert not slices.work(engine, budget_s=5)  # it has to wait
    row = to_the_end(engine, connection, id_)
    assert counts(row) == ("done", 10, 10, 0, 0, 10)
    assert row.waited_s > 3600
    assert [cursor for _, cursor in shop.asked] == [None, {"at": 3}, {"at": 6}]


def test_a_provider_at_work_is_come_back_to(engine, connection, shop):
    shop.hold(customer(1))
    shop.faults = [NotYetError({"at": 0, "operation": 7}, timedelta(seconds=10))]
    id_ = begin(engine, connection)

    slices.work(engine, budget_s=5)

    row = run_of(engine, connection, id_)
    assert (row.cursor, row.failures, row.error) == ({"at": 0, "operation": 7}, 0, None)
    assert counts(to_the_end(engine, connection, id_)) == ("done", 1, 1, 0, 0, 1)


@pytest.mark.parametrize("error", [AccessRefusedError("the token is not accepted"), UnreadableError("not JSON")])
def test_a_provider_that_cannot_be_read_ends_the_run_with_the_reason(engine, connection, shop, error):
    shop.hold(*(customer(n) for n in range(5)))
    shop.faults = [None, error]

    row = to_the_end(engine, connection, begin(engine, connection))

    assert (row.state, row.error) == ("failed", str(error))
    assert (row.read, row.changed) == (3, 3)  # what was read is worked off


def test_rows_that_do_not_come_are_not_passed_over(engine, connection, shop, monkeypatch):
    shop.hold(*(customer(n) for n in range(9)))
    monkeypatch.setattr(shop, "on_page", lambda at: shop.customers.pop(str(8), None) if at == 3 else None)
    original = shop.read

    def promised(job, cursor, fetch):
        for page in original(job, cursor, fetch):
            yield type(page)(rows=page.rows[:2], cursor=page.cursor, expected=9)

    monkeypatch.setattr(shop, "read", promised)

    row = to_the_end(engine, connection, begin(engine, connection))

    assert (row.state, row.error) == ("failed", "incomplete: 6 of 9 customers could be read")


def test_killed_between_pages_it_goes_on_at_the_cursor(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(10)))

    def killed(at):
        if at == 6:
            raise KeyboardInterrupt

    shop.on_page = killed
    id_ = begin(engine, connection)
    with pytest.raises(KeyboardInterrupt):
        slices.work(engine, budget_s=5)
    shop.on_page = None
    assert not slices.work(engine, budget_s=5)  # its lease has not lapsed
    due(engine)

    row = to_the_end(engine, connection, id_)

    assert counts(row) == ("done", 10, 10, 0, 0, 10)
    assert shop.asked[1][1] == {"at": 3}


def test_a_page_that_comes_again_counts_once(engine, connection, shop, monkeypatch):
    shop.hold(*(customer(n) for n in range(6)))
    original = shop.read
    monkeypatch.setattr(
        shop, "read", lambda job, cursor, fetch: (p for page in original(job, cursor, fetch) for p in (page, page))
    )

    row = to_the_end(engine, connection, begin(engine, connection))

    assert counts(row) == ("done", 6, 6, 0, 0, 6)


def test_who_lost_the_lease_writes_nothing(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(9)))
    id_ = begin(engine, connection)

    def stolen(at):
        if at == 6:
            with engine.begin() as conn:
                conn.execute(text("UPDATE runs SET lease_token = :token"), {"token": uuid4()})

    shop.on_page = stolen
    slices.work(engine, budget_s=5)

    row = run_of(engine, connection, id_)
    assert (row.state, row.read, row.cursor) == ("running", 3, {"at": 3})


def test_cancelled_it_stops_and_keeps_what_it_read(engine, connection, shop):
    shop.hold(*(customer(n) for n in range(9)))
    id_ = begin(engine, connection)

    def cancelled(at):
        if at == 6:
            with engine.begin() as conn:
                runs.end(conn, runs.by_id(Tx(conn, connection.organization_id), id_), "cancelled", "by the operator")

    shop.on_page = cancelled
    slices.work(engine, budget_s=5)
    work_off(engine, connection)

    assert counts(run_of(engine, connection, id_)) == ("cancelled", 3, 3, 0, 0, 9)


def test_one_run_of_a_kind_at_a_time(engine, connection):
    assert begin(engine, connection) is not None
    assert begin(engine, connection) is None
    assert begin(engine, connection, "reconcile") is not None


@pytest.mark.parametrize(
    ("change", "state"),
    [("state = 'removed'", "cancelled"), ("revoked_at = now()", "failed")],
)
def test_a_connection_that_ends_ends_its_runs(engine, connection, shop, change, state):
    shop.hold(customer(1))
    id_ = begin(engine, connection)
    with engine.begin() as conn:
        conn.execute(text(f"UPDATE connections SET {change}"))

    row = to_the_end(engine, connection, id_)

    assert row.state == state
    assert row.error
    with pytest.raises(ConfigError):
        begin(engine, again(engine, connection))


def test_an_increment_goes_on_where_the_last_run_ended(engine, connection, shop):
    shop.hold(customer(1), customer(2, at=CHANGED_AT + timedelta(days=2)))
    to_the_end(engine, connection, begin(engine, connection))
    shop.hold(customer(3, at=CHANGED_AT + timedelta(days=3)))

    row = to_the_end(engine, connection, begin(engine, connection, "increment"))

    assert row.since == CHANGED_AT + timedelta(days=2, minutes=-10)
    assert counts(row) == ("done", 2, 1, 1, 0, 2)


def test_a_dry_run_tells_and_writes_nothing(engine, connection, shop, organization_id):
    shop.hold(customer(1), customer(2))
    to_the_end(engine, connection, begin(engine, connection))
    before = dump(engine, organization_id)
    shop.hold(customer(2, at=CHANGED_AT + timedelta(days=1), name="Other"), customer(3))
    shop.customers["broken"] = {"updated_at": CHANGED_AT.isoformat()}

    row = to_the_end(engine, connection, begin(engine, connection, is_dry=True))

    assert counts(row) == ("done", 4, 2, 1, 1, 4)
    assert {name: row.report[name] for name in ("created", "changed", "merged")} == {
        "created": 1,
        "changed": 1,
        "merged": 0,
    }
    assert {"external_id": "2", "kind": "changed", "fields": ["name"]}.items() <= row.report["examples"][0].items()
    assert dump(engine, organization_id) == before
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM envelopes")).scalar() == 2
