"""Tests run on a Postgres that is installed, and say so if it is not."""

import subprocess
import sys

import pytest

from tests import installed_postgres


def run(*arguments):
    command = [sys.executable, "-m", "tests.installed_postgres", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_without_that_postgres_it_skips_with_a_word_unless_it_is_required():
    done = run("9")

    assert (done.returncode, done.stdout) == (
        0,
        "skipped: no Postgres 9 here; on Debian: apt-get install postgresql-9\n",
    )
    assert run("9", "--required").returncode == 1


@pytest.mark.skipif(installed_postgres.programs_of("15") is None, reason="no Postgres 15 here")
def test_the_tests_get_that_postgres():
    one = "tests/worker/store/test_statements.py::test_migrating_twice_changes_nothing"
    done = run("15", "-p", "no:cacheprovider", one)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout
