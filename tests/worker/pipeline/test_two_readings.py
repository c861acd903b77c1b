"""A number that can be read in two ways is shown, joins nobody, and gives way to a statement that has one reading."""

import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from connectors.contract import Account, ConsentStated, Envelope, Identifier, ProfileSeen
from worker import ids
from worker.domain.normalise import ceiling_of, normalise
from worker.pipeline import contact_view
from worker.pipeline.apply import Batch, apply
from worker.store import contact_lists, contacts, db
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

T0 = datetime(2026, 10, 1, tzinfo=UTC)
HERE, THERE = "+525512345678", "+15512345678"
NATIONAL = "55 1234 5678"  #: HERE in Mexico, THERE in the USA


def seen(external_id, phone, minute, *, email=None, region="MX"):
    identifiers = {"phone": Identifier(type="phone", value=phone)}
    if email is not None:
        identifiers["email"] = Identifier(type="email", value=email)
    at = T0 + timedelta(minutes=minute)
    return ProfileSeen(external_id=external_id, occurred_at=at, created_at=T0, identifiers=identifiers, region=region)


def consent(external_id, status, minute, address=NATIONAL, region="MX"):
    at = T0 + timedelta(minutes=minute)
    return ConsentStated(
        external_id=external_id, channel="sms", status=status, address=address, occurred_at=at, region=region
    )


@pytest.fixture
def feed(engine, organization_id):
    """Let sources at home in the USA state events, each in an envelope of its own."""

    def feed(*stated):
        for source, event in stated:
            envelope = Envelope(topic="t", delivery_id=f"{source}{event}", sent_at=None, headers={}, body=b"")
            connector = SimpleNamespace(parse=lambda _envelope, _account, event=event: [event])
            account = Account(source=source, region="US")
            statements = normalise(ids.new(), envelope, connector, account, ceiling=ceiling_of(datetime.now(UTC)))
            apply(engine, organization_id, Batch([statements], {statements.envelope_id: uuid4()}))

    return feed


@pytest.fixture
def shown(engine, organization_id):
    """Return each contact: its number, its customers, and whether it may be written to there."""

    def shown():
        with db.snapshot(engine) as conn:
            tx = Tx(conn, organization_id)
            views = contact_view.load(tx, contact_lists.page(tx, ContactFilter(), None, 100))
            found = set()
            for view in views:
                verdict = view.verdict(("sms", "marketing"), datetime.now(UTC))
                customers = tuple(row.ref for row in view.records)
                found.add((view.contact.phone_number, customers, verdict.sendable))
            return found

    return shown


AYU, BUDI, CITRA = ("shop", "1"), ("crm", "1"), ("till", "1")


def test_it_is_shown_and_joins_nobody(feed, shown, engine, organization_id):
    feed(("shop", seen("1", NATIONAL, 1)), ("crm", seen("1", HERE, 1)), ("till", seen("1", THERE, 1)))

    assert shown() == {(HERE, (AYU,), False), (HERE, (BUDI,), False), (THERE, (CITRA,), False)}
    with db.snapshot(engine) as conn:
        keys = {("phone", "", HERE), ("phone", "", THERE)}
        found = contacts.by_keys(Tx(conn, organization_id), keys)
    assert {found["phone", "", HERE].external_source, found["phone", "", THERE].external_source} == {"crm", "till"}


def test_the_number_in_international_spelling_joins(feed, shown):
    feed(("crm", seen("1", HERE, 1)), ("shop", seen("1", NATIONAL, 1)), ("shop", seen("1", HERE, 2)))

    assert shown() == {(HERE, (BUDI, AYU), False)}


def test_the_same_person_with_an_international_spelling_elsewhere_is_reached_by_it(feed, shown):
    feed(
        ("shop", seen("1", NATIONAL, 1, email="ayu@example.com")), ("crm", seen("1", HERE, 2, email="ayu@example.com"))
    )

    assert shown() == {(HERE, (BUDI, AYU), False)}


@pytest.mark.parametrize("email", [None, "ayu@example.com"])
def test_while_nobody_claims_it_it_leads_to_who_said_it(feed, engine, organization_id, email):
    feed(("shop", seen("1", NATIONAL, 1, email=email)), ("crm", seen("2", "+6281273509101", 2, email=email)))

    with db.snapshot(engine) as conn:
        found = contacts.by_keys(Tx(conn, organization_id), {("phone", "", HERE)})
    assert found["phone", "", HERE].phone_number is not None


def test_guests_with_one_reading_in_mind_are_one_and_claim_nothing(feed, shown):
    feed(("shop", seen(None, NATIONAL, 1)), ("shop", seen(None, NATIONAL, 2)))
    assert {(number, len(customers)) for number, customers, _ in shown()} == {(HERE, 1)}

    feed(("crm", seen("1", HERE, 3)))  # as with all that guests give: it shows only while nobody claims it

    assert {(number, len(customers)) for number, customers, _ in shown()} == {(HERE, 1), (None, 1)}


def test_a_no_closes_both_readings_and_a_yes_opens_neither(feed, shown):
    feed(
        ("crm", seen("1", HERE, 1)),
        ("crm", consent("1", "opted_in", 1, HERE)),
        ("till", seen("1", THERE, 1)),
        ("till", consent("1", "opted_in", 1, THERE)),
        ("shop", seen("1", NATIONAL, 2)),
        ("shop", consent("1", "opted_in", 2)),
    )
    assert {sendable for _, customers, sendable in shown() if customers == (AYU,)} == {False}
    assert {sendable for _, customers, sendable in shown() if customers != (AYU,)} == {True}

    feed(("shop", consent("1", "opted_out", 3)))

    assert {sendable for _, _, sendable in shown()} == {False}


def test_one_state_whatever_the_order(feed, shown, engine, organization_id):
    stated = [
        ("shop", seen("1", NATIONAL, 1)),
        ("crm", seen("1", HERE, 1)),
        ("shop", seen("1", HERE, 2)),
        ("shop", seen("1", NATIONAL, 3)),
    ]
    ends = []
    for number, order in enumerate(itertools.permutations(stated)):
        renamed = [(f"{source}{number}", event) for source, event in order]
        feed(*renamed, *renamed[:2])
        ends.append({row[0] for row in shown() if row[1][0][0].endswith(str(number)) and len(row[1]) == 1})

    assert ends[0] == {HERE}
    assert all(end == ends[0] for end in ends)
