"""What may be stored already is looked for; what cannot be is not, and shows if it is."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.domain.ledger import keyed, split_first
from worker.domain.statements import ConsentStatement
from worker.store import consents, contact_terms, envelopes, ready
from worker.store.db import Tx
from worker.store.lanes import lane_of, lane_sql

ADDRESS = "emma@example.com"


def count(conn, table):
    return conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_terms_that_were_left_behind_are_met_again(engine, organization_id):
    pairs = [("t:vip", uuid4()), ("w:emma", uuid4())]
    with engine.connect() as conn:
        contact_terms.insert_new(Tx(conn, organization_id), [(pairs[0][1], contact_terms.encode(None, ["vip"]))])
        contact_terms.ensure(Tx(conn, organization_id), pairs)
        assert count(conn, "contact_terms") == 2
        with pytest.raises(IntegrityError):
            contact_terms.insert_new(Tx(conn, organization_id), [(pairs[1][1], contact_terms.encode("Emma", ["new"]))])


def test_a_lane_is_the_same_in_the_store_and_outside(engine):
    connection_ids = [uuid4() for _ in range(50)]
    with engine.connect() as conn:
        found = conn.execute(
            text(f"SELECT {lane_sql('id')} FROM unnest(CAST(:ids AS uuid[])) WITH ORDINALITY AS t(id, n)"
                 " ORDER BY n"),
            {"ids": connection_ids},
        )  # fmt: skip
        assert list(found.scalars()) == [lane_of(id_) for id_ in connection_ids]


def test_a_replay_links_and_settles_what_was(engine, organization_id):
    pairs = {(uuid4(), uuid4()) for _ in range(2)}
    outcomes = [(envelope_id, "settled", None) for envelope_id, _ in pairs]
    with engine.connect() as conn:
        for is_again in (False, True):
            link = envelopes.ensure_links if is_again else envelopes.insert_new_links
            link(Tx(conn, organization_id), pairs)
            ready.settle(Tx(conn, organization_id), outcomes, is_replay=is_again)
        assert (count(conn, "envelope_records"), count(conn, "outcomes")) == (2, 2)


def test_a_statement_is_one_row_however_often_it_is_made(engine, organization_id):
    def said(status, address=ADDRESS, purpose="marketing"):
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

    opted_in, opted_out = said("opted_in"), said("opted_out")
    without = said("opted_in", None)
    with engine.connect() as conn:
        assert append(conn, opted_in, without, said("opted_in")) == [True, True, True]
        assert append(conn, opted_out, opted_in, without) == [True, False, False]
        assert append(conn, opted_in, said("opted_in", purpose="transactional")) == [False, True]
        assert append(conn, opted_in, opted_out, without) == [False, False, False]
        assert count(conn, "consents") == 4
