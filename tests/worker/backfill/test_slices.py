"""Backfill: every row is kept, worked off and accounted for, whatever happens in between."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
from sqlalchemy import text

from connectors import CONNECTORS
from connectors.reader import AccessRefusedError, NotYetError, TryAgainError, UnreadableError
from tests.worker.backfill.scripted import CHANGED_AT, READ_AT, Scripted, customer
from worker.backfill import reconcile, schedules, slices
from worker.errors import ConfigError
from worker.files import export_json
from worker.inbox.drain import drain
from worker.inbox.ingest import Source, accept
from worker.store import connections, db, envelopes, runs
from worker.store import schedules as schedule_rows
from worker.store.db import Tx
from worker.store.lanes import lane_of


@pytest.fixture
def shop(monkeypatch):
    provider = Scripted()
    monkeypatch.setitem(CONNECTORS, "scripted", provider)
    return provider


@pytest.fixture
def connection(engine, organization_id, shop):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="scripted",
            source="shop",
            options={},
            region=None,
            priority=100,
            webhook_secrets=["x"],
            credentials={"access_token": "t"},
        )
        return connections.by_id(conn, id_)


def again(engine, connection):
    with engine.connect() as conn:
        return connections.by_id(conn, connection.id)


def begin(engine, connection, kind="full", **given):
    with engine.begin() as conn:
        return slices.start(conn, connection, kind, **given)


def due(engine):
    """Let time pass for everything that waits."""
    with engine.begin() as conn:
        conn.execute(text("UPDATE runs SET next_run_at = now() - interval '1 s', lease_until = NULL"))
        conn.execute(text("UPDATE wanted SET next_run_at = now() - interval '1 s'"))


def work_off(engine, connection):
    drain(engine, lane_of(connection.id), budget_s=10)


def run_of(engine, connection, id_):
    with engine.connect() as conn:
        return runs.by_id(Tx(conn, connection.organization_id), id_)


def to_the_end(engine, connection, id_):
    for _ in range(50):
        slices.work(engine, budget_s=5)
        work_off(engine, connection)
        row = run_of(engine, connection, id_)
        if row.state != "running":
            return row
        due(engine)
    raise AssertionError(row)


def counts(row):
    return (row.state, row.read, row.changed, row.unchanged, row.parked, row.expected)


def dump(engine, organization_id):
    with db.snapshot(engine) as conn:
        return b"".join(export_json.canonical(Tx(conn, organization_id)))


def webhook(engine, connection, body, *, topic="seen", sent=None):
    headers = [("id", uuid4().hex), ("topic", topic), ("secret", "x")]
    if sent is not None:
        headers.append(("sent", sent.isoformat()))
    source = Source(connection.organization_id, connection.id, "scripted", ("x",))
    with engine.begin() as conn:
        envelopes.keep(conn, [accept(source, headers, orjson.dumps(body))])
    work_off(engine, connection)


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


def drifted(engine, connection, shop, held, *, gone=1):
    """A store that missed a creation, a change and deletions."""
    shop.hold(*(customer(n) for n in range(held)))
    to_the_end(engine, connection, begin(engine, connection))
    shop.hold(customer(1000), customer(0, at=CHANGED_AT + timedelta(days=1), name="Changed"))
    for n in range(1, gone + 1):
        del shop.customers[str(n)]


def test_reconciling_finds_and_repairs_exactly_what_differs(engine, connection, shop, organization_id):
    drifted(engine, connection, shop, 20)

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile"))

    assert reconcile.report(row) == {
        "expected": 20,
        "held": 20,
        "missing": 1,
        "stale": 1,
        "repaired": 2,
        "gone": 1,
        "removed": 1,
    }
    assert (row.state, row.read, row.changed, row.unchanged, row.parked) == ("done", 21, 3, 18, 0)
    lines = [orjson.loads(line) for line in dump(engine, organization_id).splitlines()]
    assert len(lines) == 20
    assert "Changed" in {line["name"] for line in lines}
    again_ = to_the_end(engine, connection, begin(engine, connection, "reconcile"))
    assert reconcile.report(again_)["repaired"] == reconcile.report(again_)["gone"] == 0
    with engine.connect() as conn:
        assert conn.execute(text("SELECT count(*) FROM run_rows")).scalar() == 0


def test_many_gone_at_once_are_left_until_confirmed(engine, connection, shop, organization_id):
    drifted(engine, connection, shop, 40, gone=11)

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile"))

    report = reconcile.report(row)
    assert (report["gone"], report["removed"], report["repaired"]) == (11, 0, 2)
    assert "--confirm" in report["refused"]
    assert dump(engine, organization_id).count(b"\n") == 41
    confirmed = to_the_end(engine, connection, begin(engine, connection, "reconcile", is_confirmed=True))
    assert reconcile.report(confirmed)["removed"] == 11
    assert dump(engine, organization_id).count(b"\n") == 30


def test_who_is_there_when_asked_by_id_is_not_gone(engine, connection, shop, organization_id, monkeypatch):
    shop.hold(*(customer(n) for n in range(20)))
    to_the_end(engine, connection, begin(engine, connection))
    original = shop.read

    def hiding(job, cursor, fetch):
        hidden = shop.customers.pop("7")
        yield from original(job, cursor, fetch)
        shop.customers["7"] = hidden

    monkeypatch.setattr(shop, "read", hiding)

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile"))

    assert (reconcile.report(row)["gone"], reconcile.report(row)["removed"]) == (1, 0)
    assert dump(engine, organization_id).count(b"\n") == 20


def test_an_incomplete_list_removes_nobody(engine, connection, shop, organization_id, monkeypatch):
    shop.hold(*(customer(n) for n in range(20)))
    to_the_end(engine, connection, begin(engine, connection))
    original = shop.read

    def short(job, cursor, fetch):
        for page in original(job, cursor, fetch):
            yield type(page)(rows=page.rows[:2], cursor=page.cursor, expected=page.expected)

    monkeypatch.setattr(shop, "read", short)

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile"))

    assert row.state == "failed"
    assert dump(engine, organization_id).count(b"\n") == 20


def test_killed_while_repairing_it_goes_on(engine, connection, shop, monkeypatch):
    drifted(engine, connection, shop, 20)
    monkeypatch.setattr(reconcile, "_AT_ONCE", 1)
    shop.faults = [None] * 7 + [None, TryAgainError("status 500")]

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile"))

    assert reconcile.report(row)["repaired"] == 2
    assert (row.state, row.read, row.changed, row.unchanged, row.parked) == ("done", 21, 3, 18, 0)


def test_a_dry_reconcile_only_reports(engine, connection, shop, organization_id):
    drifted(engine, connection, shop, 20)
    before = dump(engine, organization_id)

    row = to_the_end(engine, connection, begin(engine, connection, "reconcile", is_dry=True))

    assert (row.state, row.report["missing"], row.report["stale"], row.report["gone"]) == ("done", 1, 1, 1)
    assert dump(engine, organization_id) == before


def test_a_webhook_that_does_not_say_all_is_read_back(engine, connection, shop, organization_id):
    shop.hold(customer(5, tags=["vip"]))
    webhook(engine, connection, {"id": "5"}, topic="created", sent=CHANGED_AT)

    assert slices.work(engine, budget_s=5)
    work_off(engine, connection)

    (line,) = dump(engine, organization_id).splitlines()
    assert orjson.loads(line)["tags"] == ["vip"]
    assert not slices.work(engine, budget_s=5)


def test_who_cannot_be_read_back_now_is_later(engine, connection, shop):
    webhook(engine, connection, {"id": "5"}, topic="created", sent=CHANGED_AT)
    shop.faults = [TryAgainError("status 500")]

    assert slices.work(engine, budget_s=5)
    assert not slices.work(engine, budget_s=5)
    due(engine)
    assert slices.work(engine, budget_s=5)
    assert not slices.work(engine, budget_s=5)


def test_a_schedule_starts_once_however_many_look(engine, connection, shop, organization_id):
    shop.hold(customer(1))
    with engine.begin() as conn:
        past = datetime.now(UTC) - timedelta(days=3)
        schedule_rows.ensure(Tx(conn, organization_id), connection.id, "full", timedelta(hours=1), past)

    assert [schedules.start_due(engine) for _ in range(3)] == [1, 0, 0]

    with engine.connect() as conn:
        (row,) = schedule_rows.of_organization(Tx(conn, organization_id))
        (run,) = runs.latest(Tx(conn, organization_id), None, 10)
    assert row.last_run_id == run.id
    assert row.next_run_at > datetime.now(UTC)
    assert to_the_end(engine, connection, run.id).state == "done"


@pytest.mark.parametrize("change", ["state = 'paused'", "state = 'removed'", "revoked_at = now()"])
def test_a_connection_out_of_use_is_not_read_by_schedule(engine, connection, organization_id, change):
    with engine.begin() as conn:
        past = datetime.now(UTC) - timedelta(days=3)
        schedule_rows.ensure(Tx(conn, organization_id), connection.id, "full", timedelta(hours=1), past)
        conn.execute(text(f"UPDATE connections SET {change}"))

    assert schedules.start_due(engine) == 0
