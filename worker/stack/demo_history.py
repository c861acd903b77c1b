"""The demo's second shop: connected today; its earlier customers are read through its Admin API."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from worker.backfill import slices
from worker.errors import SyncError
from worker.inbox.nudge import READING, publish_once
from worker.stack.processes import HOST, bare_environment, end, free_port, log_tail, port_is_free, spawn, until
from worker.store import connections, db, runs
from worker.store.db import Tx
from worker.store.runs import RunRow

CUSTOMERS = 500
_DOMAIN, _TOKEN, _SEED = "kebun-teh.myshopify.com", "shpat_invented", 20261124
_UP_IN_S = 20.0
_READ_IN_S = 60.0


def read_history(organization_id: UUID, directory: Path) -> tuple[RunRow, float]:
    """Read all customers of the shop; return the finished run, and how many seconds it took.

    Raises SyncError if the run fails or takes more than a minute.
    """
    with _shop(directory) as url:
        began = time.monotonic()
        with db.engine().begin() as conn:
            id_ = connections.insert_new(
                Tx(conn, organization_id),
                connector="shopify",
                source="shopify-2",
                options={"shop_domain": _DOMAIN, "api_url": url},
                region="ID",
                priority=50,
                webhook_secrets=[],
                credentials={"access_token": _TOKEN},
            )
            connection = connections.by_id(conn, id_)
            run_id = None if connection is None else slices.start(conn, connection, "full")
        assert run_id is not None  # noqa: S101 - the connection is ours, and new
        publish_once(READING)
        row: RunRow | None = None

        def is_over() -> bool:
            nonlocal row
            with db.engine().connect() as conn:
                row = runs.by_id(Tx(conn, organization_id), run_id)
            return row is not None and row.state != "running"

        until(is_over, timeout_s=_READ_IN_S)
    if row is None or row.state != "done":
        raise SyncError(
            "the earlier customers of the second shop could not be read: " + ((row and row.error) or "it took too long")
        )
    return row, time.monotonic() - began


@contextmanager
def _shop(directory: Path) -> Iterator[str]:
    """Run a simulated shop until the block ends; yield the origin of its Admin API."""
    port, log = free_port(), directory / "logs" / "simulated_admin.log"
    given = {"port": port, "seed": _SEED, "size": CUSTOMERS, "token": _TOKEN, "domain": _DOMAIN, "bulk-seconds": 0.5}
    options = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    process = spawn([sys.executable, "-m", "connectors.shopify.simulator", *options], log=log, env=bare_environment())
    try:
        if not until(lambda: not port_is_free(port), timeout_s=_UP_IN_S):
            raise SyncError("the simulated Admin API does not answer; its log ends with:\n" + log_tail(log))
        yield f"http://{HOST}:{port}"
    finally:
        end(process, (signal.SIGTERM, 2.0))
