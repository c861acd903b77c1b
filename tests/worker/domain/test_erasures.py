"""Erasures: what a request to be forgotten names, and when an edit is void."""

from datetime import UTC, datetime

import pytest

from connectors.contract import Account, ErasureRequested, Identifier
from worker.domain import erasures
from worker.domain.fold import fold, withdraw
from worker.domain.folded import Folded
from worker.domain.record import Record
from worker.domain.record_state import decode, encode
from worker.domain.registers import ABOUT
from worker.domain.rows import RecordRow
from worker.domain.statements import ProfileStatement, RemovalStatement
from worker.domain.terms import Stamp
from worker.ids import new

EMAIL, PHONE = "Ayu@Example.com", "+62 812-7350-9100"
SHOP = Account(source="shop", region="ID")


def a_request(external_id="1", **given):
    identifiers = tuple(Identifier(type=kind, value=value) for kind, value in given.items())
    return ErasureRequested(
        subject="customer", external_id=external_id, identifiers=identifiers, occurred_at=datetime.now(UTC)
    )


def at(minute, envelope_id=None):
    return Stamp(minute, minute, "d", 0, envelope_id or new().hex)


def test_a_redact_names_the_customer_and_the_guests_with_its_addresses():
    found = erasures.asked_for(a_request(email=EMAIL, phone=PHONE), SHOP)

    assert found.addresses == [("email", "ayu@example.com"), ("phone", "+6281273509100")]
    assert set(found.records) == {
        ("shop", "1"),
        ("shop", "guest:email:ayu@example.com"),
        ("shop", "guest:phone:+6281273509100"),
        ("shop", "guest:phone?:+6281273509100"),
    }
    assert found.unread == []


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (a_request(None, email=EMAIL), ["ayu@example.com"]),
        (a_request(phone="0812-7350-9100"), ["+6281273509100"]),
        (a_request(email="noreply@example.com"), []),
        (a_request(), []),
    ],
    ids=["e-mail only", "a number at home", "nobody's address", "no address"],
)
def test_addresses_are_read_by_their_normal_form_and_those_of_nobody_are_left_out(request_, expected):
    found = erasures.asked_for(request_, SHOP)

    assert [key for _, key in found.addresses] == expected
    assert (("shop", "1") in found.records) is (request_.external_id is not None)


def test_what_cannot_be_read_is_told_without_its_value():
    found = erasures.asked_for(a_request(email="ayu at home", phone="call me"), SHOP)

    assert (found.addresses, found.unread) == ([], ["email", "phone"])
    told = erasures.remark(found.unread)
    assert "email and the phone" in told
    assert "home" not in told
    assert erasures.remark(()) is None


@pytest.mark.parametrize(
    ("ident", "channel"),
    [
        (("email", "a@example.com"), "all"),
        (("phone", "+62812"), "all"),
        (("whatsapp_bsuid", "x"), "whatsapp"),
        (("telegram", "5"), "telegram"),
    ],
)
def test_an_address_is_suppressed_on_every_channel_that_it_has(ident, channel):
    said = erasures.suppression(ident, ("shop", "1"), at(5))

    assert (said.channel, said.address, said.reason, said.scope) == (channel, ident[1], "erasure_request", "all")
    assert (said.is_lift, said.expires_at) == (False, None)


def test_what_was_said_before_is_void_in_every_order_and_what_comes_after_counts():
    said = [
        ProfileStatement(at(1), {"name": "Ayu", "@email": ("email", "a@example.com", "a@example.com", False)}),
        ProfileStatement(at(9), {"city": "Malang"}),
        RemovalStatement(at(5), erases=True),
    ]
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]):
        record = Record("shop", "1", "customer")
        for number in order:
            fold(record, [said[number]])
        assert record.is_live
        assert {name: value for name, (_, value) in record.effective().items()} == {"city": "Malang"}
        assert (record.names(), record.former_claims(), record.void_until) == (set(), {}, 5)
        assert decode(*record.ref, record.kind, encode(record)) == record


def test_an_erased_record_is_tied_to_nobody_and_a_plainly_removed_one_is():
    for erases in (True, False):
        record = Record("shop", "1", "customer")
        claim = ("email", "a@example.com", "a@example.com", False)
        fold(record, [ProfileStatement(at(1), {"@email": claim}), RemovalStatement(at(5), erases=erases)])
        assert bool(record.ties()) is not erases


def test_a_replay_takes_an_erasure_back():
    record, envelope_id = Record("shop", "1", "customer"), new().hex
    fold(record, [ProfileStatement(at(1), {"name": "Ayu"}), RemovalStatement(at(5, envelope_id), erases=True)])
    withdraw(record, envelope_id)

    assert (record.is_live, record.erased, record.names()) == (True, None, {"Ayu"})


@pytest.mark.parametrize(
    ("about", "expected"), [(["1"], True), (["1", "2"], True), (["1", "3"], False), (["1", "4"], False)]
)
def test_an_edit_is_void_when_all_that_it_is_about_is_erased(about, expected):
    rows = {}
    for external_id, erased in (("1", 5), ("2", 7), ("3", None)):
        record = Record("shop", external_id, "customer")
        fold(record, [ProfileStatement(at(1), {"name": "Ayu"})])
        if erased:
            fold(record, [RemovalStatement(at(erased), erases=True)])
        rows[record.ref] = RecordRow(new(), record, version=1)
    edit = Record("api", "edit:shop:1", "edit")
    fold(edit, [ProfileStatement(at(3), {"name": "Edited", ABOUT: [["shop", one] for one in about]})])
    rows[edit.ref] = RecordRow(new(), edit, version=1)
    folded = Folded({})

    voided = erasures.void_edits(folded, rows)

    assert (edit.is_live, edit.ref in voided, edit.ref in folded.changed) == (not expected, expected, expected)
    assert erasures.void_edits(folded, rows) == {}
    if expected:
        assert edit.void_until == (7 if "2" in about else 5)
        rows["shop", "1"].record.erased = None
        erasures.void_edits(folded, rows)
        assert edit.is_live
