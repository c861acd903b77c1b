"""Aliases: an id is carried by one record, the last that it was given to."""

from uuid import UUID

from worker.store import contact_aliases
from worker.store.db import Tx


def test_an_id_is_carried_by_the_record_that_it_was_given_to_last(engine, organization_id):
    alias, other, first, second = (UUID(int=n) for n in range(1, 5))
    with engine.begin() as conn:
        tx = Tx(conn, organization_id)
        contact_aliases.ensure(tx, {})
        contact_aliases.ensure(tx, {alias: first, other: first})
        contact_aliases.ensure(tx, {alias: second})

        assert contact_aliases.of_records(tx, [first]) == {other: first}
        assert contact_aliases.of_records(tx, [second, other]) == {alias: second, other: first}
        assert contact_aliases.of_records(tx, []) == {}
