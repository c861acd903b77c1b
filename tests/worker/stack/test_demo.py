"""What `contactsync demo` and `up` say where no Postgres can run: one sentence."""

import os
import tempfile
from pathlib import Path

import pytest

from worker.stack import demo, embedded
from worker.stack.supervisor import Supervisor


@pytest.fixture
def data_dir():
    with tempfile.TemporaryDirectory() as directory:  # not tmp_path, which no other user may enter
        yield Path(directory)


@pytest.fixture(params=["demo", "up"])
def start(request, data_dir, monkeypatch):
    monkeypatch.delenv("DATABASE_URL", raising=False)
    environ = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "REDIS_URL")}
    return {"demo": lambda: demo.run(0, stay=False), "up": Supervisor(data_dir, 0, environ=environ).run}[request.param]


def test_a_postgres_that_is_not_installed_is_one_sentence(start, monkeypatch, capsys):
    monkeypatch.setattr(embedded.util, "find_spec", lambda _name: None)

    assert start() == 1

    told = capsys.readouterr().err
    assert told.startswith("contactsync: no Postgres: install the embedded one")
    assert told.count("\n") == 1


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), ("no program", "Exec format error")])
def test_a_postgres_that_cannot_start_is_told_without_a_traceback(
    start, data_dir, monkeypatch, capsys, content, reason
):
    programs = data_dir / "programs"
    programs.mkdir(mode=0o755, parents=True)
    data_dir.chmod(0o755)
    if content is not None:
        (programs / "initdb").write_text(content)
        (programs / "initdb").chmod(0o755)
    monkeypatch.setattr(embedded.binaries, "reachable", lambda _package, _account: programs)

    assert start() == 1

    told = capsys.readouterr().err
    assert told.startswith("contactsync: initdb failed; ")
    assert f"cannot be started: {reason}" in told
    assert "Traceback" not in told
    assert told.count("\n") == 2


def test_a_port_that_is_taken_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("worker.stack.supervisor.port_is_free", lambda _port: False)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    assert demo.run(0, stay=False) == 1

    assert "is taken; choose another with --port\n" in capsys.readouterr().err
