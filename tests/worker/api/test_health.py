"""Health costs what it costs once a second; metrics are for this machine, and for who has the token."""

import asyncio
import json
import os
import re
import uuid
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import errors
from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError

from bench import pgbouncer
from worker import ids, logs, settings
from worker.api import health
from worker.api.app import App
from worker.api.health import Ready
from worker.store import db, urls
from worker.store.sessions import EVERYBODY, TENANT, Sessions
from worker.store.writable import NotMigratedError


def readonly():
    return DBAPIError.instance("", {}, errors.ReadOnlySqlTransaction("secret"), psycopg.Error)


LOCAL = "http://127.0.0.1:8000"


@pytest.fixture
def token(monkeypatch):
    monkeypatch.setenv("METRICS_TOKEN", "t\u00f6ken")
    settings.reload()
    yield "t\u00f6ken"
    monkeypatch.undo()
    settings.reload()


def metrics(app, *, peer="127.0.0.1", url=LOCAL, **headers):
    async def call():
        transport = httpx.ASGITransport(app, client=(peer, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            named = {name.replace("_", "-"): value.encode() for name, value in headers.items()}
            return await client.get("/metrics", headers=named)

    return asyncio.run(call())


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"])
@pytest.mark.parametrize("url", [LOCAL, "http://localhost", "http://[::1]:8000"])
def test_metrics_answer_on_loopback(app, peer, url):
    answer = metrics(app, peer=peer, url=url)

    assert answer.status_code == 200
    assert "contactsync_inbox_oldest_due_s" in answer.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"peer": "10.0.0.7"},
        {"peer": "::ffff:10.0.0.7"},
        {"peer": "testclient"},
        {"x_forwarded_for": "127.0.0.1"},
        {"forwarded": "for=127.0.0.1"},
        {"x_real_ip": "127.0.0.1"},
        {"via": "1.1 proxy"},
        {"url": "https://contacts.example.com"},
        {"url": "http://127.0.0.1.example.com"},
        {"peer": "10.0.0.7", "authorization": "Bearer "},
    ],
)
def test_without_a_token_metrics_are_not_elsewhere(app, elsewhere):
    assert metrics(app, **elsewhere).status_code == 404


def test_with_the_token_metrics_answer_elsewhere(app, token):
    right, wrong = f"bearer {token}", "Bearer token"

    assert metrics(app, peer="10.0.0.7", authorization=right).status_code == 200
    assert metrics(app, url="https://contacts.example.com", authorization=right).status_code == 200
    assert metrics(app, peer="10.0.0.7", authorization=wrong).status_code == 401
    assert metrics(app, peer="10.0.0.7", authorization="Bearer").status_code == 401
    assert metrics(app, peer="10.0.0.7").status_code == 401
    assert metrics(app).status_code == 200


def test_any_number_of_askers_costs_one_look_at_the_database(app, monkeypatch):
    looks = []
    look = health.ready.waiting
    monkeypatch.setattr(health.ready, "waiting", lambda conn: looks.append(1) or look(conn))

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url=LOCAL) as client:
            await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
            return await client.get("/readyz")

    answer = asyncio.run(ask())

    assert answer.json() == {"status": "ok", "oldest_due_s": 0.0}
    assert len(looks) <= 2


def test_without_a_database_it_is_not_ready(app, client, monkeypatch):
    monkeypatch.setitem(db._engines, (os.getpid(), "all"), db.make_engine("postgresql://nobody@127.0.0.1:1/nothing"))

    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").status_code == 200


def deliver(app):
    """Send a webhook to a connection that nobody has."""

    async def call():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(App(app)), base_url=LOCAL) as client:
            return await client.post(f"/webhooks/{ids.show(ids.CONNECTION, uuid.uuid4())}", content=b"{}")

    return asyncio.run(call())


@pytest.mark.skipif(pgbouncer.program() is None, reason="this machine has no PgBouncer")
def test_a_pooler_that_cannot_be_used_is_named_and_webhooks_are_answered_503(app, client, monkeypatch, database_url):
    with pgbouncer.in_front_of(database_url, "statement") as url:
        for kind, make in (("all", db.make_engine), ("tenant", db.make_tenant_engine)):
            monkeypatch.setitem(db._engines, (os.getpid(), kind), make(url))

        ready = client.get("/readyz")
        hooked, read = deliver(app), client.get("/v1/contacts")

    assert ready.status_code == hooked.status_code == read.status_code == 503
    assert "statement mode" in ready.json()["reason"]


def test_sessions_that_see_nothing_are_not_ready_and_deny_no_connection(app, client, monkeypatch, database_url):
    assert deliver(app).status_code == 404
    blind = db.make_engine(database_url)
    event.listen(blind, "checkout", lambda driver, *_: driver.execute("SET contactsync.organization_id = ''"))
    monkeypatch.setitem(db._engines, (os.getpid(), "all"), blind)

    ready, hooked = client.get("/readyz"), deliver(app)

    assert ready.status_code == hooked.status_code == 503
    assert "DATABASE_POOLER" in ready.json()["reason"]
    blind.dispose()


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://u:hidden@h/db", "DATABASE_URL: expected postgresql://"),
        ("postgresql://nobody@127.0.0.1:1/nothing", "no database"),
    ],
)
def test_a_url_that_leads_nowhere_is_said_without_its_value(client, monkeypatch, url, reason):
    monkeypatch.setenv("DATABASE_URL", url)
    settings.reload()
    monkeypatch.setattr(db, "_engines", {})
    try:
        answer, read = client.get("/readyz"), client.get("/v1/contacts")
    finally:
        monkeypatch.undo()
        settings.reload()

    assert answer.status_code == read.status_code == 503
    assert answer.json()["reason"].startswith(reason)
    assert "hidden" not in answer.text + read.text


def look(ready):
    async def ask():
        return await ready.answer(None)

    answer = asyncio.run(ask())
    return answer.status_code, json.loads(answer.body)


@pytest.fixture
def impatient(monkeypatch):
    """A look at the database each time, and a check of writing with it."""
    monkeypatch.setattr(health, "_READY_FOR_S", -1.0)
    monkeypatch.setattr(health, "_WRITABLE_FOR_S", -1.0)


@pytest.fixture
def read_only(engine, database_url, monkeypatch):
    """The engine of the process, on a database that is read-only."""
    given = {**urls.arguments(database_url), "options": "-c default_transaction_read_only=on"}
    found = create_engine(db.DRIVER, connect_args=given, hide_parameters=True)
    Sessions({TENANT: EVERYBODY}).serve(found)
    monkeypatch.setitem(db._engines, (os.getpid(), "all"), found)
    monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), found)
    yield found
    found.dispose()


def test_a_database_that_is_read_only_is_not_ready_and_says_so_once(engine, impatient, monkeypatch, capsys):
    logs.configure()
    answers = Ready()
    failures = [readonly(), readonly(), None]

    def check(_engine):
        if (error := failures.pop(0)) is not None:
            raise error

    monkeypatch.setattr(health.writable, "check", check)

    expected = {"status": "unavailable", "reason": "the database is read-only", "sqlstate": "25006"}
    assert look(answers) == look(answers) == (503, expected)
    assert look(answers) == (200, {"status": "ok", "oldest_due_s": 0.0})

    told, back = map(json.loads, capsys.readouterr().err.splitlines())
    assert (told["event"], told["sqlstate"], back["event"]) == ("not_ready", "25006", "ready_again")


def test_reads_alone_do_not_make_it_ready(read_only, impatient):
    assert look(Ready())[1]["sqlstate"] == "25006"


def test_writing_is_checked_seldom_while_it_succeeds(engine, monkeypatch):
    checks = []
    monkeypatch.setattr(health, "_READY_FOR_S", -1.0)
    monkeypatch.setattr(health.writable, "check", lambda _: checks.append(1))
    answers = Ready()

    for _ in range(20):
        assert look(answers)[0] == 200

    assert len(checks) == 1


def test_a_schema_that_is_older_is_not_ready(engine, impatient, monkeypatch):
    def check(_engine):
        raise NotMigratedError("run: contactsync migrate")

    monkeypatch.setattr(health.writable, "check", check)

    assert look(Ready()) == (503, {"status": "unavailable", "reason": "run: contactsync migrate"})


def test_the_list_of_metrics_in_the_guide_is_complete(app):
    """Each metric has a line in the table, and no line is about another."""
    guide = (Path(__file__).parents[3] / "docs" / "operating.md").read_text()
    families = [line.split()[2] for line in metrics(app).text.splitlines() if line.startswith("# TYPE")]

    assert sorted(re.findall(r"^\| `(contactsync_\w+)", guide, re.MULTILINE)) == sorted(families)


def test_of_a_database_that_refuses_metrics_the_sqlstate_is_told(app, monkeypatch):
    def load(_conn):
        raise readonly()

    monkeypatch.setattr(health.counts, "load", load)
    answer = metrics(app)

    assert answer.status_code == 503
    assert answer.text == "the database refuses it: SQLSTATE 25006\n"
