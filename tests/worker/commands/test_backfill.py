"""The commands that read a provider, on a stack named by DATABASE_URL; nothing works on the runs they start."""

import json

import pytest
from structlog.testing import CapturingLogger
from typer.testing import CliRunner

from worker.cli import app
from worker.errors import ConfigError

SHOP = ("--shop-domain", "s.myshopify.com", "--webhook-secret", "x", "--access-token", "shpat_invented_4711")
WOO = ("--source", "woo", "--consumer-key", "ck_invented", "--consumer-secret", "cs_invented")


@pytest.fixture
def run(engine, monkeypatch):
    monkeypatch.setattr("worker.commands.backfill.publish_once", lambda _lane: True)  # there is no broker
    monkeypatch.setattr("worker.inbox.drain.log", CapturingLogger())  # another test's stream may be closed by now

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def ask(run):
    return lambda *arguments: json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def connection_id(ask):
    return ask("connections", "add", "shopify", *SHOP)["connection_id"]


def test_a_run_is_started_once_shown_and_cancelled(ask, run, connection_id):
    run_id = ask("backfill", "start", connection_id, "--kind", "full")["run_id"]

    shown = ask("backfill", "status", run_id)
    assert (shown["state"], shown["kind"], shown["read"], shown["expected"]) == ("running", "full", 0, None)
    with pytest.raises(ConfigError, match=run_id):
        run("backfill", "start", connection_id, "--kind", "full")
    increment = ask("backfill", "start", connection_id, "--kind", "increment", "--since", "2026-11-01T00:00:00Z")
    assert ask("backfill", "status", increment["run_id"])["since"] == "2026-11-01T00:00:00Z"

    assert ask("backfill", "cancel", run_id) == {"run_id": run_id, "state": "cancelled"}
    with pytest.raises(ConfigError, match="has ended already"):
        run("backfill", "cancel", run_id)
    assert {one["run_id"]: one["state"] for one in ask("backfill", "list", connection_id)} == {
        run_id: "cancelled",
        increment["run_id"]: "running",
    }


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("start", "con_nobody"), "con_nobody"),
        (("status", "run_nobody"), "run_nobody"),
        (("start", "CONNECTION", "--since", "yesterday"), "--since"),
    ],
)
def test_a_mistake_is_answered_with_what_was_expected(run, connection_id, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run("backfill", *(connection_id if one == "CONNECTION" else one for one in arguments))


def test_a_connection_without_credentials_is_not_read_until_it_has_some(ask, run):
    added = ask("connections", "add", "shopify", *SHOP[:4])["connection_id"]
    for command in (("backfill", "start", added), ("schedules", "set", added, "--kind", "full", "--every", "1d")):
        with pytest.raises(ConfigError, match="authorize"):
            run(*command)
    ask("connections", "authorize", added, "--credential", "access_token=shpat_invented_4711")
    assert ask("backfill", "start", added)["run_id"]


def test_what_can_be_read_is_read_by_schedule(ask, run, connection_id):
    listed = {one["kind"]: one for one in ask("schedules", "list")}
    assert {kind: one["every"] for kind, one in listed.items()} == {
        "full": "1w",
        "increment": "1h",
        "reconcile": "1d",
    }
    ask("schedules", "set", connection_id, "--kind", "increment", "--every", "90m")
    assert ask("schedules", "pause", connection_id) == {
        "connection_id": connection_id,
        "schedules": 3,
        "state": "paused",
    }
    assert {(one["kind"], one["every"], one["state"]) for one in ask("schedules", "list")} == {
        ("full", "1w", "paused"),
        ("increment", "90m", "paused"),
        ("reconcile", "1d", "paused"),
    }
    ask("schedules", "pause", connection_id, "--kind", "full", "--resume")
    assert {one["kind"] for one in ask("schedules", "list") if one["state"] == "active"} == {"full"}
    for every in ("", "1", "h", "1y", "-1h", "1 fortnight"):
        with pytest.raises(ConfigError, match="--every"):
            run("schedules", "set", connection_id, "--kind", "full", f"--every={every}")


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


@pytest.fixture
def customers(tmp_path):
    file = tmp_path / "customers.csv"
    file.write_text("\ufeffID;E-mail;Phone\n1;ayu@example.com;+6281234567801\n2;not an e-mail\n", "utf-8")
    return str(file)


def test_a_file_is_imported_once_its_columns_are_agreed_on(ask, run, customers, tmp_path):
    with pytest.raises(ConfigError, match="email=E-mail"):
        run("import", customers, "--source", "crm")
    tried = ask("import", customers, "--source", "crm", "--yes", "--dry-run")
    assert (tried["read"], tried["rejected"], tried["dry_run"]["created"]) == (2, 1, 1)
    assert ask("status")["contacts"] == 0

    done = ask("import", customers, "--source", "crm", "--yes")
    assert (done["read"], done["changed"], done["unchanged"], done["rejected"]) == (2, 1, 0, 1)
    rejects = (tmp_path / "customers.csv.rejects.csv").read_text("utf-8-sig").splitlines()
    assert (done["rejects_file"], len(rejects)) == (str(tmp_path / "customers.csv.rejects.csv"), 2)
    assert rejects[1].startswith("3,")
    again = ask("import", customers, "--source", "crm", "--yes")
    assert (again["changed"], again["unchanged"]) == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--map", "email"), "--map"),
        (("--map", "email=E-mail", "--map", "email=Phone"), "--map"),
        (("--map", "email=Nothing"), "Nothing"),
        (("--map", "emial=E-mail"), "emial"),
        (("--yes", "--as-of", "tomorrow"), "--as-of"),
        (("--yes", "--as-of", "2099-01-01"), "--as-of"),
    ],
)
def test_an_import_that_cannot_be_meant_changes_nothing(run, ask, customers, arguments, named):
    with pytest.raises(ConfigError, match=named):
        run("import", customers, "--source", "crm", *arguments)
    assert ask("status")["contacts"] == 0
