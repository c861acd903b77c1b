"""The rules of 0.1, as they were: what a contact showed, and whether it could be written to."""

from datetime import UTC, datetime, timedelta

import pytest

from worker import ids
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.record import Record
from worker.domain.rows import ClaimRow, ContactRow, RecordRow
from worker.domain.terms import LAST, Stamp, kind_of
from worker.store.claims import HeldRow
from worker.upgrade.old_rules import OldContact, keys_of

NOW = datetime.now(UTC)
SHOP, WOO = ("shop", "1"), ("woo", "1")
E1, E2, P1 = "ayu@example.com", "ayu.office@example.com", "+6281273509100"
MARKETING = ("email", "marketing")


def a_row(ref=SHOP):
    record = Record(*ref, kind_of(ref), seen=Stamp(1, 1, "d", 0, ids.new().hex))
    return RecordRow(ids.new(), record, 1)


def a_claim(row, kind="email", key=E1, owner=SHOP, *, is_contested=False, role=0):
    claim = ClaimRow(kind, key, row.id, row.record.source, True, key, False, owner == row.ref, is_contested, role)
    return HeldRow(claim, owner)


def said(status, occurred=1, address=E1, ref=SHOP, channel="email", purpose="marketing", expires_at=None):
    return ConsentEntry(
        id=ids.new(),
        key=ids.new().bytes,
        channel=channel,
        purpose=purpose,
        address=address,
        status=status,
        occurred=occurred,
        ref=ref,
        method=None,
        evidence={},
        envelope_id=ids.new(),
        created_at=NOW,
        expires_at=expires_at,
    )


def suppressed(
    reason="hard_bounce", occurred=1, *, is_lift=False, scope="all", channel="email", address=E1, expires_at=None
):
    return SuppressionEntry(
        id=ids.new(),
        channel=channel,
        address=address,
        scope=scope,
        reason=reason,
        is_lift=is_lift,
        occurred=occurred,
        expires_at=expires_at,
        ref=SHOP,
        envelope_id=ids.new(),
        created_at=NOW,
    )


def a_contact(*entries, rows=None, held=None, lost=(), email=E1):
    rows = rows or [a_row()]
    held = [a_claim(rows[0])] if held is None else held
    contact = ContactRow(rows[0].id, "Ayu", email, None, *SHOP, {}, [], rows[0].id)
    consents = [one for one in entries if isinstance(one, ConsentEntry)]
    return OldContact(contact, rows, held, consents, [one for one in entries if one not in consents], lost)


@pytest.mark.parametrize(
    ("entries", "status", "is_sendable"),
    [
        ([], None, False),
        ([said("opted_in")], "opted_in", True),
        ([said("opted_in", 2), said("opted_out", 1)], "opted_in", True),
        ([said("opted_in", 1), said("opted_out", 1)], "opted_out", False),
        ([said("opted_out", 1), said("pending", 2)], "pending", False),
        ([said("opted_in", 1), said("unknown", 2)], "opted_in", True),
        ([said("opted_in", 9), said("opted_out", 1, address=None)], "opted_out", False),
        ([said("opted_in", 1, expires_at=NOW - timedelta(days=1))], "opted_in", False),
        ([said("opted_out", 9, address=E2), said("opted_in", 1)], "opted_in", True),
    ],
)
def test_the_newest_statement_about_an_address_counted(entries, status, is_sendable):
    contact = a_contact(*entries)

    assert contact.shown().get("consent:email:marketing") == status
    assert contact.is_sendable(MARKETING, NOW) == is_sendable


def test_a_contact_showed_the_most_restrictive_of_its_addresses():
    row = a_row()
    held = [a_claim(row), a_claim(row, key=E2)]

    contact = a_contact(said("opted_in", 9), said("opted_out", 1, address=E2), rows=[row], held=held)

    assert not contact.is_sendable(MARKETING, NOW)


def test_the_yes_of_a_merged_away_record_was_as_old_as_could_be():
    assert not a_contact(said("opted_in", 9), said("opted_out", 1, ref=WOO), lost=[SHOP]).is_sendable(MARKETING, NOW)


def test_other_purposes_needed_an_address_and_no_refusal():
    key = ("email", "transactional")

    assert a_contact().is_sendable(key, NOW)
    assert not a_contact(said("opted_out", purpose="transactional")).is_sendable(key, NOW)
    assert not a_contact(held=[], email=None).is_sendable(key, NOW)


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([suppressed()], "active"),
        ([suppressed(), suppressed(occurred=2, is_lift=True)], "lifted"),
        ([suppressed(occurred=2), suppressed(occurred=1, is_lift=True)], "active"),
        ([suppressed(), said("opted_in", 9)], "active"),
    ],
)
def test_a_suppression_beat_every_consent_until_it_was_lifted(entries, state):
    contact = a_contact(said("opted_in"), *entries)

    assert contact.shown()["suppression:email:hard_bounce:all"] == state
    assert contact.is_sendable(MARKETING, NOW) == (state == "lifted")


def test_a_newer_yes_lifted_what_the_person_had_wished():
    contact = a_contact(suppressed("unsubscribed"), said("opted_in", 2))

    assert contact.is_sendable(MARKETING, NOW)


def test_the_last_of_two_suppressions_said_how_long():
    ended = suppressed("spam_complaint", 2, expires_at=NOW - timedelta(days=1))

    assert a_contact(said("opted_in"), suppressed("spam_complaint", 1), ended).is_sendable(MARKETING, NOW)


def test_identifiers_were_told_that_the_fields_do_not_show():
    shop, woo = a_row(), a_row(WOO)
    held = [
        a_claim(shop),
        a_claim(shop, key=E2),
        a_claim(woo, "phone", P1, owner=("eu", "3")),
        a_claim(woo, "email", "last@example.com", role=LAST),
        a_claim(woo, "email", "both@example.com", owner=WOO, is_contested=True),
    ]

    assert a_contact(rows=[shop, woo], held=held).shown() == {
        f"identity:email:{E2}": "owned",
        f"identity:phone:{P1}": "unowned",
        "identity:email:both@example.com": "contested",
        "identity:external_id:woo:1": "owned",
    }


def test_a_suppression_of_every_channel_is_asked_about_on_each():
    assert keys_of([("all", "marketing")]) == {(c, "marketing") for c in ("email", "sms", "whatsapp")}
    assert keys_of([("sms", "all")]) == {("sms", "marketing"), ("sms", "transactional")}
