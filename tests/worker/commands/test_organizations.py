"""The commands about organizations."""

import pytest

from worker.errors import ConfigError


def test_an_organization_has_a_country_until_it_has_none(ask):
    ask("keys", "create", "--scope", "admin")
    assert ask("organizations", "set-region", "default", "id") == {"organization": "default", "region": "ID"}

    (listed,) = ask("organizations", "list")
    assert (listed["organization"], listed["region"]) == ("default", "ID")
    assert ask("organizations", "set-region", "default", "none")["region"] is None
    assert ask("organizations", "list")[0]["region"] is None


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["organizations", "set-region", "default", "Nowhere"], "REGION"),
        (["organizations", "set-region", "nobody", "ID"], "nobody"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
