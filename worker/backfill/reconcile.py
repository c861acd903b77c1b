"""Reconcile: compare the customers at the source with those in the store, and repair the differences.

Repairs are rows that go through the inbox like all others. A customer that the source did not list is asked for once
more, by id, before it counts as gone. If many customers seem to be gone at once, nothing is removed until a person
confirms, because a lost permission looks the same.

It commits in steps: the comparison is one transaction; each page of repairs is loaded in one, and ``slices`` keeps
the page in another.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from connectors.reader import Fetch, Job, Reader, Row
from worker.store import db, run_rows, runs
from worker.store.connections import ConnectionRow
from worker.store.db import Tx
from worker.store.runs import RunRow

#: share of the customers in the store that a run may remove without confirmation
_MOST_GONE_SHARE = 0.05
#: number of customers that a run may always remove
_FEW = 10
#: customers of a page of repairs
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Repair:
    """Rows that repair some customers."""

    rows: Sequence[Row]
    cursor: Mapping[str, Any]
    found_gone: int  #: customers of this page that the comparison judged gone
    vanished: int  #: customers that the source listed and no longer has, and that were never in the store


def compare(engine: Engine, row: RunRow, connection: ConnectionRow, *, token: UUID) -> RunRow:
    """Compare, after the source was read to its end; return the run in its next phase.

    The next phase is "repairing", or "draining" for a dry run, which only reports.
    """
    with engine.begin() as conn:
        db.enter(Tx(conn, row.organization_id))
        # A source that gives no count is taken as complete when its pages end.
        found = run_rows.compare(conn, row, connection.source, is_complete=row.seen >= (row.expected or 0))
        most = max(_FEW, int(found["held"] * _MOST_GONE_SHARE))
        is_refused = found["gone"] > most and not row.is_confirmed
        report: dict[str, Any] = {"expected": row.expected or row.read, **found, "removed": 0}
        if is_refused:
            run_rows.delete_gone(conn, row)
            report["refused"] = (
                f"{found['gone']:,} of {found['held']:,} customers seem to be gone, more than {most:,}: nobody was "
                "removed; look at the source, then start it again with --confirm"
            )
        drifted = found["missing"] + found["stale"]
        phase = "draining" if row.is_dry else "repairing"
        unchanged = row.read if row.is_dry else row.read - drifted
        runs.set_phase(conn, row, phase, token=token, unchanged=unchanged, report=report)
        return runs.by_id(Tx(conn, row.organization_id), row.id) or row


def repairs(engine: Engine, row: RunRow, reader: Reader, job: Job, fetch: Fetch) -> Iterator[Repair]:
    """Yield the repairs, a page at a time, from the run's cursor on."""
    cursor = row.cursor or {}
    after, removed = str(cursor.get("after", "")), int(cursor.get("removed", 0))
    while True:
        with engine.connect() as conn:
            drifts = run_rows.drift(conn, row, after, _AT_ONCE)
        if not drifts:
            return
        requested_at = datetime.now(UTC)
        external_ids = [drift.external_id for drift in drifts]
        present = {found.external_id: found for found in reader.read_some(job, external_ids, fetch)}
        # The source's clock counts if a row shows it, because our clock may be ahead.
        at = min([requested_at, *(found.not_before for found in present.values())])
        rows, found_gone, vanished = list(present.values()), 0, 0
        for drift in drifts:
            found_gone += drift.verdict == "gone"
            if drift.external_id in present:
                continue
            if drift.verdict == "missing":
                vanished += 1
            else:
                rows.append(reader.gone(drift.external_id, at))
                removed += 1
        after = drifts[-1].external_id
        yield Repair(rows, {"after": after, "removed": removed}, found_gone, vanished)


def report(row: RunRow) -> dict[str, Any] | None:
    """Return what a reconciling run found and did; None for a run of another kind."""
    if row.kind != "reconcile" or "held" not in row.report:
        return None
    known = row.report
    removed = int((row.cursor or {}).get("removed", known["removed"]))
    return {
        "expected": known["expected"],
        "held": known["held"],
        "missing": known["missing"],
        "stale": known["stale"],
        "repaired": max(0, row.changed - removed),
        "gone": known["gone"],
        "removed": removed,
        **({"refused": known["refused"]} if "refused" in known else {}),
    }
