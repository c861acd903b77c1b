"""The commands about connections, and those that add one."""

import pytest

from worker import ids
from worker.domain.terms import API_SOURCE
from worker.errors import ConfigError
from worker.store import connections, organizations
from worker.store.db import Tx

SHOP = ("--shop-domain", "s.myshopify.com", "--webhook-secret", "x")
EVIL = ("--shop-domain", "evil.example/.myshopify.com")
TOKEN = ("--access-token", "shpat_invented_4711")
WOO = ("--source", "woo", "--consumer-key", "ck_invented", "--consumer-secret", "cs_invented")


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


def test_each_connector_asks_for_what_it_needs(ask, run):
    with pytest.raises(ConfigError, match="--consumer-secret"):
        run("connections", "add", "woocommerce", "--api-url", "https://woo.example", "--consumer-key", "ck_invented")
    with pytest.raises(ConfigError, match="--api-url"):
        run("connections", "add", "woocommerce", *WOO, "--api-url", "http://woo.example")
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        run("connections", "add", "woocommerce", *WOO, "--api-url", "https://woo.example", "--credential", "x")
    added = ask("connections", "add", "woocommerce", *WOO, "--api-url", "https://woo.example/blog")
    assert added["connection_id"].startswith("con_")


def test_credentials_are_never_shown(ask, run, connection_id):
    ask("connections", "add", "woocommerce", *WOO, "--api-url", "https://woo.example")
    printed = [run("connections", "list").stdout, run("connections", "list", "--json").stdout]
    printed += [run("backfill", "start", connection_id, "--json").stdout, run("backfill", "list").stdout]
    assert not any(secret in text for text in printed for secret in ("shpat_invented", "cs_invented", "ck_invented"))


def test_a_private_network_is_read_if_an_operator_says_so(ask):
    added = ask("connections", "add", "woocommerce", *WOO, "--api-url", "https://10.0.0.1/shop", "--allow-private")

    assert added["connection_id"].startswith("con_")


def test_an_option_that_is_set_later_is_checked_like_one_that_is_given_first(ask, run):
    added = ask("connections", "add", "shopify", *SHOP)["connection_id"]

    with pytest.raises(ConfigError, match="--shop-domain"):
        run("connections", "set-option", added, "shop_domain", EVIL[1])
    set_ = ask("connections", "set-option", added, "shop_domain", "Other.myshopify.com")
    assert set_["options"]["shop_domain"] == "other.myshopify.com"


def test_a_connection_without_credentials_is_not_read_until_it_has_some(ask, run):
    added = ask("connections", "add", "shopify", *SHOP)["connection_id"]
    for command in (("backfill", "start", added), ("schedules", "set", added, "--kind", "full", "--every", "1d")):
        with pytest.raises(ConfigError, match="authorize"):
            run(*command)
    ask("connections", "authorize", added, "--credential", "access_token=shpat_invented_4711")
    assert ask("backfill", "start", added)["run_id"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["connections", "add", "shopify", "--shop-domain", "example.com", "--webhook-secret", "x"], "--shop-domain"),
        (["connections", "add", "shopify", *SHOP, "--region", "Nowhere"], "--region"),
        (["connections", "add", "shopify", *SHOP, "--source", "api"], "--source"),
        (["connections", "show", "con_1"], "con_1"),
        (["connections", "add", "shopify", *EVIL, "--webhook-secret", "x"], "--shop-domain"),
        (["connections", "add", "shopify", *SHOP, *TOKEN, "--api-url", "https://169.254.169.254"], "--allow-private"),
        (["connections", "add", "shopify", *SHOP, *TOKEN, "--api-url", "https://[fd00::1]"], "--allow-private"),
        (["connections", "add", "woocommerce", *WOO, "--api-url", "https://10.0.0.1/shop"], "--allow-private"),
        (["connections", "add", "woocommerce", *WOO, "--api-url", "https://a@shop.example"], "--api-url"),
        (["connections", "add", "woocommerce", *WOO, "--api-url", "https://shop.example/?x"], "--api-url"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run(*arguments)
