"""Health costs what it costs once a second; metrics are for this machine, and for who has the token."""

import asyncio
import os
import uuid

import httpx
import pytest
from sqlalchemy import event

from bench import pgbouncer
from worker import ids, settings
from worker.api import health
from worker.api.app import App
from worker.store import db

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
