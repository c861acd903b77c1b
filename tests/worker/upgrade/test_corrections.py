"""Corrections: what a stored row has to say under today's rules."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from worker import ids
from worker.domain.consent import ConsentEntry, SuppressionEntry
from worker.domain.record import Record
from worker.domain.registers import ABOUT, CREATED
from worker.domain.rows import RecordRow
from worker.domain.terms import Stamp
from worker.domain.times import microseconds
from worker.upgrade import corrections
from worker.upgrade.corrections import BASELINE, Ceilings

NOW = microseconds(datetime.now(UTC))
MINUTE = 60_000_000
YEAR = 365 * 24 * 60 * MINUTE
KNOWN, UNKNOWN = ids.new(), ids.new()
CEILINGS = Ceilings(unknown=NOW + 9 * MINUTE, known={KNOWN: NOW + 5 * MINUTE})


def a_stamp(occurred, sent=None, envelope_id=KNOWN, delivery_id="d", position=0):
    return Stamp(occurred, occurred if sent is None else sent, delivery_id, position, envelope_id.hex)


def a_record(ref=("shop", "1"), kind="customer", **registers):
    record = Record(*ref, kind)
    record.registers = registers
    record.seen = next((stamp for stamp, _ in registers.values()), None)
    return record


def clamped(record):
    return corrections.clamp(record, corrections.late_envelopes(record), CEILINGS)


def test_a_time_ahead_becomes_the_ceiling_of_its_envelope():
    record = a_record(name=(a_stamp(NOW + YEAR), "Ayu"))

    assert clamped(record)

    assert record.registers["name"] == (a_stamp(NOW + 5 * MINUTE), "Ayu")
    assert record.seen == a_stamp(NOW + 5 * MINUTE)


def test_of_an_envelope_that_is_gone_the_ceiling_is_that_of_the_upgrade():
    record = a_record(name=(a_stamp(NOW + YEAR, envelope_id=UNKNOWN), "Ayu"))

    clamped(record)

    assert record.registers["name"][0].occurred == NOW + 9 * MINUTE


def test_every_stamp_of_a_record_is_clamped():
    record = a_record(name=(a_stamp(NOW), "Ayu"))
    ahead, right = a_stamp(NOW + YEAR), a_stamp(NOW + 5 * MINUTE)
    record.removed, record.snapshot, record.tags = ahead, (ahead, {"vip": "VIP"}), {"fair": (ahead, True, "Fair")}

    clamped(record)

    assert (record.removed, record.snapshot, record.tags) == (
        right,
        (right, {"vip": "VIP"}),
        {"fair": (right, True, "Fair")},
    )
    assert record.registers == {"name": (a_stamp(NOW), "Ayu")}


def test_a_customer_is_not_created_in_the_future():
    record = a_record(**{CREATED: (a_stamp(NOW), NOW + YEAR)})

    clamped(record)

    assert record.registers[CREATED] == (a_stamp(NOW), NOW + 5 * MINUTE)


@pytest.mark.parametrize("time", [0, NOW - 20 * YEAR, NOW, NOW + 4 * MINUTE])
def test_a_time_below_the_ceiling_stays(time):
    record = a_record(name=(a_stamp(time), "Ayu"))

    assert not clamped(record)

    assert record.registers["name"] == (a_stamp(time), "Ayu")


def test_text_of_the_api_is_composed_and_the_newer_of_two_spellings_stays():
    old, new = a_stamp(NOW - 2, delivery_id="api:1"), a_stamp(NOW - 1, delivery_id="api:2")
    record = a_record(name=(new, "Le\u0301on"))
    record.registers |= {"cafe\u0301": (old, "a"), "caf\u00e9": (new, "b")}
    record.tags = {"le\u0301on": (old, True, "Le\u0301on"), "l\u00e9on": (new, False, "L\u00e9on")}

    assert corrections.compose(record)

    assert record.registers == {"name": (new, "L\u00e9on"), "caf\u00e9": (new, "b")}
    assert record.tags == {"l\u00e9on": (new, False, "L\u00e9on")}


def test_text_of_a_shop_is_nfc_already_and_is_not_looked_at():
    assert not corrections.compose(a_record(name=(a_stamp(NOW), "Le\u0301on")))


def a_row(source, external_id, *, is_live=True, created=None):
    kind = "guest" if external_id.startswith("guest:") else "customer"
    stamp = a_stamp(NOW)
    registers = {} if created is None else {CREATED: (stamp, created)}
    record = a_record((source, external_id), kind, name=(stamp, "Ayu"), **registers)
    if not is_live:
        record.removed = a_stamp(NOW + 1)
    return RecordRow(ids.new(), record, 1)


def test_an_edit_is_about_its_anchor_then_about_the_others_of_its_contact():
    edit = a_record(("api", "cnt_1"), "edit", name=(a_stamp(NOW), "Edited"))
    mates = [
        a_row("shop", "guest:email:e"),
        a_row("eu", "9", is_live=False),
        a_row("woo", "3", created=9),
        a_row("shop", "2"),
    ]
    mates.append(RecordRow(ids.new(), edit, 1))

    about = corrections.tell_about(edit, mates, [("shop", "2")], has_opened=False)

    assert about == [("shop", "2"), ("woo", "3"), ("shop", "guest:email:e"), ("eu", "9")]
    assert edit.registers[ABOUT] == (BASELINE, [list(ref) for ref in about])
    assert a_stamp(0, 1) > BASELINE


def test_an_edit_that_has_opened_addresses_is_about_its_anchor_only():
    edit = a_record(("api", "cnt_1"), "edit", name=(a_stamp(NOW), "Edited"))

    assert corrections.tell_about(edit, [a_row("shop", "2")], [("eu", "1")], has_opened=True) == [("eu", "1")]


def test_an_edit_that_tells_whom_it_is_about_is_left_alone():
    edit = a_record(("api", "cnt_1"), "edit", **{ABOUT: (a_stamp(NOW), [["shop", "1"]])})

    assert corrections.tell_about(edit, [a_row("shop", "2")], [], has_opened=False) == []


def a_consent(status="opted_in", occurred=NOW, ref=("shop", "1"), **more):
    return ConsentEntry(
        id=ids.new(),
        key=b"k" * 16,
        channel="email",
        purpose="marketing",
        address="ayu@example.com",
        status=status,
        occurred=occurred,
        ref=ref,
        method=None,
        evidence=more.pop("evidence", {}),
        envelope_id=KNOWN,
        created_at=datetime.now(UTC),
        **more,
    )


def nobody_else(_envelope_id, ref):
    return ref


@pytest.mark.parametrize(
    ("status", "occurred"), [("opted_in", 0), ("opted_out", NOW + 5 * MINUTE), ("pending", NOW + 5 * MINUTE)]
)
def test_a_yes_of_a_clock_ahead_is_a_baseline_and_a_no_counts_from_the_ceiling(status, occurred):
    found = corrections.consent(a_consent(status, NOW + YEAR), CEILINGS, nobody_else)

    assert found.consent.occurred == occurred
    assert found.key != b"k" * 16


def test_what_a_row_says_already_is_not_said_again():
    assert corrections.consent(a_consent(evidence={"text": "Léon"}), CEILINGS, nobody_else) is None


def test_a_consent_of_nobody_is_the_guests_of_its_envelope():
    guest = ("shop", "guest:email:ayu@example.com")

    found = corrections.consent(a_consent(ref=("shop", "")), CEILINGS, lambda *_: guest)

    assert found.consent.ref == guest


def test_the_lift_of_a_clock_ahead_is_a_baseline():
    entry = SuppressionEntry(
        id=ids.new(),
        channel="email",
        address="ayu@example.com",
        scope="all",
        reason="spam_complaint",
        is_lift=True,
        occurred=NOW + YEAR,
        expires_at=None,
        ref=("api", "cnt_1"),
        envelope_id=KNOWN,
        created_at=datetime.now(UTC),
        note="Le\u0301on",
    )

    found = corrections.suppression(entry, CEILINGS, nobody_else)

    assert (found.occurred, found.note) == (0, "L\u00e9on")


@pytest.mark.parametrize(
    ("tie", "bounded"),
    [(f"{NOW}:d:0", f"{NOW}:d:0"), (f"{NOW + YEAR}:d:0", f"{NOW + 5 * MINUTE}:d:0"), ("operator", "operator")],
)
def test_the_tie_of_a_merge_has_no_later_time(tie, bounded):
    assert corrections.merge_tie(tie, NOW + 5 * MINUTE) == bounded


def test_an_id_that_tells_no_time_is_always_looked_up():
    assert corrections.may_be_late(NOW, UUID(int=7))
    assert not corrections.may_be_late(NOW, KNOWN)
