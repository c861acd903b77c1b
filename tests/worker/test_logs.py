"""Logs: on stderr, a JSON object for an event, and of an exception its type and place only."""

import errno
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import psycopg
import pytest
import structlog
from psycopg import errors
from sqlalchemy.exc import DBAPIError

from worker import logs, settings
from worker.errors import TransientError

MARK = "ayu.lestari@example.com"


@pytest.fixture(autouse=True)
def _logs_of_others():
    """Leave the others a stream that is open."""
    yield
    logs.configure()


@pytest.fixture
def library(capsys):
    """Log as a library does; return the line on stderr, and what is known of it; None if nothing is printed."""

    def log(name, message, *args, exc_info=None, level=logging.ERROR):
        logs.configure()  # pytest gives the test another stream than its fixtures
        logging.getLogger(name).log(level, message, *args, exc_info=exc_info)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") <= 1
        assert MARK not in shown.err
        return json.loads(shown.err) if shown.err else None

    return log


def raised(cause=None):
    try:
        raise ValueError(MARK) from cause  # noqa: TRY301 - for its traceback
    except ValueError as error:
        return error


def test_an_exception_that_a_library_logs_is_its_type_and_place(library):
    shown = library("uvicorn.error", "Exception in ASGI application\n", exc_info=raised(KeyError(MARK)))

    assert shown["event"] == "Exception in ASGI application"
    assert shown["logger"] == "uvicorn.error"
    assert shown["exception"]["type"] == "ValueError"
    assert shown["exception"]["place"].startswith(f"{__file__}:")


def test_of_a_librarys_arguments_only_numbers_and_text_are_shown(library):
    library("kombu", "%s, %r, %r", [MARK], raised(), {MARK: MARK})
    assert library("kombu", "queue %s has %d; %r", "wake", 7, {"body": MARK})["event"] == "queue wake has 7; dict"


def test_an_exception_that_a_library_logs_as_its_text_is_its_type_and_number(library):
    assert library("uvicorn.error", OSError(errno.EADDRINUSE, MARK))["errno"] == "EADDRINUSE"
    assert library("uvicorn.error", raised())["event"] == "ValueError"


def test_a_warning_that_celery_has_logged_is_not_quoted(library):
    text = warnings.formatwarning(UserWarning(MARK), UserWarning, "/a b/x.py", 7, line=MARK)

    shown = library("py.warnings", "%s", text, level=logging.WARNING)

    assert (shown["event"], shown["category"], shown["place"]) == ("warning", "UserWarning", "/a b/x.py:7")


@pytest.mark.parametrize("level", ["WARNING", "ERROR", "CRITICAL"])
def test_lines_of_libraries_look_like_ours(library, capsys, level):
    theirs = library("kombu", "x", level=getattr(logging, level))
    getattr(structlog.get_logger(), level.lower())("x")
    ours = json.loads(capsys.readouterr().err)

    assert set(theirs) == {*ours, "logger"}
    assert theirs["level"] == ours["level"] == level.lower()
    assert len(theirs["timestamp"]) == len(ours["timestamp"])


def test_the_level_of_the_settings_is_that_of_libraries_too(library, monkeypatch):
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    settings.reload()
    try:
        assert library("kombu", "x", level=logging.WARNING) is None
        assert library("kombu", "x", level=logging.ERROR)["event"] == "x"
    finally:
        monkeypatch.undo()
        settings.reload()


@pytest.mark.parametrize(
    "fields", [{"x": object()}, {"x": {1, 2}}, {"x": "\ud800"}, {"x": b"\xff"}, {"x": {1: raised}}]
)
def test_any_value_makes_a_line(capsys, fields):
    logs.configure()

    structlog.get_logger().info("x", **fields)

    assert json.loads(capsys.readouterr().err)["event"] == "x"


def test_the_sqlstate_of_a_database_error_is_told_and_nothing_else_of_it(capsys):
    logs.configure()
    try:
        try:
            raise DBAPIError.instance(MARK, {MARK: MARK}, errors.ReadOnlySqlTransaction(MARK), psycopg.Error)
        except DBAPIError:
            raise TransientError(MARK) from None
    except TransientError as error:
        structlog.get_logger().warning("drain_stopped", error=error)
        structlog.get_logger().error("drain_failed", exc_info=error)

    shown = capsys.readouterr().err
    stopped, failed = map(json.loads, shown.splitlines())
    assert (stopped["error"], stopped["sqlstate"]) == ("TransientError", "25006")
    assert failed["exception"]["sqlstate"] == "25006"
    assert MARK not in shown


def test_a_log_that_cannot_be_written_ends_nothing(monkeypatch):
    logs.configure()

    with Path(os.devnull).open() as only_for_reading, monkeypatch.context() as patched:
        patched.setattr(sys, "stderr", only_for_reading)
        structlog.get_logger().info("x")
        logging.getLogger("kombu").error("x")


def test_the_exception_of_a_task_that_nobody_awaited_is_not_quoted(library):
    shown = library("asyncio", f"Task exception was never retrieved\nfuture: <Task {MARK}>", exc_info=raised())

    assert shown["event"] == "Task exception was never retrieved"
    assert shown["exception"]["type"] == "ValueError"


def test_a_failure_that_celery_logs_is_not_quoted(library):
    about = {
        "name": "worker.tasks.drain",
        "id": "7",
        "description": "raised unexpected",
        "exc": MARK,
        "traceback": MARK,
    }

    shown = library("celery.app.trace", "Task %(name)s[%(id)s] %(description)s: %(exc)s\n%(traceback)s", about)

    assert shown["event"] == "Task worker.tasks.drain[7] raised unexpected:"


def test_a_line_below_warning_is_not_printed(library):
    assert library("kombu", "x", level=logging.INFO) is None
    assert library("uvicorn.access", "GET /v1/contacts/phone/+6281273509142", level=logging.INFO) is None


def test_our_own_line_has_the_way_to_an_exception_in_debug_only(monkeypatch, capsys):
    logs.configure()
    structlog.get_logger().error("drain_failed", exc_info=raised())
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    settings.reload()
    structlog.get_logger().error("drain_failed", exc_info=raised(KeyError(MARK)))
    monkeypatch.undo()
    settings.reload()

    short, long = map(json.loads, capsys.readouterr().err.splitlines())
    assert set(short["exception"]) == {"type", "place"}
    assert "  builtins.KeyError" in long["exception"]["way"]
    assert MARK not in json.dumps([short, long])


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise ValueError(mark)", "uncaught"),
        ("raise KeyboardInterrupt(mark)", "interrupted"),
        ("import threading; threading.Thread(target=lambda: int(mark)).start()", "uncaught_in_thread"),
        ("import warnings; warnings.warn(mark)", "warning"),
        ("import warnings, logging; logging.captureWarnings(True); logs.configure(); warnings.warn(mark)", "warning"),
        ("type('T', (), {'__del__': lambda self: int(mark)})()", "ignored"),
        ("logs.begin(); import traceback; traceback.print_stack()", "printed"),
        ("logs.begin(); print(mark)", "printed"),
        ("logs.begin(); sys.exit(mark)", "printed"),
        ("import os; os.environ['MAX_CONNECTIONS'] = mark; logs.begin()", "not_started"),
    ],
)
def test_what_nobody_catches_is_not_quoted(code, told):
    start = "from worker import logs; logs.take_over_hooks(); import sys; mark = sys.argv[1]; "
    done = subprocess.run([sys.executable, "-c", start + code, MARK], capture_output=True, text=True, check=False)

    assert {line["event"] for line in map(json.loads, done.stderr.splitlines())} == {told}
    assert MARK not in done.stderr
    assert done.stdout == ""
