"""Dry run: rows are applied and rolled back, and the report says what they would have done."""

import orjson
import pytest

from tests.worker.inbox.plain import keep, lane, rows
from worker.inbox import dry_run
from worker.inbox.drain import drain
from worker.inbox.ingest import accept
from worker.store import connections, runs
from worker.store.db import Tx


@pytest.fixture
def try_rows(engine, organization_id, source):
    """Try bodies in a dry run; return its counts and its report."""

    def try_rows(*bodies, before=None):
        with engine.begin() as conn:
            tx = Tx(conn, organization_id)
            row = runs.by_id(tx, runs.start(tx, source.id, "full", is_dry=True))
            connection = connections.by_id(conn, source.id)
        row.report = before or {}
        incoming = [accept(source, [("id", str(n))], orjson.dumps(body)) for n, body in enumerate(bodies)]
        return dry_run.try_rows(engine, row, connection, incoming)

    return try_rows


def test_every_row_is_counted_once_and_nothing_is_written(engine, source, try_rows):
    same = {"id": "1", "fields": {"note": "same"}}
    keep(engine, source, same, {"id": "2"})
    drain(engine, lane(source), budget_s=5)
    tables = ("contacts", "records", "changes", "envelopes", "ready", "parked", "outcomes")
    before = [rows(engine, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]

    counts, _ = try_rows({"id": "2", "fields": {"note": "x"}}, {"id": "3"}, same, {"malformed": 1})

    assert counts == {"read": 4, "changed": 2, "unchanged": 1, "parked": 1}
    assert [rows(engine, f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables] == before


def test_the_report_names_fields_and_quotes_no_value(try_rows):
    _, report = try_rows({"id": "1", "fields": {"note": "a secret"}}, {"malformed": 1}, {"malformed": 1})

    assert (report["created"], report["changed"], report["merged"]) == (1, 0, 0)
    assert [(example["external_id"], example["kind"]) for example in report["examples"]] == [("1", "created")]
    assert report["refused"] == {"email: expected text, got a number": 2}
    assert "a secret" not in str(report)


def test_a_report_adds_up_over_batches(try_rows):
    _, first = try_rows({"id": "1"}, {"malformed": 1})
    _, second = try_rows({"id": "2"}, {"malformed": 1}, before=first)

    assert second["created"] == 2
    assert [example["external_id"] for example in second["examples"]] == ["1", "2"]
    assert second["refused"] == {"email: expected text, got a number": 2}


def test_a_page_without_a_sound_row_reports_its_reasons(try_rows):
    counts, report = try_rows({"malformed": 1})

    assert counts == {"read": 1, "changed": 0, "unchanged": 0, "parked": 1}
    assert report["created"] == 0
