"""Root starts the stack: its programs run as another user where one can run them, and else it is said why not."""

import os
import pwd
import sys
from pathlib import Path

import pytest

from worker.stack import unprivileged
from worker.stack.processes import Account
from worker.stack.programs import our_programs
from worker.stack.unprivileged import Choice, choose

NOBODY = Account(pwd.getpwnam("nobody").pw_uid, pwd.getpwnam("nobody").pw_gid)


@pytest.fixture
def root(monkeypatch):
    """Root, with a `nobody` who may run everything."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(Account, "can_enter", lambda *_: True)
    monkeypatch.setattr(unprivileged, "_can_import", lambda _: True)
    monkeypatch.setattr(unprivileged, "_USERS", ("nobody",))


def test_root_runs_our_programs_as_nobody(root):
    assert choose(8000) == Choice(NOBODY)


def test_who_is_not_root_runs_them_as_they_are(root, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert choose(80) == Choice()


def test_a_port_below_1024_needs_root(root):
    assert choose(443) == Choice(reason="only root may listen on port 443")


def test_programs_that_the_user_cannot_reach_run_as_root(root, monkeypatch):
    monkeypatch.setattr(Account, "can_enter", lambda _, path: path != Path(sys.executable).resolve().parent)

    assert choose(8000).account is None
    assert choose(8000).reason.startswith("the user `nobody` may not enter /")


def test_packages_that_the_user_cannot_read_run_as_root(root, monkeypatch):
    monkeypatch.setattr(unprivileged, "_can_import", lambda _: False)

    assert choose(8000).reason.startswith("the user `nobody` cannot read our packages")


def test_a_machine_without_such_a_user_runs_them_as_root(root, monkeypatch):
    monkeypatch.setattr(unprivileged, "_USERS", ("nobody-of-this-name",))

    assert "no user" in choose(8000).reason


def test_all_our_programs_need_no_root():
    assert all(program.needs_no_root for program in our_programs(Path("/data"), 8000, 2))


def test_the_user_has_a_home_that_is_not_roots():
    assert unprivileged.environment(NOBODY) == {
        "HOME": pwd.getpwnam("nobody").pw_dir,
        "USER": "nobody",
        "LOGNAME": "nobody",
    }
