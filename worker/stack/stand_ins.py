"""Stand-ins: starts and watches the processes that work where no worker takes the work (``worker/stand_in.py``).

Beat never works itself, so what hangs in the work never hangs scheduling. A stand-in that makes no progress is killed
with its group; the leases that it leaves count as a crash of a process, like those of a killed worker.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import structlog

from worker import stand_in
from worker.settings import settings
from worker.stack.processes import kill_group, tied_to_us, until

log = structlog.get_logger()

#: of a kind at a time; a second one only helps while the first is stuck
_MOST = 2
#: without progress for so long a stand-in is stuck with one thing, and others should not wait for it
_STUCK_S = 3.0
#: envelopes that a stand-in leases at once after one ended badly, so that fewer suffer with the one that is to blame
_FEW = 50
#: to finish what is under way when beat ends
_LAST_S = 4.0


@dataclass
class _StandIn:
    """A stand-in, and when it last showed that it gets on."""

    kind: str
    slot: int
    process: subprocess.Popen[bytes]
    progress_at: float

    def look(self) -> None:
        """Note progress; each piece of it is a byte on the process's standard output."""
        if self.process.stdout:
            with suppress(BlockingIOError):
                while os.read(self.process.stdout.fileno(), 65536):
                    self.progress_at = time.monotonic()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                with suppress(OSError):
                    pipe.close()


def _start(
    kind: str, slot: int, *, carefully: bool, environment: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    few = {"INBOX_BATCH": str(min(_FEW, settings().inbox_batch))} if carefully else {}
    process = subprocess.Popen(  # noqa: S603  # ours
        tied_to_us([sys.executable, "-m", stand_in.__name__, kind, str(slot)]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **few, **environment},
        start_new_session=True,
    )
    if process.stdout:
        os.set_blocking(process.stdout.fileno(), False)
    return process


class StandIns:
    """The stand-ins of one process; on Linux they end with the thread that called for them.

    ``start`` starts a process of a kind in a slot; ``carefully`` has it take few envelopes at once.
    """

    def __init__(self, start: Callable[..., subprocess.Popen[bytes]] = _start) -> None:
        self._start = start
        self._running: list[_StandIn] = []
        self._is_careful = False

    def call(self, kind: str) -> None:
        """Have work of a kind done by a stand-in; return at once. Does nothing if those that run get on."""
        ours = [one for one in self._running if one.kind == kind]
        if len(ours) >= _MOST or any(time.monotonic() - one.progress_at < _STUCK_S for one in ours):
            return
        slot = next(number for number in range(_MOST) if number not in {one.slot for one in ours})
        try:
            process = self._start(kind, slot, carefully=self._is_careful)
        except OSError as error:  # no more processes; the next tick tries again
            log.warning("stand_in_not_started", kind=kind, error=error)
            return
        self._running.append(_StandIn(kind, slot, process, time.monotonic()))
        log.info("stand_in_started", kind=kind, slot=slot)

    @classmethod
    def without_broker(cls) -> "StandIns":
        """Return stand-ins that work as where there is no broker: at once, and for as long as nobody dismisses them."""
        return cls(partial(_start, environment={"REDIS_URL": "", "BROKER_URL": ""}))

    def dismiss(self) -> None:
        """Let them finish what is under way and end; return at once. ``watch`` sees to their end."""
        for one in self._running:
            if one.process.stdin and not one.process.stdin.closed:
                one.process.stdin.close()

    def watch(self) -> None:
        """Kill stand-ins that make no progress, and forget those that ended."""
        for one in list(self._running):
            one.look()
            if one.process.poll() is None and time.monotonic() - one.progress_at < stand_in.longest_s(one.kind):
                continue
            kill_group(one.process, timeout_s=0.5)
            code = one.process.poll()
            if code is None:
                continue  # the kernel needs longer for it; the next call looks again
            self._is_careful = code != 0
            (log.info if code == 0 else log.warning)("stand_in_ended", kind=one.kind, slot=one.slot, code=code)
            one.close()
            self._running.remove(one)

    def close(self) -> None:
        """Let them finish what is under way, then kill what is left."""
        self.dismiss()
        until(lambda: all(one.process.poll() is not None for one in self._running), timeout_s=_LAST_S)
        for one in self._running:
            kill_group(one.process)
            one.close()
        self._running.clear()
