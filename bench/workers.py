"""What grows with what: one to eight worker processes, and what each kind of process costs and holds.

The CPU time of each kind comes from ``/proc``, so it works on Linux only. On a machine that is busy with other things
the rates are low, and the CPU time of an event stays about the same: that and the shape are what to look at.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console
from rich.table import Table

from bench import load, sync
from bench.ingest import CONNECTIONS, Servers, servers
from bench.stack import Stack, until
from worker.store import api_keys, organizations
from worker.store.db import Tx

PROCESSES = (1, 2, 4, 8)
_TIMEOUT_S = 120.0
_WATCHED_S = 10.0  #: for which beat is watched
_READS, _READ_S = 5_000, 3.0
_EVERY_S = 0.05
_TICKS = os.sysconf("SC_CLK_TCK")
#: what a command line shows -> the kind of process
_KINDS = {
    "worker.app worker": "worker",
    "worker.app beat": "beat",
    "worker.api.app:app": "web",
    "bench.empty:app": "",
    "valkey-server": "broker",
    "redis-server": "broker",
}

Seconds = dict[str, float]


@dataclass
class Watch:
    """CPU seconds by kind of process, and the most connections to Postgres that one kind had at once."""

    cpu_s: Seconds = field(default_factory=dict)
    connections: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def run(running: Stack, n: int, rounds: int, progress: Console) -> dict[str, Any]:
    """Measure the workers, then the web process and beat."""
    found: dict[str, Any] = {"of": [], "others": {}}
    for processes in PROCESSES:
        with sync.workers(running, processes) as workers:
            turns = []
            for number in range(1, rounds + 1):
                progress.print(f"{processes} worker processes, round {number} of {rounds} …", highlight=False)
                watch = Watch()
                done = workers.drain(n, seconds=_TIMEOUT_S, beside=partial(watched, running, watch))
                turns.append((done, watch))
        found["of"].append(
            {
                "processes": processes,
                "per_s": round(median(done.per_s for done, _ in turns), 1),
                "rounds": [round(done.per_s, 1) for done, _ in turns],
                "cpu_us": _each([(watch, done.events) for done, watch in turns]),
                "cpus": round(median(sum(watch.cpu_s.values()) / watch.seconds for _, watch in turns), 2),
                "connections": max(watch.connections["worker"] for _, watch in turns),
            }
        )
    progress.print("webhooks, the API, and beat …", highlight=False)
    with servers(running) as both:
        found["others"]["webhooks"] = _webhooks(running, both, n)
    with running.web("web") as port:
        found["others"]["reads"] = _reads(running, port)
    with running.running("beat", running.program("beat")):
        until(lambda: connections(_port(running))["beat"] > 0, seconds=_TIMEOUT_S, every_s=0.5)
        with watched(running, watch := Watch()):
            time.sleep(_WATCHED_S)
    cpu_ms = {kind: round(s / watch.seconds * 1000, 1) for kind, s in watch.cpu_s.items()}
    found["others"]["beat"] = {"cpu_ms_per_s": cpu_ms, "connections": watch.connections["beat"]}
    return {"workers": found}


def _webhooks(running: Stack, both: Servers, n: int) -> dict[str, Any]:
    with watched(running, watch := Watch()):
        done = both.measure("ours", n, seconds=_TIMEOUT_S)
    return {
        "per_s": done["per_s"],
        "clients": CONNECTIONS,
        "cpu_us": _each([(watch, done["requests"])]),
        "connections": watch.connections["web"],
    }


def _reads(running: Stack, port: int) -> dict[str, Any]:
    with running.engine.begin() as conn:
        tx = Tx(conn, organizations.ensure(conn, "default"))
        key = api_keys.insert_new(tx, ("contacts:read",), rate_limit=1_000_000_000)[1]
    requests = [load.get("/v1/contacts?limit=5", {"X-Api-Key": key})] * _READS
    file = running.directory / "requests"
    with watched(running, watch := Watch()):
        done = load.send(port, requests, connections=CONNECTIONS, seconds=_READ_S, file=file)
    return {
        "per_s": done["per_s"],
        "clients": CONNECTIONS,
        "cpu_us": _each([(watch, done["requests"])]),
        "connections": watch.connections["web"],
    }


def _each(turns: list[tuple[Watch, int]]) -> dict[str, float]:
    """Return the microseconds of CPU that each event cost each kind of process, and the share of Postgres."""
    kinds = sorted({kind for watch, _ in turns for kind in watch.cpu_s})
    each = {kind: median(watch.cpu_s.get(kind, 0.0) / n * 1e6 for watch, n in turns) for kind in kinds}
    whole = sum(each.values())
    shares = {f"{kind}_share": round(us / whole, 3) for kind, us in each.items()} if whole else {}
    return {kind: round(us, 1) for kind, us in each.items()} | shares


@contextmanager
def watched(running: Stack, watch: Watch) -> Iterator[None]:
    """Measure the processes for as long as the block runs."""
    is_over = threading.Event()
    port = _port(running)

    def look() -> None:
        while not is_over.wait(_EVERY_S):
            for kind, n in connections(port).items():
                watch.connections[kind] = max(watch.connections[kind], n)

    thread = threading.Thread(target=look, daemon=True)
    before, began = cpu_s(), time.perf_counter()
    thread.start()
    try:
        yield
    finally:
        after, watch.seconds = cpu_s(), time.perf_counter() - began
        is_over.set()
        thread.join()
        watch.cpu_s = {kind: max(0.0, s - before.get(kind, 0.0)) for kind, s in after.items()}


def _port(running: Stack) -> int:
    return urlsplit(running.database_url).port or 0


def cpu_s() -> Seconds:
    """Return the CPU time of our processes so far by kind, with that of children that have ended."""
    found: Seconds = {}
    for pid, kind in kinds().items():
        with suppress(OSError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[kind] = found.get(kind, 0.0) + sum(map(int, fields[11:15])) / _TICKS
    return found


def kinds() -> dict[int, str]:
    """Return the kind of each process below this one; a child that shows none of its own is of its parent's."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            lines[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return {
        pid: kind
        for pid in parents
        if _is_below(pid, os.getpid(), parents) and (kind := _kind(pid, parents, lines)) is not None
    }


def _is_below(pid: int, ours: int, parents: Mapping[int, int]) -> bool:
    while (pid := parents.get(pid, 0)) > 1:
        if pid == ours:
            return True
    return False


def _kind(pid: int, parents: Mapping[int, int], lines: Mapping[int, str]) -> str | None:
    while pid > 1 and pid != os.getpid():
        line = lines.get(pid, "")
        if "bin/postgres" in line or line.startswith("postgres:"):
            return "postgres"
        for shown, kind in _KINDS.items():
            if shown in line:
                return kind or None
        pid = parents.get(pid, 0)
    return None


def connections(port: int) -> Counter[str]:
    """Return how many connections to Postgres the processes of each kind have open."""
    target = f"0100007F:{port:04X}"
    sockets = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2] == target and fields[3] == "01":
            sockets.add(f"socket:[{fields[9]}]")
    found: Counter[str] = Counter()
    for pid, kind in kinds().items():
        if kind != "postgres":
            with suppress(OSError):
                for file in Path(f"/proc/{pid}/fd").iterdir():
                    with suppress(OSError):
                        found[kind] += str(file.readlink()) in sockets
    return found


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Print a line for each number of processes, then the other kinds."""
    found = results["workers"]
    table = Table("worker processes", title="contactsync bench: workers", title_justify="left", box=box.SIMPLE)
    for name in ("events/s", "CPUs busy", "worker", "Postgres", "broker", "share of Postgres", "sessions"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found["of"]:
        table.add_row(str(row["processes"]), f"{row['per_s']:,.0f}", f"{row['cpus']:.2f}", *_cells(row, "worker"))
    for name in ("webhooks", "reads"):
        row = found["others"][name]
        table.add_row(f"one web process, {name}", f"{row['per_s']:,.0f}", "", *_cells(row, "web"))
    console.print(table)
    beat = found["others"]["beat"]
    console.print(
        "worker (or web), Postgres and broker: CPU time of an event, or of a request. CPUs busy: of all our processes. "
        "sessions: most at once. Without work, beat takes "
        f"{beat['cpu_ms_per_s'].get('beat', 0.0):.0f} ms of CPU a second and Postgres "
        f"{beat['cpu_ms_per_s'].get('postgres', 0.0):.0f} ms for it; it has {beat['connections']} sessions.",
        highlight=False,
    )


def _cells(row: Mapping[str, Any], own: str) -> tuple[str, ...]:
    cpu = row["cpu_us"]
    times = tuple(f"{cpu.get(kind, 0.0):,.0f} µs" for kind in (own, "postgres", "broker"))
    return (*times, f"{cpu.get('postgres_share', 0.0):.0%}", str(row["connections"]))
