"""Correct: ceilings of envelopes, rows of the ledgers, links of edits, as they are stored."""

import pytest
from sqlalchemy import text

from tests.worker.api.shops import now
from worker.domain.registers import ABOUT
from worker.domain.times import microseconds
from worker.store import consents, decisions, records, suppressions
from worker.store.db import Tx
from worker.upgrade.regroup import regroup

E1, E2 = "ayu@example.com", "mallory@example.com"
GUEST = f"guest:email:{E2}"


@pytest.fixture
def upgraded(before, migrate, old_engine):
    """Upgrade the store; yields what loads from it."""
    connections = []

    def upgraded():
        migrate()
        regroup(old_engine, before.organization_id, is_dry=False)
        connections.append(old_engine.connect())
        return Tx(connections[0], before.organization_id)

    yield upgraded
    for connection in connections:
        connection.close()


def latest(before):
    """The latest time that the last envelope can state, microseconds."""
    return microseconds(before.envelopes[-1].received_at) + 300_000_000


def test_a_no_of_a_clock_ahead_counts_from_the_ceiling_and_a_yes_is_a_baseline(before, upgraded):
    before.shop.seen("1", email=E1, at=0)
    before.shop.consent("1", "email", "subscribed", E1, at=now(days=9))
    before.shop.consent("1", "sms", "unsubscribed", "+6281273509100", at=now(days=9))
    before.write(["shop:1"])

    found = {entry.status: entry.occurred for entry in consents.page(upgraded(), b"", 9)}

    assert found["opted_in"] == 0
    assert abs(found["opted_out"] - latest(before)) < 1_000_000


def test_two_yeses_of_a_clock_ahead_are_one_baseline(before, upgraded):
    before.shop.seen("1", email=E1, at=0)
    for days in (9, 10):
        before.shop.consent("1", "email", "subscribed", E1, at=now(days=days))
    before.write(["shop:1"])

    (entry,) = [one for one in consents.page(upgraded(), b"", 9) if one.status == "opted_in"]

    assert entry.occurred == 0


def test_what_nobody_holds_is_corrected_too(before, upgraded):
    before.shop.consent("9", "email", "unsubscribed", "nobody@example.com", at=now(days=9))
    before.write(["shop:9"])

    tx = upgraded()

    (entry,) = consents.page(tx, b"", 9)
    assert abs(entry.occurred - latest(before)) < 1_000_000
    assert all(abs(one.occurred - latest(before)) < 1_000_000 for _, one in suppressions.page(tx, b"", 9))


def test_a_guests_yes_is_the_guests(before, upgraded):
    before.shop.guest(email=E2, name="Mallory", at=0)
    before.write([f"shop:{GUEST}"])
    envelope_id = before.envelopes[0].id
    with before.engine.begin() as conn:
        before._run(
            conn,
            """INSERT INTO consents (organization_id, id, statement_key, channel, purpose, address, status, occurred_at,
                                     source, external_id, evidence, envelope_id)
               VALUES (:organization_id, :envelope_id, decode(md5('x'), 'hex'), 'email', 'marketing', :address,
                       'opted_in', now() - interval '1 day', 'shop', '', '{}', :envelope_id)""",
            envelope_id=envelope_id,
            address=E2,
        )

    tx = upgraded()

    (entry,) = consents.page(tx, b"", 9)
    assert entry.ref == ("shop", GUEST)
    shown = tx.conn.execute(text("SELECT shown FROM contacts")).scalar_one()
    assert shown == {"consent:email:marketing": "opted_in"}


def test_an_edit_names_whom_it_is_about_in_place_of_the_link(before, upgraded):
    before.shop.seen("1", email=E1, name="Ayu", at=0)
    before.woo.seen("1", email=E1, name="Ayu", at=1)
    before.edited("x", "woo:1", name="Edited")
    before.write(["shop:1", "woo:1", "api:cnt_x"])

    tx = upgraded()

    (edit,) = records.by_refs(tx, [("api", "cnt_x")])
    assert edit.record.registers[ABOUT][1] == [["woo", "1"], ["shop", "1"]]
    found = decisions.by_refs(tx, [edit.ref])
    assert {(one.kind, one.a) for one in found} == {("about", ("woo", "1")), ("about", ("shop", "1"))}


def test_a_merge_in_the_future_has_the_time_of_its_ceiling(before, upgraded):
    before.shop.seen("1", email=E1, at=0)
    before.shop.seen("2", email=E2, at=1)
    before.shop.merged(kept="1", lost="2", at=now(days=9))
    before.write(["shop:1", "shop:2"], lost=["shop:2"])

    tx = upgraded()

    (decision,) = decisions.by_refs(tx, [("shop", "1")])
    assert abs(decision.occurred - latest(before)) < 1_000_000
    (lost,) = records.by_refs(tx, [("shop", "2")])
    assert lost.merged == decision.occurred


def test_kinds_follow_from_names(before, upgraded):
    before.shop.guest(email=E2, name="Mallory", at=0)
    before.edited("x", f"shop:{GUEST}", name="Edited")
    before.write([f"shop:{GUEST}", "api:cnt_x"])
    with before.engine.begin() as conn:
        before._run(conn, "UPDATE records SET kind = 'customer' WHERE source = 'shop'")

    kinds = dict(upgraded().conn.execute(text("SELECT external_id, kind FROM records")).all())

    assert kinds == {GUEST: "guest", "cnt_x": "edit"}
