"""Reconcile: compare whom the source has with whom we hold, and put right what differs through the normal path.

A customer that the source did not show is asked for once more, by id, before it counts as gone; and when many
seem to be gone at once nothing is removed until a person confirms, because that is what a lost permission looks
like.
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

#: of the customers held, more may not be removed at once without confirmation, but a few always
_MOST_GONE_SHARE = 0.05
_FEW = 10
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Repair:
    """Rows that put some customers right."""

    rows: Sequence[Row]
    cursor: Mapping[str, Any]
    found_gone: int  #: customers among them that the comparison found gone
    vanished: int  #: customers that are at the source no more, and were never here


def compare(engine: Engine, row: RunRow, connection: ConnectionRow, *, token: UUID) -> RunRow:
    """Compare, once everything is read; return the run as it goes on: repairing, or with nothing left to do."""
    with engine.begin() as conn:
        db.enter(Tx(conn, row.organization_id))
        # Without a count from the source the end of its pages is all there is to go by.
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
    """Yield what puts right the customers that differ, a page at a time from the run's cursor on."""
    cursor = row.cursor or {}
    after, removed = str(cursor.get("after", "")), int(cursor.get("removed", 0))
    while True:
        with engine.connect() as conn:
            found = run_rows.drift(conn, row, after, _AT_ONCE)
        if not found:
            return
        asked_at = datetime.now(UTC)
        shown = {one.external_id: one for one in reader.read_some(job, [one.external_id for one in found], fetch)}
        # By the source's clock, if it showed one: our own may be ahead of it.
        at = min([asked_at, *(one.not_before for one in shown.values())])
        rows, found_gone, vanished = list(shown.values()), 0, 0
        for one in found:
            found_gone += one.verdict == "gone"
            if one.external_id in shown:
                continue
            if one.verdict == "missing":
                vanished += 1
            else:
                rows.append(reader.gone(one.external_id, at))
                removed += 1
        after = found[-1].external_id
        yield Repair(rows, {"after": after, "removed": removed}, found_gone, vanished)


def report(row: RunRow) -> dict[str, Any] | None:
    """Return what reconciling found and did; None for other kinds."""
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
