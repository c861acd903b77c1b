"""The commands about API keys."""

import json

import pytest

from worker.errors import ConfigError


def test_a_key_is_shown_once_listed_without_its_secret_and_revoked(ask):
    made = ask("keys", "create", "--scope", "contacts:read", "--scope", "contacts:write")

    listed = ask("keys", "list")
    assert [row["key_id"] for row in listed] == [made["key_id"]]
    assert made["key"].split("_", 2)[2] not in json.dumps(listed)  # a secret may begin with the sign itself
    assert listed[0]["scopes"] == ["contacts:read", "contacts:write"]
    assert listed[0]["rate_limit"] is None

    ask("keys", "revoke", made["key_id"])
    assert ask("keys", "list")[0]["revoked_at"]


def test_a_key_may_have_a_limit_of_its_own(ask, run):
    ask("keys", "create", "--scope", "channels:lookup", "--rate-limit", "30")

    assert ask("keys", "list")[0]["rate_limit"] == 30
    assert run("keys", "create", "--scope", "admin", "--rate-limit", "0").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keys", "create", "--scope", "everything"], "--scope"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
