"""The commands about channels."""

import json

import pytest
from sqlalchemy import text

from worker import ids
from worker.errors import ConfigError
from worker.store import channels, organizations
from worker.store.db import Tx


def test_a_channel_lives_from_add_to_remove(ask, engine):
    made = ask("channels", "add", "telegram", "--token", "700100:AAH_invented", "--name", "Support bot")
    assert made == {"channel_id": made["channel_id"], "platform": "telegram", "name": "Support bot"}

    (listed,) = ask("channels", "list")
    assert (listed["channel_id"], listed["name"]) == (made["channel_id"], "Support bot")
    assert listed["api_url"] == "https://api.telegram.org"
    assert "AAH" not in json.dumps(listed)
    with engine.connect() as conn:
        organization_id = organizations.find(conn, "default")
        row = channels.by_id(Tx(conn, organization_id), ids.parse(ids.CHANNEL, made["channel_id"]))
    assert row.secret() == "700100:AAH_invented"
    assert b"AAH" not in bytes(row.token)

    assert ask("channels", "remove", made["channel_id"]) == {"channel_id": made["channel_id"], "state": "removed"}
    assert ask("channels", "list") == []
    with engine.connect() as conn:
        assert conn.execute(text("SELECT token FROM channels")).scalar_one() is None
    ask("channels", "add", "line", "--token", "x", "--name", "Support bot")  # the name is free again


def test_a_channel_is_called_by_its_platform_unless_it_has_a_name(ask):
    assert ask("channels", "add", "whatsapp")["name"] == "whatsapp"
    assert ask("channels", "add", "line", "--token", "x", "--organization", "b")["name"] == "line"
    assert [row["platform"] for row in ask("channels", "list")] == ["whatsapp"]


def test_a_channel_may_ask_a_simulator_on_this_machine(ask):
    ask("channels", "add", "telegram", "--token", "x", "--api-url", "http://127.0.0.1:8081/")

    assert ask("channels", "list")[0]["api_url"] == "http://127.0.0.1:8081"


def test_a_name_has_one_channel(run, ask):
    ask("channels", "add", "telegram", "--token", "x")

    with pytest.raises(ConfigError, match="taken"):
        run("channels", "add", "telegram", "--token", "y")


def test_a_refused_token_is_not_repeated(run):
    with pytest.raises(ConfigError) as raised:
        run("channels", "add", "telegram", "--token", "secret secret")

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["channels", "add", "pigeon", "--token", "x"], "PLATFORM"),
        (["channels", "add", "telegram"], "--token"),
        (["channels", "add", "telegram", "--token", " "], "--token"),
        (["channels", "add", "line", "--token", "two words"], "--token"),
        (["channels", "add", "line", "--token", "a\nX-Other:b"], "--token"),
        (["channels", "add", "whatsapp", "--token", "x"], "--token"),
        (["channels", "add", "line", "--token", "x", "--name", " "], "--name"),
        (["channels", "add", "line", "--token", "x", "--name", "n" * 101], "--name"),
        (["channels", "add", "line", "--token", "x", "--api-url", "http://api.example.com"], "--api-url"),
        (["channels", "add", "line", "--token", "x", "--api-url", "https://api.example.com/v2"], "--api-url"),
        (["channels", "add", "line", "--token", "x", "--api-url", "https://192.168.1.1"], "--allow-private"),
        (["channels", "remove", "chn_1"], "chn_1"),
        (["channels", "list", "--organization", "nobody"], "nobody"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
