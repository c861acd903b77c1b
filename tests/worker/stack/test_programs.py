"""Programs: which programs the stack runs, and how long it waits before it starts a process again."""

import io
import re
import signal
from pathlib import Path

import pytest
import structlog

from worker.errors import ConfigError
from worker.stack.programs import Watched, our_programs


class Failing:
    """A process that ends at once each of the first times it is started, and then runs."""

    name, exit_code, launches = "failing", 1, 0

    def is_running(self):
        return self.launches > 6

    def launch(self):
        self.launches += 1
        if self.launches == 1:
            raise ConfigError("cannot be started")


def test_pause_between_restarts_grows_until_the_process_stays_up():
    process, pauses = Failing(), []
    watched = Watched(process, launched_at=0)
    logger = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()))

    for now in range(0, 1000, 6):
        watched.look(now, logger)
        if watched.due_at is not None:
            pauses.append(watched.due_at - now)

    assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5, 5])
    assert watched.pause_s == 0


def test_process_killed_from_outside_comes_back_at_once_each_time():
    process, pauses = Failing(), []
    process.exit_code = -signal.SIGKILL
    watched = Watched(process, launched_at=0)
    logger = structlog.wrap_logger(structlog.PrintLogger(io.StringIO()))

    for now in range(0, 60, 6):
        watched.look(now, logger)
        if watched.due_at is not None:
            pauses.append(watched.due_at - now)

    assert pauses == [pytest.approx(0.2)] * len(pauses)
    assert pauses


def test_only_the_worker_needs_a_broker():
    programs = {program.name: program for program in our_programs(Path("/data"), 8000, 3)}

    assert [name for name, program in programs.items() if program.needs_broker] == ["worker"]
    assert re.search("--port 8000", " ".join(programs["web"].command))
    assert re.search("--concurrency 3", " ".join(programs["worker"].command))


def test_every_way_to_start_the_web_process_bounds_its_connections():
    root = Path(__file__).parents[3]
    (web,) = (program for program in our_programs(Path("/data"), 8000, 3) if program.name == "web")

    for command in (" ".join(web.command), (root / "Procfile").read_text(), (root / "Dockerfile").read_text()):
        assert "--http worker.api.http_protocol:BoundedProtocol" in command
