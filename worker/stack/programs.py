"""Programs: the processes that the supervisor runs, and when it starts one again."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Protocol

import structlog

from worker.errors import ConfigError
from worker.stack import unprivileged
from worker.stack.processes import HOST, Account, Reaper, kill_group, spawn

_FIRST_PAUSE_S = 0.2  #: before the first restart; doubles with each further one
_LONGEST_PAUSE_S = 5.0
_HEALTHY_S = 10.0  #: after running this long, the next restart counts as the first again


@dataclass(frozen=True)
class Program:
    """A command that the supervisor runs, and whether it needs a broker."""

    name: str
    command: tuple[str, ...]
    needs_broker: bool = False
    needs_no_root: bool = False  #: runs as another user if root starts the stack and that user can


def our_programs(data_dir: Path, port: int, workers: int) -> list[Program]:
    """Return the commands of web, worker and beat; ``workers`` is the number of Celery's pool processes."""
    web = f"uvicorn worker.api.app:app --host {HOST} --port {port} --loop uvloop --timeout-graceful-shutdown 3"
    worker = f"celery -A worker.app worker --pool prefork --concurrency {workers} --queues wake,ingest"
    beat = "celery -A worker.app beat --scheduler worker.beat:SweepScheduler --pidfile= --loglevel WARNING"
    return [
        _module("web", f"{web} --http worker.api.http_protocol:BoundedProtocol --no-access-log --no-server-header"),
        _module(
            "worker",
            f"{worker} --without-gossip --without-mingle --hostname sync@%h --loglevel WARNING",
            needs_broker=True,
        ),
        _module("beat", beat, "--schedule", str(data_dir / "beat.schedule")),
    ]


def _module(name: str, command: str, *more: str, needs_broker: bool = False) -> Program:
    return Program(name, (sys.executable, "-m", *command.split(), *more), needs_broker, needs_no_root=True)


class Child:
    """A program while it runs."""

    def __init__(
        self,
        program: Program,
        data_dir: Path,
        env: Mapping[str, str],
        reaper: Reaper,
        account: Account | None = None,
    ) -> None:
        self.name = program.name
        self.log = data_dir / "logs" / f"{program.name}.log"
        self._command = program.command
        self._account = account if program.needs_no_root else None
        self._env = env if self._account is None else {**env, **unprivileged.environment(self._account)}
        self._reaper = reaper
        self._process: Popen[bytes] | None = None

    @property
    def exit_code(self) -> int | None:
        """How the last process ended."""
        return self._process.poll() if self._process else None

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process; kill what is left of the last one first."""
        self.stop(timeout_s=0)  # no waiting: the caller watches other processes too
        # celery and `python -m` look for packages in the working directory first, so it must be ours.
        package = Path(__file__).resolve().parents[2]
        self._process = spawn(self._command, log=self.log, env=self._env, cwd=package, account=self._account)
        self._reaper.watch(self._process.pid)

    def terminate(self) -> None:
        """Ask the main process to end cleanly; do not wait. Celery's main process ends its own children."""
        if self._process and self.is_running():
            self._process.terminate()

    def stop(self, *, timeout_s: float = 5) -> None:
        """Kill the process and its children; wait at most ``timeout_s`` seconds. Does nothing if it is not running."""
        if self._process:
            kill_group(self._process, timeout_s=timeout_s)
            self._reaper.forget(self._process.pid)
            self._process = None


class Runnable(Protocol):
    """A process that may end by itself and can be launched again: a ``Child`` or an embedded server."""

    @property
    def name(self) -> str:
        """Its name in the log."""

    @property
    def exit_code(self) -> int | None:
        """How the last process ended."""

    def is_running(self) -> bool:
        """Whether the process lives."""

    def launch(self) -> None:
        """Start it; kill what is left of its last process first."""


@dataclass
class Watched:
    """A process that the supervisor keeps running, and when its next start is due."""

    process: Runnable
    launched_at: float
    pause_s: float = 0.0
    due_at: float | None = None  #: time of the next start, by ``time.monotonic``; None while it is running

    def look(self, now: float, log: structlog.typing.WrappedLogger) -> None:
        """Start the process again if it is down and its pause is over; ``now`` is ``time.monotonic()``."""
        if self.process.is_running():
            if now - self.launched_at > _HEALTHY_S:
                self.pause_s = 0.0
        elif self.due_at is None:
            # SIGKILL comes from outside (out of memory, an operator). The next start may well succeed: a short pause.
            is_killed = self.process.exit_code == -signal.SIGKILL
            longest_s = _FIRST_PAUSE_S if is_killed else _LONGEST_PAUSE_S
            self.pause_s = min(self.pause_s * 2 or _FIRST_PAUSE_S, longest_s)
            self.due_at = now + self.pause_s
            log.warning(
                "process_ended", process=self.process.name, code=self.process.exit_code, restart_in_s=self.pause_s
            )
        elif now >= self.due_at:
            self.due_at, self.launched_at = None, now
            try:
                self.process.launch()
            except (ConfigError, OSError) as error:
                log.warning("restart_failed", process=self.process.name, reason=str(error))
            else:
                log.info("process_restarted", process=self.process.name)
