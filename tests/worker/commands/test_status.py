"""`status`."""

import pytest

from worker.errors import ConfigError


def test_an_empty_store_has_a_status(ask, run):
    found = ask("status")

    assert found["contacts"] == 0
    assert {"due", "postponed", "parked", "settled", "ignored", "oldest_due_s"} <= found["inbox"].keys()
    assert "Contacts: 0" in run("status").stdout


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["status", "--organization", "nobody"], "nobody"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
