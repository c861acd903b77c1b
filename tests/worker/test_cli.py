"""The command line, on a stack named by DATABASE_URL."""

import json

import pytest
from typer.testing import CliRunner

from worker.cli import app
from worker.errors import ConfigError

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
    assert made["key"].split("_")[2] not in json.dumps(listed)
    assert listed[0]["scopes"] == ["contacts:read", "contacts:write"]

    ask("keys", "revoke", made["key_id"])
    assert ask("keys", "list")[0]["revoked_at"]


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
        (["status", "--organization", "nobody"], "nobody"),
        (["replay"], "--parked"),
        (["replay", "env_1"], "env_1"),
        (["export"], "--canonical"),
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
    assert run("export", "--canonical").stdout == ""
    assert "Contacts: 0" in run("status").stdout


def test_without_a_stack_the_operator_is_told_how_to_start_one(run, tmp_path):
    with pytest.raises(ConfigError, match="contactsync up"):
        run("status", "--data-dir", str(tmp_path))
