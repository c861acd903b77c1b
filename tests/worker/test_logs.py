"""Logs: on stderr, a line for an event, and of an exception its type and place only."""

import json
import logging
import subprocess
import sys

import pytest
import structlog

from worker import logs, settings

MARK = "ayu.lestari@example.com"


@pytest.fixture(autouse=True)
def _logs_of_others():
    """Leave the others a stream that is open."""
    yield
    logs.configure()


@pytest.fixture
def library(capsys):
    """Log as a library does; return what is on stderr."""

    def log(name, message, *args, exc_info=None, level=logging.ERROR):
        logs.configure()  # pytest gives the test another stream than its fixtures
        logging.getLogger(name).log(level, message, *args, exc_info=exc_info)
        shown = capsys.readouterr()
        assert shown.out == ""
        return shown.err

    return log


def raised(cause=None):
    try:
        raise ValueError(MARK) from cause  # noqa: TRY301 - for its traceback
    except ValueError as error:
        return error


def test_an_exception_that_a_library_logs_is_its_type_and_place(library):
    shown = library("uvicorn.error", "Exception in ASGI application\n", exc_info=raised(KeyError(MARK)))

    assert shown.startswith(f"ERROR uvicorn.error Exception in ASGI application: ValueError at {__file__}:")
    assert shown.count("\n") == 1
    assert MARK not in shown


def test_of_a_librarys_arguments_only_numbers_and_text_are_shown(library):
    assert MARK not in library("kombu", "%s, %r, %r", [MARK], raised(), {MARK: MARK})
    assert library("kombu", "queue %s has %d; %r", "wake", 7, {"body": MARK}) == "ERROR kombu queue wake has 7; dict\n"


def test_the_exception_of_a_task_that_nobody_awaited_is_not_quoted(library):
    shown = library("asyncio", f"Task exception was never retrieved\nfuture: <Task {MARK}>", exc_info=raised())

    assert "Task exception was never retrieved: ValueError at " in shown
    assert MARK not in shown


def test_a_failure_that_celery_logs_is_not_quoted(library):
    about = {
        "name": "worker.tasks.drain",
        "id": "7",
        "description": "raised unexpected",
        "exc": MARK,
        "traceback": MARK,
    }

    shown = library("celery.app.trace", "Task %(name)s[%(id)s] %(description)s: %(exc)s\n%(traceback)s", about)

    assert shown == "ERROR celery.app.trace Task worker.tasks.drain[7] raised unexpected:\n"


def test_a_line_below_warning_is_not_printed(library):
    assert library("kombu", "x", level=logging.INFO) == ""
    assert library("uvicorn.access", "GET /v1/contacts/phone/+6281273509142", level=logging.INFO) == ""


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
        ("raise ValueError(mark)", "uncaught: ValueError at <string>:1"),
        ("raise KeyboardInterrupt(mark)", "interrupted"),
        (
            "import threading; threading.Thread(target=lambda: int(mark)).start()",
            "uncaught in a thread: ValueError at ",
        ),
        ("import warnings; warnings.warn(mark)", "warning: UserWarning at "),
        ("type('T', (), {'__del__': lambda self: int(mark)})()", "ignored: ValueError at "),
    ],
)
def test_what_nobody_catches_is_not_quoted(code, told):
    start = "from worker import logs; logs.take_over_hooks(); import sys; mark = sys.argv[1]; "
    done = subprocess.run([sys.executable, "-c", start + code, MARK], capture_output=True, text=True, check=False)

    assert told in done.stderr
    assert MARK not in done.stderr
    assert done.stdout == ""
