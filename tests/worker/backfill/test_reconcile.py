"""Reconciling: what differs between source and store is found and repaired, and nobody is removed by mistake."""

from datetime import timedelta

import orjson
from sqlalchemy import text

from connectors.reader import TryAgainError
from tests.worker.backfill.running import begin, dump, to_the_end
from tests.worker.backfill.scripted import CHANGED_AT, customer
from worker.backfill import reconcile


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
