"""Deletions through the API: what comes of them does not depend on what arrives last, or on how it is batched."""

import itertools
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import event, text

from connectors.contract import ProfileRemoved
from tests.conftest import empty
from tests.worker.histories import EMAILS, PHONES, T0, a_profile, statements_of
from tests.worker.pipeline.test_apply import run, stored
from worker import vault
from worker.domain.api_writes import DeletedAddresses, delivery_id
from worker.domain.normalise import ceiling_of, normalise_api_write
from worker.store import organizations, records
from worker.store.db import Tx

EMAIL, PHONE = ("email", EMAILS[0]), ("phone", PHONES[0])


@pytest.fixture
def a_deletion(engine):
    """State that the contact of customer 1 of source a was deleted; the keys for hashes are set with the engine."""

    def a_deletion(organization_id, *idents, minute=50, spared=()):
        sent_at, envelope_id = T0 + timedelta(minutes=minute), uuid4()
        digests_of = vault.digests(organization_id)
        return normalise_api_write(
            envelope_id,
            [("a", ProfileRemoved(external_id="1", occurred_at=None))],
            deletion=DeletedAddresses(tuple(digests_of(ident)[0].hex() for ident in idents), tuple(spared)),
            sent_at=sent_at,
            delivery_id=delivery_id(envelope_id),
            ceiling=ceiling_of(sent_at),
        )

    return a_deletion


def lives(engine):
    """The records that live, by a read of the table itself and of the records in it."""
    (_, (rows, _)) = stored(engine)
    with engine.connect() as conn:
        shown = {tuple(row) for row in conn.execute(text("SELECT source, external_id FROM records WHERE is_live"))}
    assert shown == {row.ref for row in rows if row.record.is_live}
    return shown


def in_every_order(engine, make):
    """Apply statements in every order, alone and in one batch; return the one outcome, and what lives."""
    outcomes = []
    for order in itertools.permutations(range(len(make()))):
        for is_batch in (False, True):
            empty(engine)
            made = make()
            arriving = [made[number] for number in order]
            for batch in [arriving] if is_batch else [[one] for one in arriving]:
                run(engine, batch)
            outcomes.append((stored(engine)[0], lives(engine)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    return outcomes[0][1]


def test_a_record_of_a_deleted_address_stays_removed_in_every_order(engine, a_deletion):
    def make():
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
        return [
            statements_of("a", a_profile("1", email=EMAILS[0], phone=PHONES[1]), minute=5, number=1),
            statements_of("a", a_profile("1", email=EMAILS[1], at=3), minute=5, number=2),
            statements_of("b", a_profile("2", email=EMAILS[0], phone=PHONES[0], at=2), minute=5, number=3),
            a_deletion(organization_id, EMAIL),
        ]

    assert in_every_order(engine, make) == set()


def test_a_newer_statement_brings_a_record_back_in_every_order(engine, a_deletion):
    def make():
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
        return [
            statements_of("a", a_profile("1", email=EMAILS[0]), minute=5, number=1),
            statements_of("b", a_profile("2", email=EMAILS[0], at=2), minute=5, number=3),
            statements_of("b", a_profile("2", email=EMAILS[0], at=55), minute=56, number=4),
            a_deletion(organization_id, EMAIL),
        ]

    assert in_every_order(engine, make) == {("b", "2")}


def test_who_is_spared_and_who_has_another_address_live_in_every_order(engine, a_deletion):
    def make():
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
        return [
            statements_of("a", a_profile("1", phone=PHONES[0], email=EMAILS[0]), minute=5, number=1),
            statements_of("b", a_profile("2", phone=PHONES[0], at=2, name="Budi Santoso"), minute=5, number=3),
            statements_of("b", a_profile("3", phone=PHONES[1], at=2), minute=5, number=4),
            a_deletion(organization_id, EMAIL, PHONE, spared=[("b", "2")]),
        ]

    assert in_every_order(engine, make) == {("b", "2"), ("b", "3")}


def test_who_is_removed_by_an_address_is_logged_with_the_deletion(engine, organization_id, a_deletion):
    run(engine, [statements_of("b", a_profile("2", email=EMAILS[0], at=2), minute=5, number=1)])
    with engine.connect() as conn:
        (row,) = records.by_refs(Tx(conn, organization_id), [("b", "2")])
    deletion = a_deletion(organization_id, EMAIL)
    run(engine, [deletion])
    assert lives(engine) == {("b", "2")}  # nobody knows yet whose hash that is

    run(engine, [statements_of("a", a_profile("1", email=EMAILS[0], at=3), minute=5, number=2)])
    assert lives(engine) == set()
    with engine.connect() as conn:
        newest = "SELECT kind, causes FROM changes WHERE contact_id = :id ORDER BY changes.id DESC LIMIT 1"
        kind, causes = conn.execute(text(newest), {"id": row.contact_id}).one()
    assert (kind, deletion.envelope_id in causes) == ("removed", True)


def test_a_batch_looks_once_and_only_where_somebody_was_deleted(engine, organization_id, a_deletion):
    looked = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_conn, _cursor, statement, *_):
        looked.extend(["look-up"] if "JOIN deletions" in statement else [])

    try:
        batch = [statements_of("b", a_profile(str(n), email=f"n{n}@example.com"), number=n) for n in range(20)]
        run(engine, batch)
        assert looked == []
        run(engine, [a_deletion(organization_id, EMAIL)])
        looked.clear()

        run(engine, [statements_of("b", a_profile(str(n), email=f"m{n}@example.com", at=3)) for n in range(20)])
        assert looked == ["look-up"]
    finally:
        event.remove(engine, "before_cursor_execute", note)
