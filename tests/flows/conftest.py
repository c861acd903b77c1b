"""The running stack that all flows share."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.stack import RunningStack


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    """A stack with web, two workers, beat, an embedded Postgres and an embedded broker."""
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    running = RunningStack(directory)
    running.start()
    yield running
    assert running.stop() == 0
    shutil.rmtree(directory, ignore_errors=True)
