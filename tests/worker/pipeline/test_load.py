"""Load: a batch loads its components whole, and no other records."""

from datetime import timedelta

import pytest
from sqlalchemy import event, text

from connectors.contract import ConsentStated, ProfileRemoved
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, statements_of
from tests.worker.pipeline.test_apply import run
from worker import ids
from worker.domain.changeset import changeset
from worker.domain.concerned import Concerned, concerned
from worker.domain.grouping import Limits
from worker.pipeline.load import is_current, load, load_ledgers
from worker.pipeline.write import ENCODER
from worker.store.db import Tx

LIMITS = Limits(10, 200)


@pytest.fixture
def tx(engine, organization_id):
    with engine.connect() as conn:
        yield Tx(conn, organization_id)


def loaded(tx, *statements, limits=LIMITS):
    return load(tx, statements, limits, ids.new)


def test_a_component_is_loaded_whole(engine, tx):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0], phone=PHONES[0]), number=1)])
    run(engine, [statements_of("b", a_profile("2", phone=PHONES[0], email=EMAILS[1]), number=2)])
    run(engine, [statements_of("c", a_profile("3", email=EMAILS[1]), number=3)])
    run(engine, [statements_of("c", a_profile("4", email=EMAILS[2]), number=4)])  # not connected to the others

    snapshot = loaded(tx, statements_of("a", a_profile("9", email=EMAILS[0]), number=5))

    assert set(snapshot.rows) == {("a", "9"), ("a", "1"), ("b", "2"), ("c", "3")}
    assert set(snapshot.contacts) == {row.contact_id for row in snapshot.rows.values()} - {None}


def test_the_claimants_of_an_identifier_that_a_record_drops_are_loaded(engine, tx):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[0]), number=2)])

    gone = ProfileRemoved(external_id="1", occurred_at=T0 + timedelta(minutes=1))
    snapshot = loaded(tx, statements_of("a", gone, minute=5, number=3))

    assert set(snapshot.rows) == {("a", "1"), ("b", "2")}


def test_a_record_that_repeats_itself_loads_no_other_record(engine, tx):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[0]), number=2)])

    snapshot = loaded(tx, statements_of("a", a_profile("1", email=EMAILS[0], at=3), minute=5, number=3))

    assert (snapshot.rows, snapshot.folded.changed) == ({}, {("a", "1")})


def test_an_identifier_of_a_crowd_leads_to_nobody_but_who_owns_it(engine, tx):
    limits = Limits(crowd=2, component=200)
    run(engine, [statements_of("a", a_profile(str(n), email=EMAILS[0]), number=n) for n in range(4)])

    snapshot = loaded(tx, statements_of("b", a_profile("9", email=EMAILS[0]), number=9), limits=limits)

    assert set(snapshot.rows) == {("b", "9"), ("a", "0")}  # it was no crowd when it got its owner
    assert snapshot.crowded == {("email", EMAILS[0])}


def test_the_number_of_sql_statements_does_not_grow_with_the_batch(engine, tx):
    def count(size):
        found = []

        def note(_conn, _cursor, statement, *_):
            found.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        loaded(tx, *(statements_of("a", a_profile(str(n), email=f"own{n}@example.com"), number=n) for n in range(size)))
        event.remove(engine, "before_cursor_execute", note)
        return len(found)

    assert count(1) == count(100)


def test_a_snapshot_is_outdated_once_another_writer_wrote_its_record(engine, tx):
    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0]), number=1)])
    snapshot = loaded(tx, statements_of("b", a_profile("2", email=EMAILS[0]), number=2))
    assert is_current(tx, snapshot)

    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0], note="x", at=1), minute=5, number=3)])

    assert not is_current(tx, snapshot)


def test_a_snapshot_is_outdated_once_another_record_claims_its_identifier(engine, tx):
    snapshot = loaded(tx, statements_of("a", a_profile("1", email=EMAILS[0]), number=1))
    assert is_current(tx, snapshot)

    run(engine, [statements_of("b", a_profile("2", email=EMAILS[0]), number=2)])

    assert not is_current(tx, snapshot)


def test_ledgers_hold_what_was_said_of_the_addresses_in_a_batch(engine, tx):
    def consent(status, at, number):
        stated = ConsentStated(
            external_id="1", channel="email", status=status, address=EMAILS[0], occurred_at=T0 + timedelta(minutes=at)
        )
        return statements_of("a", stated, minute=9, number=number)

    run(engine, [consent("opted_in", 1, 1), consent("opted_out", 2, 2)])

    snapshot = loaded(tx, consent("opted_in", 3, 3))
    about = concerned(changeset(snapshot, ENCODER))

    found = load_ledgers(tx, snapshot.stated, about).consents
    assert sorted(entry.status for entry in found) == ["opted_in", "opted_out"]
    nothing = loaded(tx, statements_of("a", a_profile("1"), number=4))
    assert load_ledgers(tx, nothing.stated, Concerned(changeset(nothing, ENCODER))).consents == ()
    assert tx.conn.execute(text("SELECT count(*) FROM consents")).scalar_one() == 2
