"""What every command shares: finding the stack, and how it answers."""

import pytest

from worker.errors import ConfigError


def test_a_table_shows_names_as_they_are(run, ask):
    ask("channels", "add", "whatsapp", "--name", "[b]us")

    assert "[b]us" in run("channels", "list").stdout


def test_without_a_stack_the_operator_reads_how_to_start_one(run, tmp_path):
    with pytest.raises(ConfigError, match="contactsync up"):
        run("status", "--data-dir", str(tmp_path))
