"""Programs: what the supervisor runs, each as a process, and when it is started again."""

import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Protocol

import structlog

from worker.errors import ConfigError
from worker.stack.processes import HOST, Reaper, kill_group, spawn

_FIRST_PAUSE_S = 0.2  #: before a restart; doubles with each
_LONGEST_PAUSE_S = 5.0
_HEALTHY_S = 10.0  #: up for so long: the next restart is a first one again


@dataclass(frozen=True)
class Program:
    """A process of ours, and what it needs."""

    name: str
    command: tuple[str, ...]
    needs_broker: bool = False


def our_programs(data_dir: Path, port: int, workers: int) -> list[Program]:
    """Return web, worker and beat."""
    web = f"uvicorn worker.api.app:app --host {HOST} --port {port} --loop uvloop --http httptools"
    worker = f"celery -A worker.app worker --pool prefork --concurrency {workers} --queues wake,ingest"
    beat = "celery -A worker.app beat --scheduler worker.beat:SweepScheduler --pidfile= --loglevel WARNING"
    return [
        _module("web", f"{web} --no-access-log --no-server-header"),
        _module(
            "worker",
            f"{worker} --without-gossip --without-mingle --hostname sync@%h --loglevel WARNING",
            needs_broker=True,
        ),
        _module("beat", beat, "--schedule", str(data_dir / "beat.schedule")),
    ]


def _module(name: str, command: str, *more: str, needs_broker: bool = False) -> Program:
    return Program(name, (sys.executable, "-m", *command.split(), *more), needs_broker)


class Child:
    """A program while it runs."""

    def __init__(self, program: Program, data_dir: Path, env: Mapping[str, str], reaper: Reaper) -> None:
        self.name = program.name
        self.log = data_dir / "logs" / f"{program.name}.log"
        self._command = program.command
        self._env = env
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
        """Start the process, and kill what its last one left behind."""
        self.stop(timeout_s=0)  # others are under watch too
        # Where our packages are, because celery and `python -m` look for them in the working directory first.
        package = Path(__file__).resolve().parents[2]
        self._process = spawn(self._command, log=self.log, env=self._env, cwd=package)
        self._reaper.watch(self._process.pid)

    def terminate(self) -> None:
        """Begin a clean end: only the main process is told, Celery's knows how to end its own children."""
        if self._process and self.is_running():
            self._process.terminate()

    def stop(self, *, timeout_s: float = 5) -> None:
        """End it now, with all its children."""
        if self._process:
            kill_group(self._process, timeout_s=timeout_s)
            self._reaper.forget(self._process.pid)
            self._process = None


class Runnable(Protocol):
    """Something that can end by itself and be launched again: a program of ours, or an embedded server."""

    @property
    def name(self) -> str:
        """What the log calls it."""

    @property
    def exit_code(self) -> int | None:
        """How the last process ended."""

    def is_running(self) -> bool:
        """Whether the process lives."""

    def launch(self) -> None:
        """Start it; what its last process left behind goes first."""


@dataclass
class Watched:
    """One process under watch, and when it may start again."""

    process: Runnable
    launched_at: float
    pause_s: float = 0.0
    due_at: float | None = None  #: set while it is down

    def look(self, now: float, log: structlog.typing.WrappedLogger) -> None:
        """Bring the process back if it is down and has paused long enough."""
        if self.process.is_running():
            if now - self.launched_at > _HEALTHY_S:
                self.pause_s = 0.0
        elif self.due_at is None:
            # Killed from outside (for want of memory, by an operator): that says nothing about the next start.
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
