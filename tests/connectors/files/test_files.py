"""Quirks of rows of files; test_conformance.py checks the rest."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors import files
from connectors.contract import (
    Account,
    ConsentStated,
    Envelope,
    MalformedPayloadError,
    ProfileSeen,
    SuppressionStated,
    TagsSnapshot,
)
from worker.domain.registers import of_field

AS_OF = datetime(2026, 10, 1, tzinfo=UTC)
ID = {"external_id": "ID"}


def read(values, mapping, **options):
    body = files.body_of(values)
    headers = files.headers_of(mapping, AS_OF, **options)
    receipt = files.receive(headers, body)
    envelope = Envelope(
        topic=receipt.topic, delivery_id=receipt.delivery_id, sent_at=receipt.sent_at, headers=headers, body=body
    )
    return list(files.parse(envelope, Account(source="crm")))


def profile(values, mapping, **options):
    (seen,) = [event for event in read(values, mapping, **options) if isinstance(event, ProfileSeen)]
    return seen


def consents(word, column="Consent", **more):
    mapping = {**ID, "email": "Email", "email_consent": column}
    return read({"ID": "1", "Email": "ayu@example.com", column: word, **more}, mapping)[1:]


def refusal(values, mapping):
    with pytest.raises(MalformedPayloadError) as raised:
        read(values, mapping)
    return str(raised.value)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("yes", "opted_in"),
        ("TRUE", "opted_in"),
        (" 1 ", "opted_in"),
        ("Subscribed", "opted_in"),
        ("opt-in", "opted_in"),
        ("Opted In", "opted_in"),
        ("ja", "opted_in"),
        (True, "opted_in"),
        (1, "opted_in"),
        ("no", "opted_out"),
        ("False", "opted_out"),
        ("0", "opted_out"),
        ("UNSUBSCRIBED", "opted_out"),
        ("opted_out", "opted_out"),
        ("tidak", "opted_out"),
        (False, "opted_out"),
        ("pending", "pending"),
    ],
)
def test_words_of_consent_in_any_case_and_spelling(word, status):
    stated = consents(word)

    assert [e.status for e in stated if isinstance(e, ConsentStated)] == [status]
    assert any(isinstance(e, SuppressionStated) for e in stated) == (status == "opted_out")


@pytest.mark.parametrize("word", ["", " ", None, "unknown", "NEVER_SUBSCRIBED", "n/a"])
def test_who_was_never_asked_has_said_nothing(word):
    assert consents(word) == []


def test_another_word_is_refused_by_the_name_of_the_column_and_not_repeated():
    mapping = {**ID, "sms_consent": "May we text?"}

    assert refusal({"ID": "1", "May we text?": "perhaps"}, mapping).startswith("May we text?: expected yes, no")
    assert "perhaps" not in refusal({"ID": "1", "May we text?": "perhaps"}, mapping)


@pytest.mark.parametrize("column", ["Unsubscribed from all email", "Opted out of email", "opt-out", "Do not mail"])
def test_yes_under_the_name_of_the_opposite_is_neither_a_yes_nor_a_no(column):
    for word in ("yes", "no", "1", "false"):
        with pytest.raises(MalformedPayloadError, match="could mean either"):
            consents(word, column)
    assert [e.status for e in consents("unsubscribed", column) if isinstance(e, ConsentStated)] == ["opted_out"]


def test_a_no_without_a_time_is_as_old_as_the_file_and_a_yes_has_none():
    assert [e.occurred_at for e in consents("no")] == [AS_OF, AS_OF]
    assert [e.occurred_at for e in consents("yes")] == [None]


def test_a_guest_without_the_address_says_nothing_about_it_a_customer_does():
    row = {"ID": "1", "Email": "ayu@example.com", "SMS": "no"}
    mapping = {"email": "Email", "sms_consent": "SMS"}

    assert [type(e) for e in read(row, mapping)] == [ProfileSeen]
    (_, stated) = read(row, {**mapping, **ID})
    assert (stated.external_id, stated.address, stated.status) == ("1", None, "opted_out")


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2026-09-14", datetime(2026, 9, 14, tzinfo=UTC)),
        ("2026-09-14 18:42", datetime(2026, 9, 14, 18, 42, tzinfo=UTC)),
        ("2026-09-14T18:42:07", datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)),
        ("2026-09-14 18:42:07 UTC", datetime(2026, 9, 14, 18, 42, 7, tzinfo=UTC)),
        ("2026-09-14 18:42:07 +0700", datetime(2026, 9, 14, 11, 42, 7, tzinfo=UTC)),
        ("2026-09-14T18:42:07.5Z", datetime(2026, 9, 14, 18, 42, 7, 500_000, tzinfo=UTC)),
        ("", AS_OF),
    ],
)
def test_times_without_a_zone_are_utc(written, at):
    assert profile({"ID": "1", "Changed": written}, {**ID, "updated_at": "Changed"}).occurred_at == at


@pytest.mark.parametrize(("number", "day"), [("1", 2), ("", 1)])
def test_what_a_guest_typed_is_as_old_as_the_order_and_not_as_its_last_edit(number, day):
    row = {"ID": number, "Email": "ayu@example.com", "Ordered": "2026-09-01", "Changed": "2026-09-02"}

    seen = profile(row, {**ID, "email": "Email", "created_at": "Ordered", "updated_at": "Changed"})

    assert seen.occurred_at == datetime(2026, 9, day, tzinfo=UTC)


@pytest.mark.parametrize("written", ["14/09/2026", "2026-13-01", "yesterday", "0001-01-01", "1790000000", "2026-W01-1"])
@pytest.mark.parametrize("name", ["created_at", "updated_at", "email_consent_at"])
def test_other_dates_are_refused_by_the_name_of_the_column(written, name):
    mapping = {**ID, "email_consent": "Consent", name: "When"}

    reason = refusal({"ID": "1", "Consent": "yes", "When": written}, mapping)

    assert reason.startswith("When: expected")
    assert written not in reason


@pytest.mark.parametrize(
    "written", ["VIP, Wholesale", "VIP;wholesale;vip", "VIP|Wholesale", '"VIP","Wholesale"', "VIP\nWholesale"]
)
def test_tags_are_parted_by_whatever_files_part_them_with(written):
    snapshot = read({"ID": "1", "Tags": written}, {**ID, "tags": "Tags"})[1]

    assert snapshot.external_id == "1"
    assert snapshot.occurred_at == AS_OF
    assert [tag.casefold() for tag in snapshot.tags] == ["vip", "wholesale"]


def test_tags_have_the_time_of_the_file_not_of_the_row():
    row = {"ID": "1", "Tags": "VIP", "Changed": "2020-01-01"}

    _, snapshot = read(row, {**ID, "tags": "Tags", "updated_at": "Changed"})

    assert snapshot == TagsSnapshot(external_id="1", tags=("VIP",), occurred_at=AS_OF)


def test_tags_of_nobody_with_a_number_are_refused_and_not_lost():
    row = {"ID": "", "Email": "ayu@example.com", "Tags": "VIP"}

    assert refusal(row, {**ID, "email": "Email", "tags": "Tags"}) == "Tags: the row has tags, but no external_id"


def test_an_e_mail_as_a_number_is_one_customer_however_it_is_spelt():
    mapping = {"external_id": "Mail", "email": "Mail"}

    spelt = [profile({"Mail": mail}, mapping).external_id for mail in ("Ayu@Example.com", " ayu@example.com ")]

    assert spelt == ["ayu@example.com"] * 2
    assert profile({"ID": "AbC", "Mail": "a@example.com"}, {**ID, "email": "Mail"}).external_id == "AbC"


@pytest.mark.parametrize("row", [{"ID": "", "Email": " ", "Phone": None, "Name": "Ayu"}, {"Name": "Ayu"}, {}])
def test_a_row_about_nobody_is_refused(row):
    assert "about nobody" in refusal(row, {**ID, "email": "Email", "phone": "Phone", "name": "Name"})


@pytest.mark.parametrize("written", ["1.23457E+15", "6,28127E+12", "6E+12", 1.5])
@pytest.mark.parametrize("name", ["external_id", "phone"])
def test_a_number_that_a_spreadsheet_rounded_is_refused(written, name):
    mapping = {"email": "Email", name: "N"}

    assert refusal({"Email": "ayu@example.com", "N": written}, mapping).startswith("N: expected all digits")


def test_an_apostrophe_before_a_number_is_a_spreadsheet_s_but_of_a_name_it_is_the_name_s():
    seen = profile({"ID": "'4711", "Zip": "'40111", "Name": "'t Hooft"}, {**ID, "zip": "Zip", "name": "Name"})

    assert seen.external_id == "4711"
    assert seen.fields == {"name": "'t Hooft", "address": {"zip": "40111"}}


def test_a_number_that_is_none_is_kept_as_given_for_the_one_place_that_reads_numbers():
    seen = profile({"ID": "1", "Phone": "ask at the desk"}, {**ID, "phone": "Phone"})

    assert seen.identifiers["phone"].value == "ask at the desk"


def test_the_numbers_of_the_store_for_guests_are_not_a_customer_s():
    assert "guest:" in refusal({"ID": "guest:email:ayu@example.com"}, ID)


def test_an_absent_key_says_nothing_even_where_empty_cells_clear():
    seen = profile({"ID": "1"}, {**ID, "email": "Email", "name": "Name"}, empty_is_none=True)

    assert seen.fields == {}
    assert seen.identifiers == {}


@given(
    st.text(min_size=1, max_size=12) | st.sampled_from(["email", "#created", "@email", "a.b", "tag:x", "x_as_given"])
)
def test_a_field_of_one_s_own_is_kept_where_the_api_keeps_it(name):
    mapping = {**ID, f"field.{name}": "Column"}
    if files.problems(mapping):
        assert name != name.strip() or not name.isascii() or "\0" in name
        return

    seen = profile({"ID": "1", "Column": "gold"}, mapping)

    assert seen.fields == {of_field(name): "gold"}


@given(st.text(max_size=20))
@example("half a pair \ud800")
def test_any_text_in_a_cell_becomes_a_body_that_is_read(text):
    body = files.body_of({"ID": "1", "Name": text})

    assert json.loads(body)["Name"] == text
    read({"ID": "1", "Name": text}, {**ID, "name": "Name"})


def test_the_same_row_is_the_same_delivery_until_anything_of_it_changes():
    headers = files.headers_of(ID, AS_OF)
    same = files.headers_of(dict(ID), AS_OF.astimezone(timezone(timedelta(hours=7))))
    others = [
        files.headers_of({**ID, "name": "Name"}, AS_OF),
        files.headers_of(ID, AS_OF + timedelta(seconds=1)),
        files.headers_of(ID, AS_OF, empty_is_none=True),
    ]

    receipt = files.receive(headers, b"{}")

    assert receipt == files.receive(same, b"{}")
    assert (receipt.topic, receipt.sent_at) == ("file/row", AS_OF)
    assert len({receipt.delivery_id, *(files.receive(other, b"{}").delivery_id for other in others)}) == 4


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        ({"email": "Email", "e-mail": "Email"}, "e-mail: not a name that a column can have"),
        ({"name": "Name"}, "about nobody"),
        ({"email": "Nope"}, "email: the file has no column 'Nope'"),
        ({"email": "Email", "tags": "Tags"}, "tags: map external_id too"),
        ({"email": "Email", "sms_consent_at": "Tags"}, "sms_consent_at: map sms_consent too"),
        ({"email": "Email", "field.": "Tags"}, "field.: not a name"),
        ({"email": "Email", "city": "Tags", "json.address": "Name"}, "address: mapped twice"),
        ({"email": "Email", "field.tier": "Tags", "json.tier": "Name"}, "tier: mapped twice"),
        ({"email": "Email", "company": "Tags", "field.company": "Name"}, "company: mapped twice"),
    ],
)
def test_what_is_wrong_with_a_mapping_has_a_reason(mapping, reason):
    (problem,) = files.problems(mapping, ["Email", "Name", "Tags"])

    assert reason in problem


def test_a_whole_mapping_has_no_problems():
    assert files.problems({name: name for name in files.NAMES}, files.NAMES) == []


@pytest.mark.parametrize("header", ["", "no JSON", "[]", '{"email": 1}', '{"nobody": "knows"}'])
def test_a_row_whose_mapping_is_lost_or_broken_is_malformed(header):
    envelope = Envelope(topic="file/row", delivery_id="d", sent_at=None, headers={files.MAPPING: header}, body=b"{}")

    with pytest.raises(MalformedPayloadError, match="file-mapping"):
        files.parse(envelope, Account(source="crm"))


def test_json_in_a_cell_keeps_its_types_and_must_be_json():
    mapping = {**ID, "json.points": "Points"}

    for written, value in [("12", 12), ('"12"', "12"), ("[1, null]", [1, None]), (str(10**30), str(10**30))]:
        assert profile({"ID": "1", "Points": written}, mapping).fields == {"points": value}
    for broken in ("gold", "NaN", "1e999", "[" * 5000, "[" * 9 + "]" * 9):
        assert refusal({"ID": "1", "Points": broken}, mapping).startswith("Points: ")
