"""One running stack for the flows."""

from collections.abc import Iterator

import pytest

from tests.flows.stack import RunningStack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Everything up: web, two workers, beat, embedded Postgres and broker."""
    running = RunningStack(tmp_path_factory.mktemp("stack"))
    running.start()
    yield running
    assert running.stop() == 0
