"""Backfill: customers that a shop has already, beside dlt loading the same file into the same Postgres."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

from bench.dlt_merge import PAGE
from bench.stack import ROOT, Stack
from bench.sync import Workers
from worker import ids
from worker.store import envelopes
from worker.store.envelopes import Incoming

_FIRST_ID = 307_119_551_000
_TIMEOUT_S = 300


def write(path: Path, n: int) -> None:
    """Write invented customers as a bulk operation of Shopify's returns them."""
    with path.open("wb") as lines:
        for number in range(n):
            lines.write(orjson.dumps(_customer(number)) + b"\n")


def ours(stack: Stack, workers: Workers, path: Path) -> float:
    """Keep every row as an envelope, while the workers drain; return how long it took until all was done."""
    stack.empty()
    began = time.perf_counter()
    for page in _pages(stack, path):
        with stack.engine.begin() as conn:
            envelopes.keep(conn, page)
        workers.nudge()
    workers.finish(seconds=_TIMEOUT_S)
    return time.perf_counter() - began


def theirs(stack: Stack, path: Path, file_format: str | None = None) -> float:
    """Let dlt load the file, in a process of its own."""
    command = [sys.executable, "-m", "bench.dlt_merge", str(path), str(stack.directory / "dlt")]
    if file_format is not None:
        command.append(file_format)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"dlt failed; it wrote last:\n{done.stderr[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


def show(table: Table, found: dict[str, Any]) -> None:
    """Show what was measured."""
    loaded, copied = found["backfill"], found["backfill_beside_copy"]
    for beside, figures, name in (
        ("dlt, merge", loaded, "backfill, 2 worker processes"),
        ("dlt, merge, files copied (csv)", copied, ""),
    ):
        table.add_row(
            name,
            beside,
            f"{figures['ours']:,.0f} customers/s" if name else "",
            f"{figures['baseline']:,.0f} customers/s",
            f"[bold]{figures['ratio']:.2f} x[/]",
        )


def _pages(stack: Stack, path: Path) -> Iterator[list[Incoming]]:
    with path.open("rb") as lines:
        while page := [_incoming(stack, line.rstrip()) for line in islice(lines, PAGE)]:
            yield page


def _incoming(stack: Stack, row: bytes) -> Incoming:
    body = b'{"data":{"customer":' + row + b"}}"
    digest = sha256(body)
    return Incoming(
        organization_id=stack.source.organization_id,
        id=ids.new(),
        connection_id=stack.connection_id,
        topic="Customer/update",
        delivery_id="row:" + digest.hexdigest(),
        sent_at=datetime.now(UTC),
        headers="[]",
        body=body,
        body_sha256=digest.digest(),
    )


def _customer(number: int) -> dict[str, Any]:
    id_ = _FIRST_ID + number
    return {
        "id": f"gid://shopify/Customer/{id_}",
        "legacyResourceId": str(id_),
        "firstName": "Emma",
        "lastName": f"Miller{number}",
        "state": "DISABLED",
        "note": None,
        "locale": "en",
        "taxExempt": False,
        "verifiedEmail": True,
        "createdAt": "2026-09-01T14:00:00Z",
        "updatedAt": f"2026-10-02T14:00:{number % 60:02}Z",
        "numberOfOrders": "3",
        "amountSpent": {"amount": "129.5", "currencyCode": "USD"},
        "lastOrder": {"id": f"gid://shopify/Order/{9000 + number}"},
        "tags": ["Léon", "Noël", "vip"],
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
