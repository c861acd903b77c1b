"""`parked` and `replay`."""

import pytest

from worker.errors import ConfigError


def test_an_empty_store_has_parked_nothing(ask):
    assert ask("parked") == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["replay"], "--parked"),
        (["replay", "env_1"], "env_1"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
