"""Contact view: what is known about contacts, loaded with a constant number of SQL statements."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event

from connectors.contract import (
    ConsentStated,
    Identifier,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
)
from worker.pipeline import contact_view
from worker.store import contact_lists, db
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

T0 = datetime(2026, 10, 1, tzinfo=UTC)
PHONE, EMAIL = "+6281273509101", "ujang@example.com"


def a_profile(external_id, *, phone=None, email=None, verified=False, created=0, **fields):
    identifiers = {}
    if phone:
        identifiers["phone"] = Identifier(type="phone", value=phone, verified=verified)
    if email:
        identifiers["email"] = Identifier(type="email", value=email, verified=verified)
    return ProfileSeen(
        external_id=external_id,
        occurred_at=T0,
        created_at=T0 + timedelta(minutes=created),
        fields=fields,
        identifiers=identifiers,
    )


@pytest.fixture
def views(engine, organization_id):
    """A function that loads the views of all contacts, by the customer that leads each."""

    def views():
        with db.snapshot(engine) as conn:
            rows = contact_lists.page(Tx(conn, organization_id), ContactFilter(), None, 100)
            found = contact_view.load(Tx(conn, organization_id), rows)
        assert [one.contact.id for one in found] == [row.id for row in rows]
        return {(one.contact.external_source, one.contact.external_id): one for one in found}

    return views


def names(identities):
    return [(one.type, one.key) for one in identities]


def test_every_value_names_the_source_and_the_envelope_that_it_came_from(feed, views):
    first = feed("shop", a_profile("1", email=EMAIL, name="Ujang"))
    second = feed("till", a_profile("9", email=EMAIL, created=1, name="U.", tier="premium"))
    third = feed("shop", TagsAdded(external_id="1", tags=("VIP",), occurred_at=T0))

    one = views()["shop", "1"]

    origins = {name: (origin.source, origin.stamp.envelope_id) for name, origin in one.origins.items()}
    assert origins == {
        "name": ("shop", first.hex),
        "email": ("shop", first.hex),
        "tier": ("till", second.hex),
        "tag:vip": ("shop", third.hex),
    }
    assert [(tag.name, tag.origin.stamp.envelope_id) for tag in one.tags] == [("VIP", third.hex)]


def test_a_contested_identifier_is_owned_by_the_strongest_claim(feed, views):
    feed("shop", a_profile("1", phone=PHONE, created=1))
    feed("shop", a_profile("2", phone=PHONE, email=EMAIL, verified=True, created=2))

    found = views()

    weak, strong = found["shop", "1"], found["shop", "2"]
    assert names(weak.identities) == [("external_id", "1")]
    assert [(one.key, one.is_contested, one.owner) for one in weak.unowned] == [(PHONE, True, ("shop", "2"))]
    assert names(strong.identities) == [("email", EMAIL), ("external_id", "2"), ("phone", PHONE)]
    assert [one.is_contested for one in strong.identities] == [False, False, True]
    assert strong.unowned == []


def test_an_identifier_of_two_records_of_one_person_is_listed_once(feed, views):
    feed("shop", a_profile("1", email=EMAIL))
    feed("till", a_profile("9", email="Ujang@example.com", created=1))

    one = views()["shop", "1"]

    assert names(one.identities) == [("email", EMAIL), ("external_id", "1"), ("external_id", "9")]
    assert [identity.is_primary for identity in one.identities] == [True, True, False]
    assert one.unowned == []


def test_a_placeholder_identifies_nobody(feed, views):
    feed("shop", a_profile("1", email="noreply@example.com"))

    one = views()["shop", "1"]

    assert names(one.identities) == [("external_id", "1")]
    assert [(one.key, one.is_contested, one.owner) for one in one.unowned] == [("noreply@example.com", False, None)]


def test_consent_follows_the_address(feed, views):
    opted_out = ConsentStated(
        external_id=None, channel="email", status="opted_out", address=EMAIL, occurred_at=T0, method="form"
    )
    envelope_id = feed("mailer", opted_out)

    feed("shop", a_profile("1", email=EMAIL), a_profile("2", phone=PHONE))

    found = views()
    (consent,) = found["shop", "1"].consents()
    assert (consent.statement.channel, consent.statement.status) == ("email", "opted_out")
    assert consent.statement.envelope_id == envelope_id
    assert found["shop", "2"].consents() == []


def test_consent_without_an_address_belongs_to_its_record(feed, views):
    feed("shop", a_profile("1"), a_profile("2"))
    feed("shop", ConsentStated(external_id="1", channel="email", status="opted_in", address=None, occurred_at=T0))

    found = views()

    assert [consent.statement.status for consent in found["shop", "1"].consents()] == ["opted_in"]
    assert found["shop", "2"].consents() == []


def test_the_same_text_on_another_channel_is_another_address(feed, views):
    seen = {"line": Identifier(type="line", value="4711")}
    feed("shop", ProfileSeen(external_id="1", occurred_at=T0, identifiers=seen))
    feed(
        "shop",
        SuppressionStated(external_id=None, channel="viber", address="4711", reason="blocked", occurred_at=T0),
        SuppressionStated(external_id=None, channel="line", address="4711", reason="blocked", occurred_at=T0),
    )

    one = views()["shop", "1"]

    assert [suppression.channel for suppression in one.suppressions] == ["line"]


def test_a_newer_opt_in_lifts_an_unsubscription_but_no_bounce(feed, views):
    feed("shop", a_profile("1", email=EMAIL))
    for reason in ("unsubscribed", "hard_bounce"):
        feed(
            "mailer",
            SuppressionStated(external_id=None, channel="email", address=EMAIL, reason=reason, occurred_at=T0),
        )
    later = T0 + timedelta(minutes=1)
    feed("shop", ConsentStated(external_id="1", channel="email", status="opted_in", address=EMAIL, occurred_at=later))

    one = views()["shop", "1"]

    assert {s.reason: s.lifted is not None for s in one.suppressions} == {"hard_bounce": False, "unsubscribed": True}


def test_a_record_merged_away_gives_no_values_but_stays_listed(feed, views):
    feed("shop", a_profile("1", name="Ujang"), a_profile("2", created=1, name="Budi", tier="premium"))
    feed("shop", ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=T0))

    one = views()["shop", "1"]

    assert [(row.ref, row.merged is not None) for row in one.records] == [(("shop", "1"), False), (("shop", "2"), True)]
    assert "tier" not in one.origins
    assert names(one.identities) == [("external_id", "1"), ("external_id", "2")]


def test_a_page_takes_as_many_sql_statements_as_a_single_contact(engine, organization_id, feed):
    feed("shop", *(a_profile(str(n), email=f"u{n}@example.com", phone=f"+62812735091{n:02}") for n in range(40)))
    with db.snapshot(engine) as conn:
        rows = contact_lists.page(Tx(conn, organization_id), ContactFilter(), None, 100)
        statements = []
        event.listen(conn, "after_cursor_execute", lambda *args: statements.append(args[2]))

        contact_view.load(Tx(conn, organization_id), rows[:1])
        of_one_contact = len(statements)
        contact_view.load(Tx(conn, organization_id), rows)

    assert len(rows) == 40
    assert len(statements) == 2 * of_one_contact == 10


def test_no_contacts_is_no_views(engine, organization_id):
    with db.snapshot(engine) as conn:
        assert contact_view.load(Tx(conn, organization_id), []) == []
