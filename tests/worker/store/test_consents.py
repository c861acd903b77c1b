"""The consent ledger: a statement is one row, however often it is made."""

from uuid import uuid4

from sqlalchemy import text

from worker.domain.ledger import keyed, split_first
from worker.domain.statements import ConsentStatement
from worker.store import consents
from worker.store.db import Tx

ADDRESS = "emma@example.com"


def count(conn, table):
    return conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_a_statement_is_one_row_however_often_it_is_made(engine, organization_id):
    def stated(status, address=ADDRESS, purpose="marketing"):
        about = {"channel": "email", "purpose": purpose, "address": address, "ref": ("shop", "1")}
        return keyed(ConsentStatement(**about, status=status, occurred=1, method=None, evidence={}), uuid4())

    def append(conn, *entries):
        """Append like the pipeline does; return which entries were not stored yet."""
        before = keys(conn)
        earlier = consents.prior(Tx(conn, organization_id), [ADDRESS], [("shop", "1")])
        first, others = split_first(entries, earlier)
        consents.insert_new(Tx(conn, organization_id), first)
        consents.append(Tx(conn, organization_id), others)
        return [entry.key in keys(conn) - before for entry in entries]

    def keys(conn):
        return {bytes(key) for key in conn.execute(text("SELECT statement_key FROM consents")).scalars()}

    opted_in, opted_out = stated("opted_in"), stated("opted_out")
    without = stated("opted_in", None)
    with engine.connect() as conn:
        assert append(conn, opted_in, without, stated("opted_in")) == [True, True, True]
        assert append(conn, opted_out, opted_in, without) == [True, False, False]
        assert append(conn, opted_in, stated("opted_in", purpose="transactional")) == [False, True]
        assert append(conn, opted_in, opted_out, without) == [False, False, False]
        assert count(conn, "consents") == 4
