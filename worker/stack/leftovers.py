"""Leftovers: Postgres processes that a killed parent left behind. No group has them all: each has its own session."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from worker.stack.processes import until


def kill(cluster: Path) -> bool:
    """Kill every Postgres process that works on the cluster; return False if some are left after ten seconds."""

    def none_is_left() -> bool:
        left = list(_servers(cluster))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left

    return until(none_is_left, timeout_s=10)


def _servers(cluster: Path) -> Iterator[int]:
    """Yield the ids of Postgres processes whose working directory is the cluster; without /proc, the main one only."""
    if Path("/proc/self").exists():
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or belongs to another user
                if (process / "comm").read_text() == "postgres\n" and (process / "cwd").samefile(cluster):
                    yield int(process.name)
        return
    with suppress(FileNotFoundError):
        pid = (cluster / "postmaster.pid").read_text().split("\n", 1)[0]
        command = subprocess.run(["ps", "-o", "command=", "-p", pid], capture_output=True, text=True, check=False)  # noqa: S603, S607  # where it is differs
        if str(cluster) in command.stdout:
            yield int(pid)
