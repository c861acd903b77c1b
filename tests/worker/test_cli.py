"""The command line, on a stack named by DATABASE_URL."""

import json

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from worker import ids
from worker.cli import app
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError
from worker.store import channels, connections, organizations
from worker.store.db import Tx

SHOP = ["--shop-domain", "s.myshopify.com", "--webhook-secret", "x"]


@pytest.fixture
def run(engine):
    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def ask(run):
    return lambda *arguments: json.loads(run(*arguments, "--json").stdout)


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


def test_an_organization_has_a_country_until_it_has_none(ask):
    ask("keys", "create", "--scope", "admin")
    assert ask("organizations", "set-region", "default", "id") == {"organization": "default", "region": "ID"}

    (listed,) = ask("organizations", "list")
    assert (listed["organization"], listed["region"]) == ("default", "ID")
    assert ask("organizations", "set-region", "default", "none")["region"] is None
    assert ask("organizations", "list")[0]["region"] is None


def test_the_connection_of_the_api_is_nobody_s_to_touch(ask, run, engine):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organizations.ensure(conn, "default")),
            connector=API_SOURCE,
            source=API_SOURCE,
            options={},
            region=None,
            priority=0,
            webhook_secrets=[],
        )
    shown = ids.show(ids.CONNECTION, id_)

    assert ask("connections", "list") == []
    for command in (["show"], ["pause"], ["resume"], ["remove"], ["rotate-secret", "--webhook-secret", "x"]):
        with pytest.raises(ConfigError, match=shown):
            run("connections", *command, shown)
    with pytest.raises(ConfigError, match=shown):
        run("connections", "approve-fields", shown, "--all")


def test_a_table_shows_names_as_they_are(run, ask):
    ask("channels", "add", "whatsapp", "--name", "[b]us")

    assert "[b]us" in run("channels", "list").stdout


def test_a_connection_lives_from_add_to_remove(ask):
    made = ask("connections", "add", "shopify", *SHOP, "--region", "id", "--access-token", "t")
    id_ = made["connection_id"]
    assert made["webhook_url"].endswith(f"/webhooks/{id_}")

    shown = ask("connections", "show", id_)
    assert (shown["state"], shown["region"], shown["webhook_secrets"]) == ("active", "ID", 1)
    assert ask("connections", "rotate-secret", id_, "--webhook-secret", "y")["webhook_secrets"] == 2
    assert ask("connections", "rotate-secret", id_, "--webhook-secret", "y", "--drop-old")["webhook_secrets"] == 1
    assert ask("connections", "approve-fields", id_, "phone", "email")["approved_fields"] == ["email", "phone"]
    assert ask("connections", "pause", id_)["state"] == "paused"
    assert ask("connections", "resume", id_)["state"] == "active"
    assert ask("connections", "remove", id_)["state"] == "removed"
    assert [row["state"] for row in ask("connections", "list")] == ["removed"]
    ask("connections", "add", "shopify", *SHOP)  # the source's name is free again


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["keys", "create", "--scope", "everything"], "--scope"),
        (["connections", "add", "shopify", "--shop-domain", "example.com", "--webhook-secret", "x"], "--shop-domain"),
        (["connections", "add", "shopify", *SHOP, "--region", "Indonesia"], "--region"),
        (["connections", "add", "shopify", *SHOP, "--source", "api"], "--source"),
        (["connections", "show", "con_1"], "con_1"),
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
        (["channels", "remove", "chn_1"], "chn_1"),
        (["channels", "list", "--organization", "nobody"], "nobody"),
        (["organizations", "set-region", "default", "Indonesia"], "REGION"),
        (["organizations", "set-region", "nobody", "ID"], "nobody"),
        (["status", "--organization", "nobody"], "nobody"),
        (["replay"], "--parked"),
        (["replay", "env_1"], "env_1"),
        (["export", "--canonical", "--format", "csv"], "--canonical"),
        (["export", "--raw"], "--raw"),
        (["export", "--raw", "--format", "jsonl"], "--raw"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)


def test_a_source_has_one_connection(run, ask):
    ask("connections", "add", "shopify", *SHOP)

    with pytest.raises(ConfigError, match="taken"):
        run("connections", "add", "shopify", *SHOP)


def test_organizations_do_not_see_each_other(ask, run):
    made = ask("connections", "add", "shopify", *SHOP, "--organization", "a")
    ask("keys", "create", "--scope", "admin", "--organization", "b")

    assert ask("connections", "list", "--organization", "b") == []
    with pytest.raises(ConfigError):
        run("connections", "show", made["connection_id"], "--organization", "b")


def test_an_empty_store_has_a_status_and_an_empty_export(ask, run):
    found = ask("status")

    assert found["contacts"] == 0
    assert {"due", "postponed", "parked", "settled", "ignored", "oldest_due_s"} <= found["inbox"].keys()
    assert ask("parked") == []
    assert (
        run("export").stdout == run("export", "--canonical").stdout == run("export", "--format", "jsonl").stdout == ""
    )
    assert run("export", "--format", "csv").stdout.startswith("\ufeffcontact_id,name,email,")
    assert run("export", "--format", "csv", "--raw").stdout.startswith("contact_id,name,email,")
    assert run("export", "--format", "xml").exit_code == 2
    assert "Contacts: 0" in run("status").stdout


def test_without_a_stack_the_operator_is_told_how_to_start_one(run, tmp_path):
    with pytest.raises(ConfigError, match="contactsync up"):
        run("status", "--data-dir", str(tmp_path))
