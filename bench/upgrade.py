"""How long it takes to bring a store of release 0.1 to today's rules, and how much memory (``contactsync upgrade``).

The store is filled at the schema of that release, then migrated. The dry run and the run are commands, as an operator
starts them. There is nothing beside them: the figures are people in a second and megabytes.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import event

from bench.old_store import OldStore, as_before
from bench.stack import ROOT
from worker import ids, logs
from worker import settings as worker_settings
from worker.stack.embedded import EmbeddedPostgres
from worker.stack.supervisor import secret_key
from worker.store import db, organizations
from worker.store.migrate import upgrade

#: the schema of release 0.1
_OLD = "0004"


def run(people: int, progress: Console) -> dict[str, Any]:
    """Fill a store, and upgrade it."""
    with ExitStack() as at_end:
        directory = Path(at_end.enter_context(tempfile.TemporaryDirectory(prefix="contactsync-bench-")))
        postgres = EmbeddedPostgres(directory)
        at_end.callback(postgres.stop)
        url = postgres.start()
        os.environ.update(DATABASE_URL=url, CONTACTSYNC_SECRET_KEYS=secret_key(directory), REDIS_URL="")
        worker_settings.reload()
        logs.configure()
        upgrade(url, _OLD)
        engine = db.engine()
        event.listen(engine, "connect", as_before)
        at_end.callback(engine.dispose)
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
        filling = _timed(lambda: OldStore(engine, organization_id, ids.new()).fill(people))
        progress.print(f"upgrade: {people:,} people written in {filling:.0f} s …", highlight=False)
        migrating = _timed(lambda: upgrade(url))
        progress.print(f"upgrade: schema migrated in {migrating:.1f} s …", highlight=False)
        results: dict[str, Any] = {"people": people, "migrate_s": round(migrating, 1)}
        for name in ("dry-run", "apply"):
            results[name] = _command(name)
            progress.print(f"upgrade --{name}: {results[name]['seconds']:.0f} s", highlight=False)
    return {"upgrade": results}


def show(console: Console, results: dict[str, Any]) -> None:
    """Print the figures."""
    found = results["upgrade"]
    table = Table(title=f"upgrade of {found['people']:,} people", title_justify="left", box=None)
    for name in ("", "seconds", "of its CPU", "contacts/s", "memory"):
        table.add_column(name, justify="right" if name else "left")
    table.add_row("migrate", f"{found['migrate_s']:.1f}")
    for name in ("dry-run", "apply"):
        one = found[name]
        table.add_row(
            f"upgrade --{name}",
            f"{one['seconds']:.0f}",
            f"{one['cpu_s']:.0f}",
            f"{one['per_s']:,.0f}",
            f"{one['memory_mb']:.0f} MB",
        )
    console.print(table)
    counted = {kind: one["count"] for kind, one in found["apply"]["report"].items() if isinstance(one, dict)}
    console.print(", ".join(f"{kind} {count:,}" for kind, count in counted.items()), highlight=False)


def _command(name: str) -> dict[str, Any]:
    command = (sys.executable, "-m", "worker.cli", "upgrade", f"--{name}", "--json")
    began, cpu = time.perf_counter(), _cpu()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(f"upgrade --{name} failed: {done.stderr[-1000:]}")
    (report,) = json.loads(done.stdout)
    # The largest child so far: the dry run comes first, so the second figure is the larger of both.
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "seconds": round(seconds, 1),
        "cpu_s": round(_cpu() - cpu, 1),  # without Postgres
        "per_s": round(report["contacts"] / seconds, 1),
        "memory_mb": round(memory, 1),
        "report": report,
    }


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _timed(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
