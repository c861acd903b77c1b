"""Explain: what the store says about who is one person, read only and in a bounded number of SQL statements.

What each reason looks like to a caller is told in ``tests/worker/api/test_one_person_explained.py``.
"""

from contextlib import contextmanager

import pytest
from sqlalchemy import event

from tests.worker.pipeline.test_contact_view import a_profile
from worker.pipeline.explain import explain, standings
from worker.store import contact_lists, db
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

PHONE = "+6281273509101"
NAMES = ["Anna Berg", "Boris Klein", "Chiara Rossi", "Dewi Lestari"]


@contextmanager
def seeing(engine, organization_id):
    with db.snapshot(engine) as conn:
        yield Tx(conn, organization_id)


@pytest.fixture
def strangers(feed):
    """Four people at the number of an office, each with an e-mail that another source knows too."""
    for number, name in enumerate(NAMES):
        feed(
            f"shop{number}",
            a_profile(f"{number}", phone=PHONE, email=f"p{number}@example.com", name=name, created=number),
        )
        feed(f"crm{number}", a_profile(f"{number}", email=f"p{number}@example.com", created=9))


def contacts(tx):
    return [row.id for row in contact_lists.page(tx, ContactFilter(), None, 100)]


def test_what_keeps_two_contacts_apart_is_the_same_seen_from_both(strangers, engine, organization_id):
    with seeing(engine, organization_id) as tx:
        found = explain(tx, contacts(tx))

    assert len(found) == len(NAMES)
    seen = {(own, one.contact_id, one.ident, one.cause) for own, told in found.items() for one in told.apart}
    assert len(seen) == 12
    assert seen == {(other, own, ident, cause) for own, other, ident, cause in seen}
    assert {one.cause for told in found.values() for one in told.apart} == {"names disagree"}
    assert all(len(told.joined) == 1 and len(told.joined[0].refs) == 2 for told in found.values())


def test_an_explanation_of_one_is_the_same_as_of_many(strangers, engine, organization_id):
    with seeing(engine, organization_id) as tx:
        together = explain(tx, contacts(tx))
        one_by_one = {id_: explain(tx, [id_])[id_] for id_ in contacts(tx)}

    assert together == one_by_one


def test_statements_do_not_grow_with_the_contacts(strangers, engine, organization_id):
    def statements(ids):
        ran = []
        event.listen(engine, "before_cursor_execute", lambda *args: ran.append(args[2]))
        explain(tx, ids)
        return len(ran)

    with seeing(engine, organization_id) as tx:
        ids = contacts(tx)
        few, many = statements(ids[:1]), statements(ids)

    assert many <= few


def test_a_value_that_leads_to_nobody_has_a_standing(strangers, engine, organization_id):
    unknown, nobodys = ("email", "who@example.com"), ("phone", "+620000000000")

    with seeing(engine, organization_id) as tx:
        assert standings(tx, {unknown}) == {unknown: "unknown"}
        assert standings(tx, set()) == {}
        assert set(standings(tx, {unknown, nobodys})) == {unknown, nobodys}
