"""Backfill: the worker loads the customers that a shop has, and dlt loads the same files into the same Postgres.

Each side loads twice, as a schedule would. The first time no customer is known. The second time all are known, and
one in ten has changed.
"""

import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from bench.dlt_merge import PAGE
from bench.stack import ROOT, Stack
from bench.sync import Workers
from connectors.shopify import reads
from worker.backfill.refetch import envelope_of_row
from worker.inbox.nudge import nudger
from worker.store import connections, envelopes
from worker.store.connections import ConnectionRow
from worker.store.envelopes import Incoming

_FIRST_ID = 307_119_551_000
_TIMEOUT_S = 300


@dataclass(frozen=True)
class LoadTimes:
    """Seconds of the first load, and of the second load."""

    first: float
    again: float


def write(directory: Path, n: int) -> tuple[Path, Path]:
    """Write invented customers as a bulk operation of Shopify returns them, now and some days later."""
    paths = (directory / "customers.jsonl", directory / "customers_later.jsonl")
    for path in paths:
        is_later = path == paths[1]
        with path.open("wb") as lines:
            for number in range(n):
                lines.write(orjson.dumps(_customer(number, is_changed=is_later and number % 10 == 0)) + b"\n")
    return paths


def ours(stack: Stack, workers: Workers, paths: tuple[Path, Path]) -> LoadTimes:
    """Store each row as an envelope while the workers drain, and measure until the last envelope is settled."""
    stack.empty()
    with stack.engine.connect() as conn:
        connection = connections.by_id(conn, stack.connection_id)
    assert connection is not None
    seconds = []
    with _garbage_collected_seldom():
        for path in paths:
            began = time.perf_counter()
            for page in _pages(connection, path):
                with stack.engine.begin() as conn:
                    envelopes.keep(conn, page)
                nudger.nudge({workers.lane})  # as the reader of a backfill does
            workers.finish(seconds=_TIMEOUT_S)
            seconds.append(time.perf_counter() - began)
    return LoadTimes(*seconds)


@contextmanager
def _garbage_collected_seldom() -> Iterator[None]:
    """Collect garbage as seldom as a process of the worker does."""
    from worker.app import collect_seldom  # noqa: PLC0415 - needs the environment of a running stack

    before = gc.get_threshold()
    collect_seldom()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def theirs(stack: Stack, paths: tuple[Path, Path], file_format: str | None = None) -> LoadTimes:
    """Let dlt load the files, in a process of its own."""
    command = [sys.executable, "-m", "bench.dlt_merge", *map(str, paths), str(stack.directory / "dlt")]
    if file_format is not None:
        command.append(file_format)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"dlt failed; the end of its output:\n{done.stderr[-2000:]}")
    return LoadTimes(*json.loads(done.stdout.splitlines()[-1])["seconds"])


def show(table: Table, results: dict[str, Any]) -> None:
    """Add the results of both loads to the table."""
    for load, name in (("first", "backfill, 2 worker processes"), ("again", "second load, one in ten changed")):
        beside_merge, beside_copy = results["backfill"][load], results["backfill_beside_copy"][load]
        ours_ = f"{beside_merge['ours']:,.0f} customers/s"
        for work, beside, rate, figures in (
            (name, "dlt, merge", ours_, beside_merge),
            ("", "dlt, merge, with COPY (csv)", "", beside_copy),
        ):
            table.add_row(
                work, beside, rate, f"{figures['baseline']:,.0f} customers/s", f"[bold]{figures['ratio']:.2f} x[/]"
            )


def _pages(connection: ConnectionRow, path: Path) -> Iterator[list[Incoming]]:
    with path.open("rb") as lines:
        while page := list(islice(lines, PAGE)):
            now = datetime.now(UTC)  # the reader takes the time once a page
            rows = [reads.row(reads.parsed(line), line, now, now, is_bare=False) for line in page]
            yield [envelope_of_row(connection, row, None) for row in rows]


def _customer(number: int, *, is_changed: bool) -> dict[str, Any]:
    id_ = _FIRST_ID + number
    return {
        "id": f"gid://shopify/Customer/{id_}",
        "legacyResourceId": str(id_),
        "firstName": "Emma",
        "lastName": f"{'Baker' if is_changed else 'Miller'}{number}",
        "state": "DISABLED",
        "note": None,
        "locale": "en",
        "taxExempt": False,
        "verifiedEmail": True,
        "createdAt": "2026-09-01T14:00:00Z",
        "updatedAt": f"2026-10-{'09' if is_changed else '02'}T14:00:{number % 60:02}Z",
        "numberOfOrders": "3",
        "amountSpent": {"amount": "129.5", "currencyCode": "USD"},
        "lastOrder": {"id": f"gid://shopify/Order/{9000 + number}"},
        "tags": ["Léon", "Noël", "returned" if is_changed else "vip"],
        "defaultEmailAddress": {
            "emailAddress": f"emma.miller{number}@example.com",
            "marketingState": "SUBSCRIBED",
            "marketingOptInLevel": "SINGLE_OPT_IN",
            "marketingUpdatedAt": "2026-09-10T11:57:11Z",
        },
        "defaultPhoneNumber": {
            "phoneNumber": f"+62812{20_000_000 + number}",
            "marketingState": "NOT_SUBSCRIBED",
            "marketingOptInLevel": "SINGLE_OPT_IN",
            "marketingUpdatedAt": None,
            "marketingCollectedFrom": "OTHER",
        },
        "defaultAddress": {
            "address1": "14 Lantern Row",
            "address2": "",
            "city": "Harbour",
            "company": None,
            "provinceCode": "KY",
            "countryCodeV2": "US",
            "zip": "40202",
            "phone": "555-555-SHIP",
        },
    }
