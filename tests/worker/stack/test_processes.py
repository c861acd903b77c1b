"""Processes: which directories another user can enter, and which programs that user can run."""

import tempfile
from pathlib import Path

import pytest

from worker.stack.processes import Account


@pytest.fixture
def data_dir():
    """A new directory. If root runs the tests, only root may enter pytest's tmp_path."""
    with tempfile.TemporaryDirectory(prefix="contactsync-test-") as directory:
        yield Path(directory)


def test_an_account_enters_a_directory_only_if_every_mode_on_the_way_allows_it(data_dir):
    stranger = Account(uid=64_999, gid=64_999)
    open_dir, program = data_dir / "open", data_dir / "open" / "program"
    open_dir.mkdir()
    program.touch()

    data_dir.chmod(0o711)
    open_dir.chmod(0o755)
    program.chmod(0o755)
    assert stranger.can_enter(open_dir)
    assert stranger.can_run(program)

    program.chmod(0o700)
    assert not stranger.can_run(program)
    data_dir.chmod(0o700)
    assert not stranger.can_enter(open_dir)
