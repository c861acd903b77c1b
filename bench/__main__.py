"""``make bench``: measure the worker beside its baselines, in one run on this machine.

    python -m bench [--quick] [--json] [--rounds N] [--only sync|backfill|ingest|api|identity|upgrade|workers]
    python -m bench --against COMMIT [--quick] [--json] [--rounds N] [--contested SHARE] [--only sync|backfill|ingest]

Absolute figures depend on the machine and on its other work, so compare the ratios. Both sides run in turns (A B A B),
on the same Postgres and the same broker, and the table shows the median of each side. With --against, the baseline is
an older commit (``bench/against.py``). ``identity`` measures no speed: it counts how often two records are
wrongly taken for one person, or missed (``bench/identity/``); it needs no servers, and its figures are always the same.
``upgrade`` brings a store of release 0.1 to today's rules, and ``workers`` shows what grows with what; both only if
they are asked for (``bench/upgrade.py``, ``bench/workers.py``).
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from bench import against, api, api_speed, backfill, ingest, sync, upgrade, workers
from bench.events import body_bytes
from bench.identity import comparison
from bench.stack import Stack, stack
from worker.errors import ConfigError


@dataclass(frozen=True)
class Size:
    """How much work each section does. When the seconds are over, a section counts the work done so far."""

    rounds: int
    synced: int
    synced_alone: int
    baseline: int
    backfilled: int
    backfill_rounds: int
    requests: int
    empty_requests: int
    seconds: float
    contacts: int
    api_rounds: int
    api_seconds: float
    people: int  #: of each round of ``identity``
    upgraded: int  #: people in the store that is upgraded


FULL = Size(
    rounds=3,
    synced=12_000,
    synced_alone=6_000,
    baseline=500,
    backfilled=20_000,
    backfill_rounds=7,  # many, because the pace of a machine varies more than the differences we look for
    requests=8_000,
    empty_requests=16_000,
    seconds=10,
    contacts=1_000_000,
    api_rounds=5,
    api_seconds=1,
    people=3_000,
    upgraded=1_000_000,
)
QUICK = Size(
    rounds=2,
    synced=4_000,
    synced_alone=2_000,
    baseline=200,
    backfilled=6_000,
    backfill_rounds=2,
    requests=3_000,
    empty_requests=6_000,
    seconds=5,
    contacts=100_000,
    api_rounds=3,
    api_seconds=0.5,
    people=1_000,
    upgraded=50_000,
)
SECTIONS = ("sync", "backfill", "ingest", "api", "identity")
#: measured if it is asked for: it takes a quarter of an hour, or the machine for itself
RARE = ("upgrade", "workers")


def main() -> int:
    """Measure the sections that were chosen, and print the results."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="do less of everything, in under 3 minutes")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    sections = (*SECTIONS, *RARE)
    parser.add_argument("--only", action="append", choices=sections, help="measure only this section; may be repeated")
    parser.add_argument(
        "--against",
        metavar="COMMIT",
        help="measure beside this commit instead of the baselines: sync, backfill, ingest",
    )
    parser.add_argument(
        "--contested", metavar="SHARE", type=float, default=0, help="of customers: with another's number"
    )
    parser.add_argument("--rounds", metavar="N", type=int, help="how often to measure each section")
    arguments = parser.parse_args()
    if arguments.against and {"api", "identity", *RARE}.intersection(arguments.only or ()):
        parser.error("--against measures sync, backfill and ingest")
    if not 0 <= arguments.contested <= 1:
        parser.error("--contested is a share, from 0 to 1")
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds is at least 1")
    size = QUICK if arguments.quick else FULL
    if arguments.rounds:
        size = replace(size, rounds=arguments.rounds, backfill_rounds=arguments.rounds, api_rounds=arguments.rounds)
    progress = Console(stderr=True)
    began = time.perf_counter()
    results: dict[str, Any] = {"machine": _machine(), "body_bytes": body_bytes()}
    try:
        if arguments.against:
            works = arguments.only or against.WORKS
            results |= _against(arguments.against, works, size, progress, arguments.contested)
        else:
            results |= _beside_baselines(arguments.only or SECTIONS, size, progress)
    except ConfigError as error:  # there is no broker or no Postgres
        progress.print(str(error))
        return 1
    results["seconds"] = round(time.perf_counter() - began, 1)
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        console = Console()
        _show(console if console.is_terminal else Console(width=120), results)
    return 0


def _against(commit: str, sections: Sequence[str], size: Size, progress: Console, contested: float) -> dict[str, Any]:
    sizes = {"sync": size.synced, "backfill": size.backfilled, "ingest": size.requests}
    return against.run(
        commit, {work: sizes[work] for work in sections}, size.backfill_rounds, progress, contested=contested
    )


def _beside_baselines(sections: Sequence[str], size: Size, progress: Console) -> dict[str, Any]:
    results: dict[str, Any] = {}
    if "identity" in sections:
        results |= comparison.run(size.people, size.rounds, progress)
    if "upgrade" in sections:
        results |= upgrade.run(size.upgraded, progress)
    if set(sections) <= {"identity", "upgrade"}:
        return results
    with stack() as running:
        if "sync" in sections:
            results |= _sync(running, size, progress)
        if "backfill" in sections:
            results |= _backfill(running, size, progress)
        if "ingest" in sections:
            results |= _ingest(running, size, progress)
        if "workers" in sections:
            results |= workers.run(running, size.synced, size.rounds, progress)
        if "api" in sections:
            results |= api_speed.run(running, size.api_rounds, size.api_seconds, progress)
            results |= api.run(running, size.contacts, size.api_rounds, size.api_seconds, progress)
    return results


def _sync(running: Stack, size: Size, progress: Console) -> dict[str, Any]:
    ours, alone, theirs = [], [], []
    with sync.workers(running, 2) as two:
        for number in range(1, size.rounds + 1):
            progress.print(f"sync, round {number} of {size.rounds} …", highlight=False)
            ours.append(two.drain(size.synced, seconds=size.seconds).per_s)
            theirs.append(sync.baseline(running, size.baseline, workers=2, seconds=size.seconds).per_s)
    with sync.workers(running, 1) as one:
        for number in range(1, size.rounds + 1):
            progress.print(f"sync with one process, round {number} of {size.rounds} …", highlight=False)
            alone.append(one.drain(size.synced_alone, seconds=size.seconds).per_s)
    return {
        "sync": _compared(ours, theirs) | {"unit": "events/s", "workers": 2},
        "sync_one_worker": {"ours": round(median(alone), 1), "rounds": _rounded(alone), "unit": "events/s"},
    }


def _backfill(running: Stack, size: Size, progress: Console) -> dict[str, Any]:
    paths = backfill.write(running.directory, size.backfilled)
    ours, theirs, copied = [], [], []
    with sync.workers(running, 2) as two:
        for number in range(1, size.backfill_rounds + 1):
            progress.print(f"backfill, round {number} of {size.backfill_rounds} …", highlight=False)
            ours.append(backfill.ours(running, two, paths))
            theirs.append(backfill.theirs(running, paths))
            copied.append(backfill.theirs(running, paths, "csv"))

    def loads(baseline: Sequence[backfill.LoadTimes]) -> dict[str, Any]:
        n = size.backfilled
        return {
            "first": _compared([n / times.first for times in ours], [n / times.first for times in baseline]),
            "again": _compared([n / times.again for times in ours], [n / times.again for times in baseline]),
        }

    return {
        "backfill": loads(theirs) | {"unit": "customers/s", "customers": size.backfilled},
        "backfill_beside_copy": loads(copied),
    }


def _ingest(running: Stack, size: Size, progress: Console) -> dict[str, Any]:
    rounds: dict[str, list[dict[str, Any]]] = {"ours": [], "empty": [], "bare": []}
    with ingest.servers(running) as servers:
        for number in range(1, size.rounds + 1):
            progress.print(f"ingest, round {number} of {size.rounds} …", highlight=False)
            for which, figures in rounds.items():
                n = size.requests if which == "ours" else size.empty_requests
                figures.append(servers.measure(which, n, seconds=size.seconds))
    ours, empty, bare = ([figure["per_s"] for figure in figures] for figures in rounds.values())
    latency = {
        name: round(median(figure["latency_ms"][name] for figure in rounds["ours"]), 1)
        for name in ("p50", "p95", "p99", "max")
    }
    return {
        "ingest": _compared(ours, empty)
        | {"unit": "requests/s", "connections": ingest.CONNECTIONS, "latency_ms": latency},
        "ingest_beside_bare": _compared(ours, bare),
        # If the generator is busy all the time, the figures show its speed and not the speed of the server.
        "load_generator_cpu": max(figure["generator_cpu"] for figures in rounds.values() for figure in figures),
    }


def _compared(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    return {
        "ours": round(median(ours), 1),
        "baseline": round(median(theirs), 1),
        "ratio": round(median(ours) / median(theirs), 2),
        "rounds": {"ours": _rounded(ours), "baseline": _rounded(theirs)},
    }


def _rounded(figures: Sequence[float]) -> list[float]:
    return [round(figure, 1) for figure in figures]


def _machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "celery": version("celery"),
        "platform": platform.platform(terse=True),
    }


def _show(console: Console, results: dict[str, Any]) -> None:
    table = Table("work", "beside", title="contactsync bench", title_justify="left", box=box.SIMPLE)
    for name in ("contactsync", "baseline", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    notes = []
    if "sync" in results:
        _show_sync(table, results)
    if "backfill" in results:
        backfill.show(table, results)
    if "ingest" in results:
        _show_ingest(table, results)
        notes.append(
            f"The webhook is a customers/update of {results['body_bytes']:,} bytes, sent on "
            f"{results['ingest']['connections']} connections. The load generator used at most "
            f"{results['load_generator_cpu']:.0%} of a CPU."
        )
    if "contacts" in results:
        api_speed.show(table, results)
        api.show(table, results)
        notes.append(api.note(results))
    _show_apart(console, results)
    if "against" in results:
        against.show(console, results)
    elif table.row_count:
        console.print(table)
    if "against" in results or table.row_count:
        notes.append("Figures of speed are medians of rounds in which both sides took turns.")
    machine = results["machine"]
    notes.append(
        f"{machine['cpus']} CPUs (load before: {machine['load_before']}), Python {machine['python']}; "
        f"{results['seconds']:.0f} s in all."
    )
    console.print("\n".join(notes), highlight=False)


def _show_apart(console: Console, results: dict[str, Any]) -> None:
    """Show the sections that have nothing of ours beside a baseline in the table."""
    for name, section in (("identity", comparison), ("upgrade", upgrade), ("workers", workers)):
        if name in results:
            section.show(console, results)


def _show_sync(table: Table, results: dict[str, Any]) -> None:
    synced, alone = results["sync"], results["sync_one_worker"]
    table.add_row(
        "sync, 2 worker processes",
        "a Celery task per event, the ORM",
        f"{synced['ours']:,.0f} events/s",
        f"{synced['baseline']:,.0f} events/s",
        f"[bold]{synced['ratio']:.1f} x[/]",
    )
    table.add_row("sync, 1 worker process", "", f"{alone['ours']:,.0f} events/s")


def _show_ingest(table: Table, results: dict[str, Any]) -> None:
    ours, bare = results["ingest"], results["ingest_beside_bare"]
    table.add_row(
        "ingest, committed before 200",
        "the same application, an empty route",
        f"{ours['ours']:,.0f} requests/s",
        f"{ours['baseline']:,.0f} requests/s",
        f"[bold]{ours['ratio']:.2f} x[/]",
    )
    table.add_row(
        "", "the same server, no framework", "", f"{bare['baseline']:,.0f} requests/s", f"{bare['ratio']:.2f} x"
    )
    for name, value in ours["latency_ms"].items():
        table.add_row(f"ingest latency, {name}", "", f"{value:.1f} ms")


if __name__ == "__main__":
    sys.exit(main())
