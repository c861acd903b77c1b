"""Stand-ins: started when called for, one after the other; killed when stuck; gone when beat is gone."""

import os
import signal
import subprocess
import sys
import time

import pytest

from worker import stand_in
from worker.stack import stand_ins as module
from worker.stack.processes import is_alive, until
from worker.stack.stand_ins import StandIns
from worker.stand_in import DRAIN, READ

IDLE = "import sys; sys.stdin.read()"
ALIVE = "import os, time\nwhile True: os.write(1, b'.'); time.sleep(0.01)"
FROZEN = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
os.write(1, b".")
time.sleep(99)
"""
CALLER = """
import logging, os, structlog, time
from worker.stack.stand_ins import StandIns
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
ours = StandIns()
ours.call("drain")
print(ours._running[0].process.pid, flush=True)
time.sleep(99)
"""


class Starts:
    """Starts programs that a test lists instead of stand-ins."""

    def __init__(self, *programs):
        self.programs, self.started, self.processes = list(programs), [], []

    def __call__(self, kind, slot, *, carefully):
        program = self.programs.pop(0) if len(self.programs) > 1 else self.programs[0]
        process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        os.set_blocking(process.stdout.fileno(), False)
        self.started.append((kind, slot, carefully))
        self.processes.append(process)
        return process


@pytest.fixture
def standing(monkeypatch):
    """Build the stand-ins of a test with its limits."""
    built = []

    def build(*programs, stuck_s=60.0, longest_s=60.0):
        monkeypatch.setattr(module, "_STUCK_S", stuck_s)
        monkeypatch.setattr(stand_in, "longest_s", lambda _: longest_s)
        starts = Starts(*programs)
        built.append(StandIns(starts))
        return built[-1], starts

    yield build
    for one in built:
        one.close()


def alive_in_group(group):
    """Return the processes of a group that run; those that nobody has collected yet are dead."""
    listed = subprocess.run(["ps", "-eo", "pgid=,stat=,pid="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if line.split()[0] == str(group) and "Z" not in line.split()[1]]


def watched_until(ours, condition):
    def look():
        ours.watch()
        return condition()

    assert until(look, timeout_s=30)


def test_one_of_a_kind_runs_while_it_gets_on(standing):
    ours, starts = standing(ALIVE, stuck_s=0.3)
    ours.call(DRAIN)
    ours.call(READ)
    end = time.monotonic() + 0.6
    while time.monotonic() < end:
        ours.watch()
        ours.call(DRAIN)

    assert starts.started == [(DRAIN, 0, False), (READ, 0, False)]


def test_a_second_one_helps_when_the_first_is_stuck_and_no_third(standing):
    ours, starts = standing(IDLE, stuck_s=0.0)
    for _ in range(5):
        ours.call(DRAIN)

    assert starts.started == [(DRAIN, 0, False), (DRAIN, 1, False)]


def test_one_that_makes_no_progress_is_killed_with_its_children_and_the_next_is_careful(standing):
    ours, starts = standing(FROZEN, ALIVE, longest_s=0.5)
    ours.call(DRAIN)
    watched_until(ours, lambda: starts.processes[0].poll() is not None)

    assert starts.processes[0].returncode == -signal.SIGKILL
    assert until(lambda: not alive_in_group(starts.processes[0].pid), timeout_s=5)
    ours.call(DRAIN)
    assert starts.started[1:] == [(DRAIN, 0, True)]


def test_one_that_is_stopped_is_killed_too(standing):
    ours, starts = standing(ALIVE, longest_s=0.5)
    ours.call(READ)
    starts.processes[0].send_signal(signal.SIGSTOP)

    watched_until(ours, lambda: starts.processes[0].poll() == -signal.SIGKILL)


def test_the_next_is_not_careful_after_a_good_end(standing):
    ours, starts = standing("raise SystemExit(1)", "pass", ALIVE)
    for _ in range(2):
        ours.call(DRAIN)
        watched_until(ours, lambda: not ours._running)
    ours.call(DRAIN)

    assert [carefully for *_, carefully in starts.started] == [False, True, False]


def test_a_process_that_cannot_be_started_stops_nobody():
    def refuse(*_args, **_more):
        raise BlockingIOError("no more processes")

    StandIns(refuse).call(DRAIN)


def test_a_real_one_ends_with_the_process_that_called_it(database_url):
    """Beat is killed, and its stand-in is gone soon after."""
    process = subprocess.Popen([sys.executable, "-c", CALLER], stdout=subprocess.PIPE)
    pid = int(process.stdout.readline())
    assert is_alive(pid)

    process.kill()
    process.communicate()

    assert until(lambda: not is_alive(pid), timeout_s=5)


def test_a_real_one_finishes_when_it_is_let_go(database_url):
    ours = StandIns()
    ours.call(DRAIN)
    (one,) = ours._running
    began = one.progress_at
    try:
        watched_until(ours, lambda: one.progress_at > began)
    finally:
        ours.close()

    assert one.process.returncode == 0


def test_one_that_is_dismissed_ends_by_itself_and_another_may_come(standing):
    stand_ins, starts = standing(IDLE)
    stand_ins.call(DRAIN)

    stand_ins.dismiss()
    stand_ins.dismiss()

    assert until(lambda: starts.processes[0].poll() is not None, timeout_s=10)
    assert starts.processes[0].returncode == 0
    stand_ins.watch()
    stand_ins.call(DRAIN)
    assert len(starts.started) == 2


def test_those_of_a_worker_without_its_broker_know_of_none(monkeypatch):
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    given = []
    start = subprocess.Popen

    def started(command, *, env, **options):
        given.append(env)
        return start([sys.executable, "-c", IDLE], env=env, **options)

    monkeypatch.setattr(module.subprocess, "Popen", started)
    stand_ins = StandIns.without_broker()
    stand_ins.call(DRAIN)
    stand_ins.close()

    assert [(env["REDIS_URL"], env["BROKER_URL"]) for env in given] == [("", "")]
