"""``bench --against COMMIT``: measure this checkout beside an older commit, in turns on one machine.

The packages ``worker``, ``connectors`` and ``bench`` of the old version come from a clone. Both versions run on the
same Python with the same dependencies. Each turn is a process of its own (``bench/turn.py``) with its own Postgres and
broker, so nothing of the other version runs meanwhile. Values that are random once a process, such as the hash seed,
differ between rounds. It works on Linux only, because the CPU times come from ``/proc``.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
WORKS = ("sync", "backfill", "ingest")
_FIGURES = ("per_s", "cpu_us")

Figures = dict[str, float]
Round = dict[str, Figures]  #: figures by version: ``old`` and ``new``


def run(
    commit: str, sizes: Mapping[str, int], rounds: int, progress: Console, *, contested: float = 0
) -> dict[str, Any]:
    """Measure each work in both versions, ``rounds`` times. The version that goes first alternates.

    ``contested`` is the share of customers, in sync, who have the number of another.
    """
    if sys.platform != "linux":
        raise SystemExit("--against works on Linux only")
    sha = _git(ROOT, "rev-parse", "--verify", "--short", f"{commit}^{{commit}}")
    measured: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory(prefix="contactsync-old-") as directory:
        old = Path(directory).resolve()
        _git(ROOT, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(old))
        _git(old, "checkout", "--quiet", "--detach", sha)
        versions = [("old", old), ("new", ROOT)]
        for number in range(1, rounds + 1):
            for work, n in sizes.items():
                turns = {}
                for version, root in versions:
                    progress.print(f"{work}, round {number} of {rounds}, {version} …", highlight=False)
                    turns[version] = _turn(root, work, n, contested)
                for part in turns["new"]:  # backfill has two parts
                    measured.setdefault(part, []).append({version: turns[version][part] for version in turns})
            versions.reverse()
    works = {
        part: {figure: compared(of_part, figure) for figure in _FIGURES} | {"rounds": of_part}
        for part, of_part in measured.items()
    }
    return {"against": {"old": sha, "new": _git(ROOT, "describe", "--always", "--dirty"), "works": works}}


def compared(rounds: list[Round], figure: str) -> Figures:
    """Return the median of each version, and the median of the ratios of the rounds.

    If the machine changes its pace between rounds, both figures of a round change, but their ratio does not.
    """
    old, new = ([turns[version][figure] for turns in rounds] for version in ("old", "new"))
    return {"old": median(old), "new": median(new), "ratio": median(b / a for a, b in zip(old, new, strict=True))}


def show(console: Console, results: dict[str, Any]) -> None:
    """Print a line with the medians of each work, and below it a line for each of its rounds."""
    versions = results["against"]
    title = f"contactsync bench: {versions['old']} (old) beside {versions['new']} (new)"
    table = Table("work", title=title, title_justify="left", box=box.SIMPLE)
    for name in ("old, per s", "new, per s", "new/old", "old, CPU each", "new, CPU each", "new/old"):
        table.add_column(name, justify="right", no_wrap=True)
    for part, figures in versions["works"].items():
        table.add_row(part, *_cells(figures), style="bold")
        for number, turns in enumerate(figures["rounds"], 1):
            table.add_row(f"  round {number}", *_cells({name: compared([turns], name) for name in _FIGURES}))
    console.print(table)
    console.print(
        "The first line of each work shows the medians of its rounds; its ratio is the median of their ratios. CPU is "
        "the user and system time of our Python processes (workers, web process, reader; not Postgres) for each event, "
        "customer or request.",
        highlight=False,
    )


def _cells(figures: Mapping[str, Figures]) -> tuple[str, ...]:
    rate, cpu = figures["per_s"], figures["cpu_us"]
    return (
        f"{rate['old']:,.0f}",
        f"{rate['new']:,.0f}",
        f"{rate['ratio']:.3f} x",
        f"{cpu['old']:,.1f} µs",
        f"{cpu['new']:,.1f} µs",
        f"{cpu['ratio']:.3f} x",
    )


def _turn(root: Path, work: str, n: int, contested: float) -> dict[str, Figures]:
    """Measure a checkout. Our ``turn.py`` measures both versions; -P keeps its own directory off the import path."""
    command = (sys.executable, "-P", str(ROOT / "bench" / "turn.py"), work, str(n), str(contested))
    environment = {**os.environ, "PYTHONPATH": str(root)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, env=environment, stdout=pipe, stderr=pipe, text=True) as turn:
        try:
            printed, errors = turn.communicate()
        finally:
            turn.wait()  # Ctrl-C interrupts the turn too, and it needs some seconds to end its servers
    if turn.returncode:
        raise SystemExit(f"{work} failed in {root}; the end of its output:\n{errors[-2000:]}")
    figures: dict[str, Figures] = json.loads(printed.splitlines()[-1])
    return figures


def _git(directory: Path, *arguments: str) -> str:
    done = subprocess.run(("git", *arguments), cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()
