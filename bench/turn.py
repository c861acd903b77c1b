"""A turn of ``bench --against``: measure a work once in one version, and print its rate and CPU time as JSON.

    PYTHONPATH=CHECKOUT python -P bench/turn.py sync|backfill|ingest N CONTESTED

The version is the checkout in the working directory, which may be older than this file. The names of ``bench`` that
this file uses must mean the same in both versions. Everything else may be renamed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import bench
import connectors
import worker
from bench import backfill, ingest, sync
from bench.stack import Stack, stack

_TIMEOUT_S = 300.0  #: far more than the work takes, because both versions must finish it
_WARM_UP = 2000  #: events before the measurement, a batch for each worker, because its first batch costs more
_PREFIX = "+62812"  #: of the customers' numbers
_REST_S = 0.2  #: a worker tidies up after its last commit, and its time belongs to the work

Figures = dict[str, float]
CpuSeconds = dict[int, float]  #: CPU time by the id of the process


def measure_sync(running: Stack, n: int) -> dict[str, Figures]:
    """Drain ``n`` events. Counts the CPU time of the workers; this process only waits."""
    with sync.workers(running, 2) as two:
        two.drain(_WARM_UP, seconds=_TIMEOUT_S)
        before = cpu_s()
        done = two.drain(n, seconds=_TIMEOUT_S)
        return {"sync": _figures(n, done.events, done.seconds, before, cpu_s())}


def measure_backfill(running: Stack, n: int) -> dict[str, Figures]:
    """Load ``n`` customers twice. Counts the CPU time of the workers and of this process, which is the reader."""
    (directory := running.directory / "warm-up").mkdir()
    warm_up, paths = backfill.write(directory, _WARM_UP), backfill.write(running.directory, n)
    cpu_times: list[CpuSeconds] = []

    def measured_paths() -> Iterator[Path]:
        for path in paths:  # the bench takes the second path after the first load
            cpu_times.append(cpu_s(with_own=True))
            yield path
        cpu_times.append(cpu_s(with_own=True))

    with sync.workers(running, 2) as two:
        backfill.ours(running, two, warm_up)
        took = backfill.ours(running, two, measured_paths())  # type: ignore[arg-type]  # it only iterates
    loads = zip((took.first, took.again), pairwise(cpu_times), strict=True)
    first, again = (_figures(n, n, seconds, before, after) for seconds, (before, after) in loads)
    return {"backfill": first, "backfill, again": again}


def measure_ingest(running: Stack, n: int) -> dict[str, Figures]:
    """Send ``n`` webhooks. Counts the CPU time of the web process; the load generator has ended by then."""
    with ingest.servers(running) as servers:
        before = cpu_s()
        done = servers.measure("ours", n, seconds=_TIMEOUT_S)
        return {"ingest": _figures(n, done["requests"], done["seconds"], before, cpu_s())}


def cpu_s(*, with_own: bool = False) -> CpuSeconds:
    """Return the CPU time, user and system, of every Python process below this process: no Postgres, no broker.

    Exits if a process works in another directory than ours, because it would run the code of another checkout.
    """
    time.sleep(_REST_S)
    parents = dict(_python_processes())
    ours = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= children
    for pid in ours:
        if (directory := Path(f"/proc/{pid}/cwd").resolve()) != Path.cwd():
            raise SystemExit(f"process {pid} works in {directory}, not in {Path.cwd()}")
    if not with_own:
        ours.remove(os.getpid())
    # This is the clock that clock_getcpuclockid(3) returns; /proc/PID/stat counts in steps of 10 ms only.
    return {pid: time.clock_gettime(~pid << 3 | 2) for pid in ours}


def _python_processes() -> Iterator[tuple[int, int]]:
    """Yield (id, id of the parent) of every process on this machine with the same Python program as ours."""
    python = Path("/proc/self/exe").resolve()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            if (process / "exe").resolve() == python:
                yield int(process.name), int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _figures(n: int, done: int, seconds: float, before: CpuSeconds, after: CpuSeconds) -> Figures:
    if done != n:
        raise SystemExit(f"{done} of {n} were done in {seconds:.0f} s")
    if before.keys() - after.keys():
        raise SystemExit("a process ended while we measured, and its CPU time is lost")
    spent_s = sum(until - before.get(pid, 0.0) for pid, until in after.items())
    return {"per_s": n / seconds, "cpu_us": spent_s / n * 1e6}


def contest(share: float) -> None:
    """Give some customers the number of the next customer, who has another name.

    It is done here, outside of the versions that are measured, so that both get the same events.
    """
    every, plain = round(1 / share), sync.events

    def events(n: int, *, start: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
        for delivery_id, body in plain(n, start=start):
            number = int(body["phone"].removeprefix(_PREFIX))
            yield delivery_id, body if number % every else {**body, "phone": f"{_PREFIX}{number + 1}"}

    sync.events = events


MEASURES: Mapping[str, Callable[[Stack, int], dict[str, Figures]]] = {
    "sync": measure_sync,
    "backfill": measure_backfill,
    "ingest": measure_ingest,
}


def main() -> None:
    for package in (bench, connectors, worker):
        if Path(package.__file__ or "").resolve().parents[1] != Path.cwd():
            raise SystemExit(f"{package.__name__} comes from {package.__file__}, not from {Path.cwd()}")
    work, n, contested = sys.argv[1:]
    if float(contested):
        contest(float(contested))
    with stack() as running:
        print(json.dumps(MEASURES[work](running, int(n))))


if __name__ == "__main__":
    main()
