"""Write: a batch is written whole or not at all."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.worker.histories import EMAILS, a_profile, statements_of
from tests.worker.pipeline.test_apply import run
from worker import ids
from worker.domain.changeset import changeset
from worker.domain.grouping import Limits
from worker.domain.ledger import LedgerChanges
from worker.errors import TransientError
from worker.pipeline.load import load
from worker.pipeline.write import ENCODER, write
from worker.store.db import Tx

TABLES = ("records", "claims", "contacts", "contact_terms", "envelope_records")


def planned(tx, *statements):
    return changeset(load(tx, statements, Limits(10, 200), ids.new), ENCODER)


def counts(conn):
    return {table: conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in TABLES}


def test_a_new_customer_is_a_row_in_every_table(engine, organization_id):
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        people = planned(tx, statements_of("a", a_profile("1", email=EMAILS[0], name="Ayu"), number=1))
        write(tx, people, LedgerChanges(log=list(people.changes.values())), are_links_new=True)
        assert counts(conn) == dict.fromkeys(TABLES, 1)
        assert conn.execute(text("SELECT kind FROM changes")).scalars().all() == ["created"]


def test_links_that_are_wrongly_called_new_raise_and_nothing_is_written(engine, organization_id):
    stated = statements_of("a", a_profile("1", name="Ayu"), number=1)
    run(engine, [stated])

    with engine.connect() as conn:
        tx = Tx(conn, organization_id)
        people = planned(tx, stated)
        with pytest.raises(DBAPIError):
            write(tx, people, LedgerChanges(), are_links_new=True)
        conn.rollback()
        write(tx, people, LedgerChanges(), are_links_new=False)
        assert counts(conn)["envelope_records"] == 1


def test_a_record_that_another_writer_changed_stops_the_batch(engine, organization_id):
    run(engine, [statements_of("a", a_profile("1", name="Ayu"), number=1)])

    with engine.connect() as conn:
        tx = Tx(conn, organization_id)
        people = planned(tx, statements_of("a", a_profile("1", name="Putri", at=1), minute=5, number=2))
        run(engine, [statements_of("a", a_profile("1", name="Lestari", at=2), minute=5, number=3)])
        with pytest.raises(TransientError):
            write(tx, people, LedgerChanges(), are_links_new=True)
