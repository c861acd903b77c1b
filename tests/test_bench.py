"""What the benchmark writes is what the worker would have written, or it would measure something else."""

from datetime import UTC, datetime

import orjson
import pytest
from sqlalchemy import text

from bench.against import compared
from bench.contacts import SOURCE, Population
from bench.load import get, request
from connectors.shopify.simulator.shop import signed
from worker import ids
from worker.inbox.drain import drain
from worker.inbox.ingest import accept, source_of
from worker.store import connections, contacts, db, envelopes, organizations
from worker.store.db import Tx
from worker.store.lanes import lane_of

SECRET, DOMAIN = "bench-secret", "bench.myshopify.com"
SIZE = 60


@pytest.fixture
def people(engine, organization_id):
    population = Population(engine, organization_id, SIZE)
    population.grow(SIZE)
    return population


def connect(engine, organization_id):
    with engine.begin() as conn:
        id_ = connections.insert_new(
            Tx(conn, organization_id),
            connector="shopify",
            source=SOURCE,
            options={"shop_domain": DOMAIN},
            region=None,
            priority=100,
            webhook_secrets=[SECRET],
        )
        return source_of(connections.by_id(conn, id_))


def webhook(engine, source, person, *, tags=None, seconds_later=0):
    """Say about a person what the shop said when the contact was made."""

    def at(ms):
        return datetime.fromtimestamp(ms / 1000 + seconds_later, UTC).isoformat().replace("+00:00", "Z")

    address = {
        "zip": "40202",
        "city": "Harbour",
        "phone": "555-555-SHIP",
        "address1": "14 Lantern Row",
        "country_code": "US",
        "province_code": "KY",
    }
    body = {
        "id": int(person.ref[1]),
        "created_at": datetime.fromtimestamp(person.born_ms / 1000 - 60, UTC).isoformat(),
        "updated_at": at(person.born_ms - 1000),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "phone": person.phone,
        "state": "disabled",
        "note": None,
        "verified_email": True,
        "tax_exempt": False,
        "tags": ", ".join(person.tags if tags is None else tags),
        "currency": "USD",
        "default_address": address,
    }
    if person.has_consent:
        body["email_marketing_consent"] = {
            "state": "subscribed",
            "opt_in_level": "single_opt_in",
            "consent_updated_at": at(person.born_ms - 1000),
        }
    delivery = signed(
        orjson.dumps(body),
        SECRET,
        domain=DOMAIN,
        webhook_id=f"{person.number}-{seconds_later}",
        sent_at=at(person.born_ms),
    )
    with engine.begin() as conn:
        envelopes.keep(conn, [accept(source, list(delivery.headers.items()), delivery.body)])
    drain(engine, lane_of(source.id), budget_s=10)


def stored(engine, organization_id, external_id):
    """Everything about a customer but ids, and the times and envelopes that no two stores share."""

    def read(conn, statement, **more):
        asked = {"organization_id": organization_id, "external_id": external_id, **more}
        return [tuple(row) for row in conn.execute(text(statement), asked)]

    with engine.connect() as conn:
        (record,) = read(
            conn,
            "SELECT id, kind, state, is_live, is_lost, is_oversize FROM records"
            " WHERE organization_id = :organization_id AND external_id = :external_id",
        )
        contact = contacts.by_any_id(Tx(conn, organization_id), record[0])
        stamps = [[occurred, position] for occurred, _, _, position, _ in record[2].pop("s")]
        claimed = read(
            conn,
            "SELECT type, key, source, is_customer, value, is_verified, is_owner, is_contested FROM claims"
            " WHERE organization_id = :organization_id AND record_id = :id ORDER BY 1, 2",
            id=record[0],
        )
        terms = read(
            conn,
            "SELECT term FROM contact_terms WHERE organization_id = :organization_id AND contact_id = :id ORDER BY 1",
            id=record[0],
        )
        consents = read(
            conn,
            "SELECT statement_key, channel, purpose, address, status, occurred_at, method, evidence FROM consents"
            " WHERE organization_id = :organization_id AND external_id = :external_id ORDER BY 1",
        )
        changes = read(
            conn,
            "SELECT kind, details FROM changes WHERE organization_id = :organization_id AND contact_id = :id",
            id=record[0],
        )
    shown = (contact.name, contact.email, contact.phone_number, contact.custom_fields, contact.tags)
    is_first = contact.id == contact.first_id == record[0]
    return record[1:], stamps, claimed, terms, consents, changes, shown, is_first


def test_it_is_what_the_worker_writes_for_the_same_webhooks(engine, people):
    with engine.begin() as conn:
        other = organizations.ensure(conn, "other")
    source = connect(engine, other)
    for number in (0, 3, 7, 13):
        person = people.person(number)
        webhook(engine, source, person)
        assert stored(engine, people.organization_id, person.ref[1]) == stored(engine, other, person.ref[1])


def test_every_person_is_found_consistent(engine, people):
    people.check(map(people.person, range(SIZE)))
    with pytest.raises(ValueError, match="is not stored"):
        people.check([people.person(SIZE)])


def test_a_webhook_about_one_of_them_changes_that_contact(engine, people):
    source = connect(engine, people.organization_id)
    person = people.person(20)
    webhook(engine, source, person, tags=["new"], seconds_later=5)
    with db.snapshot(engine) as conn:
        assert contacts.count(Tx(conn, people.organization_id)) == SIZE
        assert contacts.by_any_id(Tx(conn, people.organization_id), person.id).tags == ["new"]
    webhook(engine, source, person, tags=["new"], seconds_later=9)
    kinds = text("SELECT kind FROM changes WHERE contact_id = :id ORDER BY id")
    with engine.connect() as conn:
        assert conn.execute(kinds, {"id": person.id}).scalars().all() == ["created", "changed"]


def test_it_grows_where_it_ended(engine, organization_id):
    people = Population(engine, organization_id, SIZE)
    people.grow(20)
    people.grow(SIZE)
    people.check(map(people.person, range(SIZE)))
    assert ids.show(ids.CONTACT, people.person(1).id) < ids.show(ids.CONTACT, people.person(2).id)


def test_requests_are_whole():
    assert get("/v1", {"X-Api-Key": "k"}) == b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: k\r\n\r\n"
    assert request("/v1", {}, b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")


def test_a_machine_that_changes_its_pace_leaves_the_ratio_alone():
    rounds = [{"old": {"per_s": pace}, "new": {"per_s": 2 * pace}} for pace in (1000, 300, 700)]
    rounds.append({"old": {"per_s": 500}, "new": {"per_s": 100}})  # and one that was disturbed

    assert compared(rounds, "per_s") == {"old": 600, "new": 1000, "ratio": 2}
