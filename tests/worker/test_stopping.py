"""A worker that is told to end does so within seconds: a real Celery worker, at rest, at work and without a broker."""

import os
import signal
import subprocess
import sys
import time

import pytest

from worker import stopping
from worker.inbox import drain
from worker.stack.processes import free_port

STUCK = """
import multiprocessing, os, sys, time
from worker import stopping

def work():
    while not stopping.is_told():
        time.sleep(0.01)
    print("told", flush=True)

child = multiprocessing.get_context("fork").Process(target=work)
child.start()
stopping.end_soon()
child.join()
if sys.argv[1] == "stuck":
    import signal
    signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    time.sleep(60)
"""


@pytest.fixture
def not_told():
    yield
    stopping._told[0] = 0


def run(how):
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", STUCK, how], capture_output=True, text=True, timeout=30)
    return done, time.monotonic() - began


def test_the_processes_of_the_pool_are_told():
    done, _ = run("free")

    assert done.stdout == "told\n"
    assert done.returncode == 0


def test_who_does_not_end_is_ended():
    done, took = run("stuck")

    assert done.returncode == 1
    assert stopping._PATIENCE_S < took < 6


def test_a_drain_ends_between_two_batches(not_told, engine, monkeypatch):
    asked = []
    monkeypatch.setattr(drain, "drain_batch", lambda *_, **__: asked.append(1) or drain.Drained(leased=1))
    stopping.tell()

    drain.drain(engine, 0, budget_s=10)

    assert len(asked) == 2  # one batch, and those under suspicion


def test_a_worker_whose_broker_is_away_ends_in_time(tmp_path):
    environ = os.environ | {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    command = "celery -A worker.app worker --pool prefork --concurrency 1 --without-gossip --without-mingle"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", *command.split()], env=environ, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while b"Cannot connect" not in (tmp_path / "log").read_bytes() and time.monotonic() < end:
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        process.kill()
        process.wait()

    assert time.monotonic() - began < 6
