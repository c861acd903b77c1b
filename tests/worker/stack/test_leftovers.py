"""Leftovers: ``kill`` ends the processes of its own cluster, and no others."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.stack import leftovers

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
#: a process that looks like a Postgres
LIKE_POSTGRES = "import ctypes, time; ctypes.CDLL(None).prctl(15, b'postgres'); print(flush=True); time.sleep(60)"


def like_postgres(directory):
    process = subprocess.Popen([sys.executable, "-c", LIKE_POSTGRES], cwd=directory, stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


def test_a_server_of_the_cluster_is_ended_and_another_is_not(tmp_path):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    with like_postgres(tmp_path / "ours") as ours, like_postgres(tmp_path / "theirs") as theirs:
        # It is a child of this process, so it stays a zombie, without a directory, until it is waited for.
        assert leftovers.kill(tmp_path / "ours")
        assert ours.wait(5) == -9
        assert theirs.poll() is None
        theirs.kill()


def test_without_servers_there_is_nothing_to_do(tmp_path):
    assert leftovers.kill(tmp_path)
