"""Regroup: a store of the release before, upgraded, is like a store that has always had today's rules."""

from datetime import UTC, datetime, timedelta

import pytest
import structlog
from sqlalchemy import text

from tests.worker.api.shops import now
from worker.files.export_json import canonical
from worker.inbox.drain import drain
from worker.store import changes, contacts, db
from worker.store.db import Tx
from worker.store.lanes import lane_of
from worker.upgrade import regroup as module
from worker.upgrade.regroup import regroup

E1, E2, E3, E4, E5 = (f"{name}@example.com" for name in ("ayu", "budi", "citra", "dewi", "eka"))
P1, P2, P3, P4, P5 = (f"+628127350910{n}" for n in range(5))


def exported(engine, organization_id):
    with db.snapshot(engine) as conn:
        return b"".join(canonical(Tx(conn, organization_id)))


@pytest.fixture(autouse=True)
def silent(monkeypatch):
    """Silence the drain. An earlier test may have sent its log to a stream, and closed the stream."""
    monkeypatch.setattr("worker.inbox.drain.log", structlog.ReturnLogger())


def fresh(before, engine, organization_id):
    """Feed the envelopes that the release before kept into a store of today."""
    with engine.begin() as conn:
        for row in before._connections.values():
            conn.execute(
                text("""INSERT INTO connections (organization_id, id, connector, source, options, approved_fields)
                        VALUES (:organization_id, :id, :connector, :source, CAST(:options AS jsonb), :approved)"""),
                {
                    "organization_id": organization_id,
                    "id": row.id,
                    "connector": row.connector,
                    "source": row.source,
                    "options": db.json(dict(row.options)),
                    "approved": sorted(row.approved_fields),
                },
            )
    for row in before.envelopes:
        with engine.begin() as conn:
            before_of = before.organization_id
            before.organization_id = organization_id
            before_rows, before.envelopes = before.envelopes, [row]
            before._write_envelopes(conn)
            before.envelopes, before.organization_id = before_rows, before_of
            conn.execute(
                text("""INSERT INTO ready (organization_id, envelope_id, connection_id, lane)
                        VALUES (:organization_id, :id, :connection_id, :lane)"""),
                {
                    "organization_id": organization_id,
                    "id": row.id,
                    "connection_id": row.connection_id,
                    "lane": lane_of(row.connection_id),
                },
            )
    for lane in {lane_of(row.connection_id) for row in before.envelopes}:
        done = drain(engine, lane, budget_s=60)
        assert (done.parked, done.postponed) == (0, 0)


def a_dozen_people(before):
    """People of whom each shows a rule that has changed; return what the release before called them."""
    shop, eu, woo = before.shop, before.eu, before.woo
    # one person in two shops
    shop.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=0)
    woo.seen("1", email=E1, phone=P1, name="Ayu Lestari", at=1, newsletter=True)
    shop.consent("1", "email", "unsubscribed", E1, at=20)
    # two people with one number
    shop.seen("2", email=E2, phone=P2, name="Budi Santoso", at=2)
    eu.seen("2", email="budi.office@example.com", phone=P2, name="Zahra Wijaya", at=3)
    eu.consent("2", "email", "unsubscribed", "budi.office@example.com", at=5)
    shop.consent("2", "email", "subscribed", E2, at=4)
    # a guest who is somebody else
    shop.seen("3", phone=P3, name="Citra Dewi", at=4)
    shop.guest(email="mallory@example.com", phone=P3, name="Mallory", at=9)
    # a guest who is a customer
    shop.seen("4", email=E4, name="Dewi Sari", at=5)
    woo.guest(email=E4, phone=P4, name="Dewi Sari", at=10)
    # somebody who was deleted, and said no before
    woo.seen("5", email=E5, phone=P5, name="Eka Putra", at=6, newsletter=True)
    shop.seen("5", email=E5, phone=P5, name="Eka Putra", at=7)
    shop.consent("5", "sms", "unsubscribed", P5, at=8)
    shop.deleted("5", at=30)
    # somebody who was only mentioned
    shop.tagged("6", "vip", at=8)
    # somebody whom the API has edited
    shop.seen("7", email="fajar@example.com", name="Fajar", at=9)
    before.edited("shop:7", "shop:7", name="Fajar Le\u0301on")
    # two customers whom the shop has merged
    shop.seen("8", email="gita@example.com", name="Gita", at=10)
    shop.seen("9", email="gita.old@example.com", name="Gita", at=11)
    shop.merged(kept="8", lost="9", at=20)
    # a clock that is ahead
    eu.seen("10", email="hana@example.com", name="Hana Ahead", at=now(days=400), created=0)
    eu.seen("10", email="hana@example.com", name="Hana Right", at=20)
    eu.consent("10", "email", "subscribed", "hana@example.com", at=now(days=400))
    eu.consent("10", "email", "unsubscribed", "hana@example.com", at=40)
    before.write(
        ["shop:1", "woo:1"],
        ["shop:2", "eu:2"],
        ["shop:3", "shop:guest:email:mallory@example.com"],
        ["shop:4", f"woo:guest:email:{E4}"],
        ["woo:5"],
        ["shop:6"],
        ["shop:7", "api:cnt_shop:7"],
        ["shop:8", "shop:9"],
        ["eu:10"],
        lost=["shop:9"],
    )


def rows_of(engine, *tables):
    with engine.connect() as conn:
        return {
            table: sorted(map(str, conn.execute(text(f"SELECT to_jsonb(t) FROM {table} t")).scalars()))
            for table in tables
        }


STORED = (
    "records", "claims", "contacts", "contact_aliases", "decisions", "consents", "suppressions", "changes",
    "former_contacts", "contact_terms", "notes", "envelopes",
)  # fmt: skip


def test_an_upgraded_store_is_like_one_that_always_had_the_rules(before, migrate, old_engine, engine, organization_id):
    a_dozen_people(before)
    migrate()

    regroup(old_engine, before.organization_id, is_dry=False)
    fresh(before, engine, organization_id)

    assert exported(old_engine, before.organization_id) == exported(engine, organization_id)


def test_every_id_answers_with_the_same_person(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()
    regroup(old_engine, before.organization_id, is_dry=False)

    with old_engine.connect() as conn:
        found = contacts.by_any_ids(Tx(conn, before.organization_id), list(before.ids.values()))
    led = {name: found[id_].external_id for name, id_ in before.ids.items() if id_ in found}
    assert led == {
        "shop:1": "1",
        "woo:1": "1",
        "shop:2": "2",
        "eu:2": "2",
        "shop:3": "3",
        "shop:guest:email:mallory@example.com": "guest:email:mallory@example.com",
        "shop:4": "4",
        f"woo:guest:email:{E4}": "4",
        "woo:5": "5",
        "shop:7": "7",
        "api:cnt_shop:7": "7",
        "shop:8": "8",
        "shop:9": "8",
        "eu:10": "10",
    }
    assert {before.ids["shop:2"], before.ids["shop:3"]} <= {row.id for row in found.values()}


def test_who_stays_together_keeps_the_id_and_is_silent_in_the_feed(before, migrate, old_engine):
    before.shop.seen("1", email=E1, phone=P1, name="Ayu", at=0)
    before.woo.seen("1", email=E1, name="Ayu", at=1, newsletter=True)
    ids_ = before.write(["shop:1", "woo:1"])
    migrate()

    report = regroup(old_engine, before.organization_id, is_dry=False)

    with old_engine.connect() as conn:
        (contact,) = contacts.by_ids(Tx(conn, before.organization_id), [ids_["shop:1"]]).values()
    assert contact.updated_at < datetime.now(UTC) - timedelta(minutes=30)
    assert contact.shown == {
        "consent:email:marketing": "opted_in",
        "identity:external_id:woo:1": "owned",
    }
    assert (report.entries, *report.counts.values()) == (0, 0, 0, 0, 0, 0)


def test_the_report_counts_people_and_names_them(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()

    report = regroup(old_engine, before.organization_id, is_dry=True)

    def shown(name):
        return f"cnt_{before.ids[name].hex}"

    assert report.examples["part"] == [
        {"contact_id": shown("shop:2"), "people": 2},
        {"contact_id": shown("shop:3"), "people": 2},
    ]
    assert report.examples["go"] == [shown("shop:6")]
    assert report.examples["more"] == [{"contact_id": shown("shop:2"), "on": ["email:marketing"]}]
    assert report.examples["less"] == [{"contact_id": shown("eu:10"), "on": ["email:marketing"]}]
    assert report.counts == {"part": 2, "meet": 0, "go": 1, "more": 1, "less": 1}
    assert report.contacts == 9


def test_a_dry_run_changes_nothing_and_tells_what_the_run_then_does(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()
    stored = rows_of(old_engine, *STORED, "upgrades", "loose_ties")

    told = regroup(old_engine, before.organization_id, is_dry=True)

    assert rows_of(old_engine, *STORED, "upgrades", "loose_ties") == stored
    done = regroup(old_engine, before.organization_id, is_dry=False)
    assert told.shown() == done.shown()


def test_a_second_run_changes_nothing(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()
    regroup(old_engine, before.organization_id, is_dry=False)
    stored = rows_of(old_engine, *STORED)

    assert regroup(old_engine, before.organization_id, is_dry=False) is None

    assert rows_of(old_engine, *STORED) == stored


@pytest.mark.parametrize("batches", [1, 2, 4])
def test_a_run_that_was_killed_goes_on(before, migrate, old_engine, engine, organization_id, monkeypatch, batches):
    a_dozen_people(before)
    migrate()
    monkeypatch.setattr(module, "BATCH", 3)
    seen = []

    def kill(report):
        seen.append(report)
        if len(seen) == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        regroup(old_engine, before.organization_id, is_dry=False, tell=kill)
    report = regroup(old_engine, before.organization_id, is_dry=False)

    fresh(before, engine, organization_id)
    assert exported(old_engine, before.organization_id) == exported(engine, organization_id)
    assert report.counts == {"part": 2, "meet": 0, "go": 1, "more": 1, "less": 1}


def test_small_batches_come_to_the_same_as_one(before, migrate, old_engine, engine, organization_id, monkeypatch):
    a_dozen_people(before)
    migrate()
    monkeypatch.setattr(module, "BATCH", 1)

    report = regroup(old_engine, before.organization_id, is_dry=True)
    regroup(old_engine, before.organization_id, is_dry=False)

    fresh(before, engine, organization_id)
    assert exported(old_engine, before.organization_id) == exported(engine, organization_id)
    assert report.counts == {"part": 2, "meet": 0, "go": 1, "more": 1, "less": 1}


def test_the_feed_tells_of_those_who_show_something_else_and_of_those_who_went(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()
    began = datetime.now(UTC)
    regroup(old_engine, before.organization_id, is_dry=False)

    with old_engine.connect() as conn:
        told = set(conn.execute(text("SELECT id FROM contacts WHERE updated_at > :at"), {"at": began}).scalars())
        gone = conn.execute(text("SELECT id, merged_into FROM former_contacts")).all()
        logged = dict(
            conn.execute(text("SELECT contact_id, kind FROM changes WHERE changed_at > :at"), {"at": began}).all()
        )
    silent = {before.ids[name] for name in ("woo:5", "shop:1", "shop:8")}
    assert not silent & told
    assert {before.ids[name] for name in ("shop:2", "shop:3", "eu:10")} <= told
    assert gone == [(before.ids["shop:6"], None)]
    assert told | {before.ids["shop:6"]} == logged.keys()
    assert logged[before.ids["shop:6"]] == "removed"


def test_an_entry_of_the_timeline_names_no_envelope_as_its_cause(before, migrate, old_engine):
    a_dozen_people(before)
    migrate()
    regroup(old_engine, before.organization_id, is_dry=False)

    with old_engine.connect() as conn:
        tx = Tx(conn, before.organization_id)
        parted = changes.page(tx, [before.ids["shop:2"]], None, 9)
        gone = changes.page(tx, [before.ids["shop:6"]], None, 9)
    (entry,) = parted
    assert (entry.kind, entry.causes) == ("changed", [])
    assert entry.details["consent:email:marketing"][:2] == ("opted_out", "opted_in")
    assert [(one.kind, one.details, one.causes) for one in gone] == [("removed", {}, [])]


def test_a_store_of_today_needs_no_upgrade(engine, organization_id):
    assert regroup(engine, organization_id, is_dry=False) is None
