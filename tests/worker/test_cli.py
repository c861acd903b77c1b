"""The command line: how a mistake of the operator ends."""

import json
import subprocess
import sys
from typing import NamedTuple

import psycopg
import pytest
from sqlalchemy.exc import DataError, OperationalError, ProgrammingError

from worker import cli, logs, settings
from worker.errors import ConfigError


@pytest.fixture(autouse=True)
def _logs_of_others():
    """Leave the others a stream that is open."""
    yield
    logs.configure()


def test_a_mistake_is_answered_in_one_line(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["contactsync", "keys", "create", "--scope", "everything"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith("contactsync: --scope: expected ")


@pytest.mark.parametrize(
    ("command", "code"), [(["keys", "create", "--scope", "everything"], 1), (["import", "--no-such-option"], 2)]
)
def test_a_mistake_is_one_document_for_programs(capsys, monkeypatch, command, code):
    monkeypatch.setattr("sys.argv", ["contactsync", *command, "--json"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    shown = capsys.readouterr()
    assert ended.value.code == code
    assert set(json.loads(shown.out)) == {"error"}
    assert shown.err


MARK = "ayu.lestari@example.com"


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigError("--x: expected y"), 1, "--x: expected y"),
        (OperationalError(None, None, psycopg.OperationalError(MARK)), 1, "does not answer"),
        (ProgrammingError(MARK, {}, psycopg.errors.UndefinedTable(MARK)), 1, "contactsync migrate"),
        (ProgrammingError(MARK, {}, psycopg.errors.SyntaxError(MARK)), 70, "unexpected error: ProgrammingError at "),
        (DataError(MARK, {"p": MARK}, psycopg.DataError(MARK)), 70, "unexpected error: DataError at "),
        (FileNotFoundError(2, "No such file or directory", "list.csv"), 1, "list.csv: No such file or directory"),
        (IsADirectoryError(21, "Is a directory", "lists"), 1, "lists: Is a directory"),
        (PermissionError(13, "Permission denied", "list.csv"), 1, "list.csv: Permission denied"),
        (OSError(28, "No space left on device"), 1, "OSError: No space left on device"),
        (UnicodeEncodeError("utf-8", MARK, 0, 1, "surrogates not allowed"), 1, "expected UTF-8"),
        (ValueError(MARK), 70, "unexpected error: ValueError at "),
        (RecursionError(MARK), 70, "unexpected error: RecursionError at "),
        (ExceptionGroup(MARK, [ValueError(MARK)]), 70, "unexpected error: ExceptionGroup at "),
        (KeyboardInterrupt(MARK), 130, ""),
        (BrokenPipeError(32, "Broken pipe"), 1, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_an_error_is_one_line_that_quotes_nothing(capsys, monkeypatch, error, code, told, level):
    def fail(*_, **__):
        secret = MARK  # a traceback with local variables would show it
        raise error from ValueError(secret)

    shown = _ended(capsys, monkeypatch, fail, level, "keys", "list")

    assert shown.code == code
    assert told in shown.err
    assert MARK not in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""
    if level == "INFO":
        assert shown.err.count("\n") <= 1


@pytest.mark.parametrize("error", [ValueError(MARK), KeyboardInterrupt(), ConfigError("--x: expected y")])
def test_any_error_is_one_document_for_programs(capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    shown = _ended(capsys, monkeypatch, fail, "INFO", "keys", "list", "--json")

    assert set(json.loads(shown.out)) == {"error"}
    assert MARK not in shown.out


def test_debug_shows_the_way_to_an_error_without_values(capsys, monkeypatch):
    def deepest():
        raise KeyError(MARK)

    shown = _ended(capsys, monkeypatch, lambda *_, **__: deepest(), "DEBUG", "keys", "list")

    assert "builtins.KeyError" in shown.err
    assert "deepest" in shown.err
    assert MARK not in shown.err


def test_a_setting_that_is_wrong_is_named_without_its_value(capsys, monkeypatch):
    monkeypatch.setenv("INBOX_BATCH", MARK)

    shown = _ended(capsys, monkeypatch, None, "INFO", "keys", "list", "--json")

    assert shown.code == 1
    assert "INBOX_BATCH: " in shown.err
    assert MARK not in shown.err
    assert set(json.loads(shown.out)) == {"error"}


def test_a_reader_that_stops_reading_is_no_error_to_report():
    command = [sys.executable, "-m", "worker.cli", "connectors", "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()

        assert process.stderr.read() == b""
    assert process.returncode == 1


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def _ended(capsys, monkeypatch, fail, level, *command):
    """Run a command whose work fails; return how it ended."""
    if fail is not None:
        monkeypatch.setattr("worker.commands.keys.transaction", fail)
    monkeypatch.setattr("sys.argv", ["contactsync", *command])
    monkeypatch.setenv("LOG_LEVEL", level)
    settings.settings.cache_clear()
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main()
    finally:
        monkeypatch.undo()
        settings.reload()
    return Ended(ended.value.code, *capsys.readouterr())
