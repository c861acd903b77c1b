"""Contacts are stored as they are."""

from uuid import uuid4

from worker.domain.rows import ContactRow
from worker.store import contacts
from worker.store.db import Tx

TAGS = [
    "vip",
    "",
    "a b",
    "a,b",
    '"quoted"',
    "back\\slash",
    "{}",
    "NULL",
    "null",
    "ñandú",
    " edge ",
    "line\nbreak",
    "\\x41",
]


def a_contact(id_, tags):
    return contacts.encode(id_, ContactRow(id_, "Emma", None, None, "shop", "1", {}, tags, id_), id_)


def test_tags_are_kept_whatever_they_are_made_of(engine, organization_id):
    ids = [uuid4(), uuid4()]
    with engine.connect() as conn:
        contacts.insert_new(Tx(conn, organization_id), [a_contact(ids[0], TAGS), a_contact(ids[1], [])])
        inserted = [contacts.by_ids(Tx(conn, organization_id), ids)[id_].tags for id_ in ids]
        contacts.update(Tx(conn, organization_id), [a_contact(ids[0], []), a_contact(ids[1], TAGS)])
        updated = [contacts.by_ids(Tx(conn, organization_id), ids)[id_].tags for id_ in ids]

    assert (inserted, updated) == ([TAGS, []], [[], TAGS])
