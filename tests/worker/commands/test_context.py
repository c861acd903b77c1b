"""What every command shares: finding the stack, and how it answers."""

import pytest

from worker.commands.context import pairs
from worker.errors import ConfigError


def test_a_table_shows_names_as_they_are(run, ask):
    ask("channels", "add", "whatsapp", "--name", "[b]us")

    assert "[b]us" in run("channels", "list").stdout


def test_without_a_stack_the_operator_reads_how_to_start_one(run, tmp_path):
    with pytest.raises(ConfigError, match="contactsync up"):
        run("status", "--data-dir", str(tmp_path))


def test_pairs_are_read_by_their_names():
    assert pairs("--map", ["email=E-mail", " note = a=b"]) == {"email": "E-mail", "note": " a=b"}
    assert pairs("--map", None) == {}


@pytest.mark.parametrize("given", ["email", "email=", "=secret", " =secret"])
def test_what_is_no_pair_is_refused_without_quoting_it(given):
    with pytest.raises(ConfigError, match="--map: expected NAME=VALUE") as caught:
        pairs("--map", [given])

    assert "secret" not in str(caught.value)


def test_a_pair_that_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="--map: email is given twice"):
        pairs("--map", ["email=a", "email=b"])
