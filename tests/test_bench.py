"""Bench: it fills a store exactly as the worker would. Otherwise it would measure something else."""

from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, datetime

import orjson
import pytest
from sqlalchemy import text

from bench.against import compared
from bench.contacts import SOURCE, Population
from bench.identity import naive, ours
from bench.identity.dirt import LEVELS, Dirt
from bench.identity.rows import Row, Statement, generate
from bench.identity.score import Score, score
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
    """Deliver the webhook that would have created the contact of a person."""

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
    """Return all that is stored about a customer, without ids, times and envelopes, which differ between stores."""

    def load(conn, statement, **more):
        parameters = {"organization_id": organization_id, "external_id": external_id, **more}
        return [tuple(row) for row in conn.execute(text(statement), parameters)]

    with engine.connect() as conn:
        (record,) = load(
            conn,
            "SELECT id, kind, state, is_live, is_lost, is_oversize FROM records"
            " WHERE organization_id = :organization_id AND external_id = :external_id",
        )
        contact = contacts.by_any_id(Tx(conn, organization_id), record[0])
        stamps = [[occurred, position] for occurred, _, _, position, _ in record[2].pop("s")]
        claimed = load(
            conn,
            "SELECT type, key, source, is_customer, value, is_verified, is_owner, is_contested FROM claims"
            " WHERE organization_id = :organization_id AND record_id = :id ORDER BY 1, 2",
            id=record[0],
        )
        terms = load(
            conn,
            "SELECT term FROM contact_terms WHERE organization_id = :organization_id AND contact_id = :id ORDER BY 1",
            id=record[0],
        )
        consents = load(
            conn,
            "SELECT statement_key, channel, purpose, address, status, occurred_at, method, evidence FROM consents"
            " WHERE organization_id = :organization_id AND external_id = :external_id ORDER BY 1",
        )
        changes = load(
            conn,
            "SELECT kind, details FROM changes WHERE organization_id = :organization_id AND contact_id = :id",
            id=record[0],
        )
    shown = (contact.name, contact.email, contact.phone_number, contact.custom_fields, contact.tags)
    is_first = contact.id == contact.first_id == record[0]
    return record[1:], stamps, claimed, terms, consents, changes, shown, is_first


def test_a_population_is_stored_as_the_worker_stores_it_from_webhooks(engine, people):
    with engine.begin() as conn:
        other = organizations.ensure(conn, "other")
    source = connect(engine, other)
    for number in (0, 3, 7, 13):
        person = people.person(number)
        webhook(engine, source, person)
        assert stored(engine, people.organization_id, person.ref[1]) == stored(engine, other, person.ref[1])


def test_every_person_passes_the_check_and_a_missing_person_does_not(engine, people):
    people.check(map(people.person, range(SIZE)))
    with pytest.raises(ValueError, match="is not stored"):
        people.check([people.person(SIZE)])


def test_a_webhook_about_a_person_changes_the_contact_of_that_person(engine, people):
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


def test_a_population_grows_from_where_it_ended(engine, organization_id):
    people = Population(engine, organization_id, SIZE)
    people.grow(20)
    people.grow(SIZE)
    people.check(map(people.person, range(SIZE)))
    assert ids.show(ids.CONTACT, people.person(1).id) < ids.show(ids.CONTACT, people.person(2).id)


def test_the_load_generator_writes_whole_requests():
    assert get("/v1", {"X-Api-Key": "k"}) == b"GET /v1 HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: k\r\n\r\n"
    assert request("/v1", {}, b"{}").endswith(b"Content-Length: 2\r\n\r\n{}")


def test_the_ratio_stays_the_same_if_the_machine_changes_its_pace():
    rounds = [{"old": {"per_s": pace}, "new": {"per_s": 2 * pace}} for pace in (1000, 300, 700)]
    rounds.append({"old": {"per_s": 500}, "new": {"per_s": 100}})  # something else disturbed this round

    assert compared(rounds, "per_s") == {"old": 600, "new": 1000, "ratio": 2}


def a_row(person, source="a", external_id="1", *, name="Ann", email=None, number=None, extension=""):
    shown = Statement(0, name, "Reed", email, number, extension)
    return Row(person, source, external_id, "CA", (shown,), frozenset())


def test_the_same_seed_invents_the_same_rows():
    assert generate(1, 100, LEVELS["high"]) == generate(1, 100, LEVELS["high"]) != generate(2, 100, LEVELS["high"])


def test_every_kind_of_dirt_occurs_and_more_of_it_at_a_higher_level():
    found = {
        level: Counter(kind for row in generate(1, 1500, dirt) for kind in row.dirt) for level, dirt in LEVELS.items()
    }
    kinds = {rate.name for rate in fields(Dirt)}
    assert found["middle"].keys() == found["high"].keys() == kinds
    assert found["low"].total() < found["middle"].total() < found["high"].total()


def test_without_dirt_rows_are_of_one_person_if_they_share_a_value():
    clean = Dirt(**{rate.name: 0.0 for rate in fields(Dirt)})
    rows = generate(1, 300, clean)
    assert not any(row.dirt for row in rows)
    assert all(found.wrong == 0 for found in score(rows, naive.groups(rows)).values())


def test_right_wrong_and_missed_pairs_are_counted():
    rows = [a_row(1), a_row(1, "b"), a_row(1, external_id=None), a_row(2, "b", "2"), a_row(2, external_id="2")]
    # The first row is grouped with its guest and with a stranger of its own shop; only the pair of strangers of one
    # shop is not judged.
    found = score(rows, [7, 8, 7, 9, 7])
    assert found == {"customers": Score(0, 0, 2), "with a guest": Score(1, 1, 1)}
    total = sum(found.values(), Score())
    assert (total.precision, total.recall) == (0.5, 0.25)


def test_both_sides_group_rows_by_what_they_share():
    email = "ann@mail.example.com"
    rows = [
        a_row(1, email=email),
        a_row(1, "b", email=email.upper()),
        a_row(2, "b", "2", name="Bo"),
        a_row(3, external_id=None, number="no number"),
    ]
    for side in (ours, naive):
        a, b, c, d = side.groups(rows)
        assert a == b
        assert len({a, c, d}) == 3


def test_naive_closure_ignores_extensions_and_the_past():
    moved = Statement(0, "Ann", "Reed", None, "+1 613-555-0100", "")
    rows = [
        a_row(1, number="+1 613-555-0100", extension=" x101"),
        a_row(2, "b", number="(613) 555-0100", extension=" x102"),
        replace(a_row(3, "b", "2"), statements=(moved, replace(moved, number="+16135550101"))),
    ]
    a, b, c = naive.groups(rows)
    assert a == b != c
