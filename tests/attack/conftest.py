"""The stack that is attacked: none of the other tests uses it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.stack import RunningStack


@pytest.fixture(scope="session")
def stack() -> Iterator[RunningStack]:
    directory = Path(tempfile.mkdtemp(prefix="contactsync-attack-"))
    running = RunningStack(directory)
    running.start()
    yield running
    assert running.stop() == 0
    shutil.rmtree(directory, ignore_errors=True)
