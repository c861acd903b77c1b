"""Reading for a request: one snapshot of one organization's data, and a session that is clean afterwards."""

import os

import psycopg
import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from worker.domain.rows import ContactRow
from worker.store import contacts, db, organizations
from worker.store.db import NOBODY, Tx

SETTINGS = text("""
    SELECT current_setting('contactsync.organization_id'), current_setting('transaction_isolation'),
           current_setting('transaction_read_only'), current_setting('max_parallel_workers_per_gather')
""")


@pytest.fixture
def tenants(database_url, monkeypatch):
    """The engine of the API with one connection, so that each transaction has the session of the one before."""
    monkeypatch.setattr(db, "TENANT_CONNECTIONS", 1)
    engine = db.make_tenant_engine(database_url)
    monkeypatch.setitem(db._engines, (os.getpid(), "tenant"), engine)
    yield engine
    engine.dispose()


def assert_clean(tenants):
    assert tenants.pool.checkedout() == 0
    with tenants.connect() as conn:
        driver = conn.connection.driver_connection
        assert driver.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert not driver.autocommit
        assert tuple(conn.execute(SETTINGS).one()) == (str(NOBODY), "read committed", "off", "0")


def test_a_read_sees_its_organization_in_a_snapshot_that_cannot_be_written(tenants, organization_id):
    with db.tenant_snapshot(organization_id) as (conn, _):
        assert tuple(conn.execute(SETTINGS).one()) == (str(organization_id), "repeatable read", "on", "0")

    assert_clean(tenants)


def test_a_read_sees_one_state_however_many_statements_it_takes(tenants, engine, organization_id):
    with db.tenant_snapshot(organization_id) as (conn, _):
        before = contacts.count(Tx(conn, organization_id))
        with engine.begin() as writer:
            row = ContactRow(organization_id, "Ayu", None, None, "shop", "1", {}, [], organization_id)
            contacts.insert_new(Tx(writer, organization_id), [contacts.encode(row.id, row, row.first_id)])

        assert contacts.count(Tx(conn, organization_id)) == before == 0
    with db.tenant_snapshot(organization_id) as (conn, _):
        assert contacts.count(Tx(conn, organization_id)) == 1


def test_the_session_is_clean_when_the_reader_fails(tenants, organization_id):
    def read():
        with db.tenant_snapshot(organization_id) as (conn, _):
            conn.execute(SETTINGS)
            raise KeyError

    with pytest.raises(KeyError):
        read()

    assert_clean(tenants)


@pytest.mark.parametrize("statement", ["SELECT 1 / 0", "DELETE FROM contacts"])
def test_the_session_is_clean_when_a_statement_fails(tenants, organization_id, statement):
    with pytest.raises(DBAPIError), db.tenant_snapshot(organization_id) as (conn, _):
        conn.execute(text(statement))

    assert_clean(tenants)


def test_a_failure_that_the_reader_hides_ends_the_transaction_too(tenants, organization_id):
    with db.tenant_snapshot(organization_id) as (conn, _), pytest.raises(DBAPIError):
        conn.execute(text("SELECT 1 / 0"))

    assert_clean(tenants)


def test_a_session_that_is_lost_is_not_used_again(tenants, engine, organization_id):
    def read():
        with db.tenant_snapshot(organization_id) as (conn, _):
            pid = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with engine.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            conn.execute(SETTINGS)

    with pytest.raises(DBAPIError):
        read()

    assert_clean(tenants)


def test_one_read_after_another_sees_its_own_organization(tenants, engine, organization_id):
    with engine.begin() as conn:
        other = organizations.ensure(conn, "other")

    for one in (organization_id, other, organization_id):
        with db.tenant_snapshot(one) as (conn, _):
            assert conn.execute(SETTINGS).one()[0] == str(one)


def test_a_read_begins_and_finds_its_contact_in_one_message_each(tenants, organization_id):
    sent = []
    event.listen(tenants, "before_cursor_execute", lambda *call: sent.append(call[2]))

    with db.tenant_snapshot(organization_id) as (conn, _):
        contacts.by_keys(
            Tx(conn, organization_id), [("phone", "", "+6281234567890"), ("email", "", "ujang@example.com")]
        )

    assert len(sent) == 2
    assert sent[0].startswith("BEGIN ")


def test_the_driver_begins_no_transaction_of_its_own(tenants, organization_id):
    complaints = []
    event.listen(tenants, "checkout", lambda driver, *_: driver.add_notice_handler(complaints.append))

    with db.tenant_snapshot(organization_id):
        pass

    assert complaints == []  # "there is already a transaction in progress"


def test_nothing_is_asked_where_nothing_is_wanted(tenants, organization_id):
    with db.tenant_snapshot(organization_id) as (conn, _):
        event.listen(conn, "before_cursor_execute", lambda *call: pytest.fail(call[2]))

        assert contacts.ids_by_keys(Tx(conn, organization_id), []) == {}
        assert contacts.by_keys(Tx(conn, organization_id), []) == {}
        assert contacts.by_any_ids(Tx(conn, organization_id), []) == {}
