"""Envelopes: each delivery is kept once, and linked to its records."""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from worker.store import envelopes


def test_a_delivery_kept_twice_is_one_envelope(tx, an_envelope):
    first, second = envelopes.keep(tx.conn, [an_envelope("d1"), an_envelope("d1")])
    (third,) = envelopes.keep(tx.conn, [an_envelope("d1", b"[]")])

    assert first.envelope_id == second.envelope_id == third.envelope_id
    assert [kept.is_duplicate for kept in (first, second, third)] == [False, True, True]
    assert [kept.is_mismatch for kept in (first, second, third)] == [False, False, True]
    assert tx.conn.execute(text("SELECT count(*) FROM ready")).scalar_one() == 1


def test_an_insert_whose_answer_got_lost_is_no_duplicate(tx, an_envelope):
    envelope = an_envelope()
    envelopes.keep(tx.conn, [envelope])

    assert envelopes.keep(tx.conn, [envelope]) == [(envelope.id, False, False)]


def test_answers_stand_in_the_order_of_the_envelopes(tx, an_envelope):
    incoming = [an_envelope(id_) for id_ in ("c", "a", "b")]

    assert [kept.envelope_id for kept in envelopes.keep(tx.conn, incoming)] == [envelope.id for envelope in incoming]


def test_links_are_added_once(tx):
    pairs = [(uuid4(), uuid4()), (uuid4(), uuid4())]
    envelopes.insert_new_links(tx, pairs)
    envelopes.ensure_links(tx, pairs)
    (envelope_id, record_id), (_, other_id) = pairs

    assert envelopes.linked_records(tx, [envelope_id]) == [record_id]
    envelopes.delete_links(tx, [envelope_id])
    assert envelopes.still_linked(tx, [record_id, other_id]) == {other_id}
    with pytest.raises(IntegrityError):
        envelopes.insert_new_links(tx, pairs)


def test_marks_are_found_in_their_column_and_where_an_earlier_release_kept_them(tx, an_envelope):
    mark = ("file-run", "run_1")
    marked, old, other = an_envelope(), an_envelope(), an_envelope()
    envelopes.keep(tx.conn, [marked._replace(marks='[["file-run","run_1"]]')])
    envelopes.keep(tx.conn, [old._replace(headers='[["file-run","run_1"]]')])
    envelopes.keep(tx.conn, [other._replace(marks='[["file-run","run_2"]]', headers='[["file-run","run_1"]]')])
    since = min(marked.id, old.id, other.id)

    renamed = envelopes.rename(tx, marked.connection_id, since, mark=mark, topic="seen", to="undone")

    assert sorted(renamed) == sorted([marked.id, old.id])
