"""Sessions through a real PgBouncer and without: what they have set, whose rows they see, and what stays behind."""

import asyncio
import os
import uuid
from contextlib import contextmanager

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from bench import pgbouncer
from tests.conftest import empty
from worker import settings
from worker.domain.rows import ContactRow
from worker.store import contacts, db, organizations, sessions, sqlstates, urls
from worker.store.db import NOBODY, Tx
from worker.store.migrate import upgrade

needs_pgbouncer = pytest.mark.skipif(pgbouncer.program() is None, reason="this machine has no PgBouncer")
SET = text("""
    SELECT current_setting('contactsync.organization_id', true), current_setting('statement_timeout'),
           current_setting('plan_cache_mode'), current_setting('transaction_isolation'),
           current_setting('transaction_read_only')
""")
EVERYBODY = ("all", "30s", "force_custom_plan", "read committed", "off")
ONE_STATE = ("all", "30s", "force_custom_plan", "repeatable read", "on")


@pytest.fixture(
    scope="module", params=["direct", *(pytest.param(m, marks=needs_pgbouncer) for m in ("transaction", "session"))]
)
def way(request, database_url):
    """A way to the database: the mode of the pooler in between, and the URL."""
    if request.param == "direct":
        yield "direct", database_url
        return
    # One server session in transaction mode: every client gets what the one before has left on it.
    size = 1 if request.param == "transaction" else 20
    with pgbouncer.in_front_of(database_url, request.param, default_pool_size=size) as url:
        yield request.param, url


@pytest.fixture(scope="module")
def transaction_mode(database_url):
    with pgbouncer.in_front_of(database_url, "transaction", default_pool_size=1) as url:
        yield url


@contextmanager
def made(engine):
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def stranger(url):
    """Open a session that is none of ours, with nothing set."""
    with psycopg.connect(urls.conninfo(url), autocommit=True, prepare_threshold=None) as conn:
        yield conn


def add_contact(engine, name="default"):
    with engine.begin() as conn:
        organization_id = organizations.ensure(conn, name)
        row = ContactRow(organization_id, "Ayu", None, None, "shop", "1", {}, [], uuid.uuid4())
        contacts.insert_new(Tx(conn, organization_id), [contacts.encode(row.first_id, row, row.first_id)])
    return organization_id


def test_a_transaction_has_our_settings_and_sees_everybody(way, engine):
    add_contact(engine)
    with made(db.make_engine(way[1])) as ours:
        for _ in range(3):
            with ours.begin() as conn:
                assert tuple(conn.execute(SET).one()) == EVERYBODY
                assert conn.execute(text("SELECT count(*) FROM contacts")).scalar_one() == 1
            with db.snapshot(ours) as conn:
                assert tuple(conn.execute(SET).one()) == ONE_STATE


def test_only_a_pooler_is_taken_for_one(way):
    with made(db.make_engine(way[1])) as ours, ours.connect() as conn:
        assert sessions.is_pooled(conn) == (way[0] != "direct")


def test_the_webhook_route_keeps_with_our_settings(way, engine):
    async def keep():
        ours = db.make_ingest_engine(way[1])
        try:
            for _ in range(2):
                async with ours.begin() as conn:
                    assert tuple((await conn.execute(SET)).one()) == EVERYBODY
                    await conn.execute(text("SELECT count(*) FROM envelopes"))
        finally:
            await ours.dispose()

    asyncio.run(keep())


def test_a_request_sees_its_own_organization_alone(way, engine, monkeypatch):
    mine, theirs = add_contact(engine), add_contact(engine, "other")
    counted = text("SELECT organization_id, count(*) FROM contacts GROUP BY 1")
    with made(db.make_tenant_engine(way[1])) as tenants:
        monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), tenants)
        with tenants.begin() as conn:
            assert conn.execute(SET).one()[0] == str(NOBODY)
            assert conn.execute(counted).all() == []
        for one in (mine, theirs, mine):
            with db.tenant_snapshot(one) as tx:
                assert tuple(tx.conn.execute(counted).one()) == (one, 1)
        with tenants.begin() as conn:
            db.enter(Tx(conn, theirs))
            assert tuple(conn.execute(counted).one()) == (theirs, 1)
        with tenants.begin() as conn:
            assert conn.execute(counted).all() == []


def test_a_session_that_names_nobody_sees_no_row_of_any_table(way, engine):
    organization_id = add_contact(engine)
    with stranger(way[1]) as conn:
        tables = [
            row[0]
            for row in conn.execute("""
                SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
                 WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'organization_id'
                   AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm')
            """)
        ]
        assert {"contacts", "records", "claims", "envelopes", "connections"} < set(tables)
        for table in set(tables) - {"api_keys"}:
            assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
        conn.execute("BEGIN; SET LOCAL contactsync.organization_id = ''")
        assert conn.execute("SELECT count(*) FROM contacts").fetchone() == (0,)
        conn.execute("COMMIT")
        # As docs/operating.md tells the operator.
        conn.execute("BEGIN; SET LOCAL contactsync.organization_id = 'all'")
        assert conn.execute("SELECT organization_id FROM contacts").fetchall() == [(organization_id,)]
        conn.execute("COMMIT")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(
                "INSERT INTO contact_terms (organization_id, contact_id, term) SELECT %s, %s, 'x'",
                2 * [organization_id],
            )


def test_every_table_has_the_same_policy_and_forces_it_on_its_owner(engine):
    with engine.connect() as conn:
        rows = conn.execute(
            text("""
            SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity, pg_get_expr(p.polqual, p.polrelid)
              FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_policy p ON p.polrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace AND a.attname = 'organization_id'
               AND NOT a.attisdropped AND c.relkind IN ('r', 'p')
        """)
        ).all()

    guarded = {name: (is_forced, policy) for name, is_forced, policy in rows if name != "api_keys"}
    assert len(guarded) > 20
    assert {is_forced for is_forced, _ in guarded.values()} == {True}
    assert len({policy for _, policy in guarded.values()}) == 1, guarded


@needs_pgbouncer
def test_nothing_of_a_transaction_is_left_for_the_next_client_of_the_same_server_session(
    transaction_mode, engine, monkeypatch
):
    organization_id = add_contact(engine)
    left = (
        "SELECT pg_backend_pid(), current_setting('contactsync.organization_id', true), current_setting('lock_timeout')"
    )
    with (
        made(db.make_engine(transaction_mode)) as everybody,
        made(db.make_tenant_engine(transaction_mode)) as tenants,
        stranger(transaction_mode) as other,
    ):
        monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), tenants)
        before = other.execute("SHOW lock_timeout").fetchone()[0]
        pids = set()

        def look():
            pid, scope, timeout = other.execute(left).fetchone()
            assert (scope or "", timeout) == ("", before)
            assert other.execute("SELECT count(*) FROM contacts").fetchone() == (0,)
            pids.add(pid)

        with everybody.begin() as conn:
            pids.add(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
        look()
        with pytest.raises(OperationalError), everybody.begin() as conn:
            conn.execute(text("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)"))
        look()
        with everybody.connect() as conn:
            conn.execute(SET)  # the pool rolls back
        look()
        with db.snapshot(everybody) as conn:
            conn.execute(SET)
        look()
        with db.tenant_snapshot(organization_id) as tx:
            tx.conn.execute(SET)
        look()
        with tenants.begin() as conn:
            db.enter(Tx(conn, organization_id))
        look()
    assert len(pids) == 1


@needs_pgbouncer
def test_statements_have_no_names_where_the_next_server_session_would_not_know_them(database_url, engine):
    with (
        pgbouncer.in_front_of(database_url, "transaction", default_pool_size=2) as url,
        made(db.make_engine(url)) as ours,
        made(db.make_engine(url)) as others,
    ):
        for _ in range(12):
            with others.begin() as held:  # so that a transaction is on one server session or the other
                held.execute(SET)
                with ours.begin() as conn:
                    conn.execute(SET)
            with ours.begin() as conn:
                assert tuple(conn.execute(SET).one()) == EVERYBODY
                assert conn.execute(text("SELECT count(*) FROM pg_prepared_statements")).scalar_one() == 0


@needs_pgbouncer
def test_a_transaction_takes_no_message_more_than_without_a_pooler(transaction_mode, engine):
    sent, complaints = [], []
    with made(db.make_engine(transaction_mode)) as ours:
        event.listen(ours, "before_cursor_execute", lambda *call: sent.append(call[2].split()[0]))
        with ours.connect() as conn:
            conn.connection.driver_connection.add_notice_handler(complaints.append)
            assert conn.connection.driver_connection.autocommit  # the driver sends no BEGIN of its own
            with conn.begin():
                conn.execute(SET)
    assert sent == ["BEGIN;", "SELECT"]
    assert complaints == []


@needs_pgbouncer
def test_a_pooler_in_statement_mode_is_refused_with_the_reason(database_url, engine):
    with pgbouncer.in_front_of(database_url, "statement") as url, made(db.make_engine(url)) as ours:
        with capture_logs() as logged, pytest.raises(OperationalError) as raised, ours.connect():
            pass

        assert "statement mode" in sqlstates.reason(raised.value)
        assert sqlstates.is_system_fault(raised.value)
        assert [line["event"] for line in logged] == ["database_session_refused"]
        with pytest.raises(OperationalError, match="statement mode"):
            upgrade(url)


@needs_pgbouncer
def test_settings_that_a_pooler_drops_are_an_error_and_no_empty_answer(transaction_mode, engine, monkeypatch):
    monkeypatch.setenv("DATABASE_POOLER", "none")
    settings.reload()
    try:
        with stranger(transaction_mode) as other, made(db.make_engine(transaction_mode)) as ours:
            with ours.connect() as conn:
                db.check_scope(conn)
            other.execute("DISCARD ALL")
            with ours.connect() as conn, pytest.raises(OperationalError) as raised:
                db.check_scope(conn)
        assert "DATABASE_POOLER" in sqlstates.reason(raised.value)
    finally:
        monkeypatch.undo()
        settings.reload()


def test_the_release_before_goes_on_seeing_everybody(database_url, engine):
    add_contact(engine)
    options = "-c lock_timeout=15s -c statement_timeout=30s"
    before = {"application_name": "contactsync", "options": options, "autocommit": True}

    with psycopg.connect(urls.conninfo(database_url), **before) as conn:
        assert conn.execute("SELECT count(*) FROM contacts").fetchone() == (1,)
    for other in ({**before, "application_name": "psql"}, {**before, "options": ""}):
        with psycopg.connect(urls.conninfo(database_url), **other) as conn:
            assert conn.execute("SELECT count(*) FROM contacts").fetchone() == (0,)


@needs_pgbouncer
def test_a_database_is_migrated_through_a_pooler(database_url, engine):
    name = f"migrated_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(urls.conninfo(database_url), autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        try:
            with pgbouncer.in_front_of(database_url, "transaction") as url:
                upgrade(url.rpartition("/")[0] + f"/{name}")
                with made(db.make_engine(url.rpartition("/")[0] + f"/{name}")) as ours:
                    assert add_contact(ours)
                    empty(ours)
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
