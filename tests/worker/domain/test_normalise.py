"""Normalise: events become statements. Times, addresses and the keys of guests get their normal form."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest

from connectors.contract import (
    Account,
    ConnectionRevoked,
    ConsentStated,
    Envelope,
    ErasureRequested,
    ExportRequested,
    Identifier,
    MalformedPayloadError,
    NoteAdded,
    ProfileRemoved,
    ProfileSeen,
    ProfilesMerged,
    SuppressionStated,
    TagsAdded,
    TagsRemoved,
    TagsSnapshot,
)
from worker.domain import registers
from worker.domain.normalise import ceiling_of, normalise, normalise_api_write
from worker.domain.times import microseconds

SENT_AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
EARLIER = SENT_AT - timedelta(hours=1)
CEILING = ceiling_of(SENT_AT)
YEARS_AHEAD = datetime(2031, 1, 1, tzinfo=UTC)
REF, PERSON, EDIT = ("shop", "1"), ("api", "email:a@example.com"), ("api", "edit:shop:1")


def statements_of(*events, sent_at=SENT_AT, account=Account(source="shop")):  # noqa: B008 - frozen
    envelope = Envelope(topic="t", delivery_id="d", sent_at=sent_at, headers={}, body=b"")
    connector = SimpleNamespace(parse=lambda _envelope, _account: events)
    return normalise(uuid4(), envelope, connector, account, ceiling=CEILING)


def a_profile(external_id="1", at=EARLIER, region=None, **identifiers):
    return ProfileSeen(
        external_id=external_id,
        occurred_at=at,
        region=region,
        identifiers={slot: Identifier(type=slot, value=value) for slot, value in identifiers.items()},
    )


def a_consent(status, at):
    return ConsentStated(external_id="1", channel="email", status=status, address="a@example.com", occurred_at=at)


@pytest.mark.parametrize(
    ("given", "sent_at", "occurred"),
    [
        (EARLIER, SENT_AT, EARLIER),
        (SENT_AT + timedelta(days=1), SENT_AT, SENT_AT),  # the clock of the source is ahead
        (None, SENT_AT, SENT_AT),
        (EARLIER, None, EARLIER),
        (None, None, None),
    ],
)
def test_a_statement_is_never_newer_than_its_sending(given, sent_at, occurred):
    (statement,) = statements_of(a_profile(at=given), sent_at=sent_at).records[REF]

    assert statement.stamp.occurred == microseconds(occurred)


def test_the_position_in_the_envelope_distinguishes_statements_with_the_same_time():
    found = statements_of(a_profile(), TagsAdded(external_id="1", tags=("VIP", "vip"), occurred_at=EARLIER))

    profile, tags = found.records[REF]
    assert (profile.stamp.position, tags.stamp.position) == (0, 1)
    assert (tags.tags, tags.present) == ({"vip": "VIP"}, True)


def test_an_identifier_is_claimed_in_its_normal_form_and_locked():
    found = statements_of(a_profile(email="Ayu@Example.com", phone="0812 3456 7890", region="ID"))

    held = found.records[REF][0].registers
    assert held[registers.of_slot("email")] == ("email", "ayu@example.com", "Ayu@example.com", False)
    assert held[registers.of_slot("phone")] == ("phone", "+6281234567890", "+6281234567890", False)
    assert found.idents == {("email", "ayu@example.com"), ("phone", "+6281234567890")}


def test_a_value_that_is_no_identifier_is_kept_as_the_source_gave_it():
    held = statements_of(a_profile(email="nobody at home")).records[REF][0].registers

    assert held[registers.of_slot("email")] is None
    assert held[registers.as_given("email")] == "nobody at home"


def test_the_key_of_a_guest_is_its_email_or_else_its_number_and_without_both_there_is_no_record():
    by_email = statements_of(a_profile(None, email="a@example.com", phone="+6281234567890"))
    by_phone = statements_of(a_profile(None, email="no", phone="+6281234567890"))

    assert set(by_email.records) == {("shop", "guest:email:a@example.com")}
    assert set(by_phone.records) == {("shop", "guest:phone:+6281234567890")}
    assert statements_of(a_profile(None)).is_empty


def test_an_opt_out_without_a_time_counts_from_its_sending_and_an_opt_in_is_a_baseline():
    def occurred(status):
        event = ConsentStated(
            external_id="1", channel="email", status=status, address="A@example.com", occurred_at=None
        )
        (consent,) = statements_of(event).consents
        return consent.occurred

    assert occurred("opted_out") == microseconds(SENT_AT)
    assert occurred("opted_in") == 0


def test_a_consent_with_neither_a_customer_nor_an_address_is_dropped():
    event = ConsentStated(external_id=None, channel="email", status="opted_in", address=None, occurred_at=EARLIER)

    assert statements_of(event).is_empty


def test_a_merge_mentions_both_customers_and_a_merge_with_itself_is_no_decision():
    merged = statements_of(ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=EARLIER))
    same = statements_of(ProfilesMerged(kept_external_id="1", lost_external_id="1", occurred_at=EARLIER))

    assert set(merged.records) == {("shop", "1"), ("shop", "2")}
    assert [(d.kind, d.a, d.b) for d in merged.decisions] == [("source_merge", ("shop", "1"), ("shop", "2"))]
    assert same.decisions == []


def test_every_other_event_becomes_its_kind_of_statement():
    found = statements_of(
        TagsRemoved(external_id="1", tags=("vip",), occurred_at=EARLIER),
        TagsSnapshot(external_id="1", tags=("new",), occurred_at=EARLIER),
        ProfileRemoved(external_id="1", occurred_at=EARLIER),
        NoteAdded(external_id="1", body="called", occurred_at=EARLIER),
        SuppressionStated(
            external_id="1", channel="email", address="A@example.com", scope="all", reason="hard_bounce",
            lifted=False, occurred_at=EARLIER,
        ),
        ErasureRequested(subject="customer", external_id="1", identifiers=(), occurred_at=EARLIER),
        ConnectionRevoked(occurred_at=EARLIER),
    )  # fmt: skip

    assert [type(statement).__name__ for statement in found.records[REF]] == [
        "TagsStatement",
        "TagSnapshotStatement",
        "RemovalStatement",
        "RemovalStatement",
    ]
    assert [statement.erases for statement in found.records[REF][2:]] == [False, True]  # fmt: skip
    assert [note.body for note in found.notes] == ["called"]
    assert [(s.address, s.reason) for s in found.suppressions] == [("a@example.com", "hard_bounce")]
    assert [request.kind for request in found.privacy_requests] == ["erase_customer"]
    assert found.revoked == microseconds(EARLIER)


def an_api_write(*events, links=(), about=()):
    about = {ref[1]: refs for ref, refs in about}
    return normalise_api_write(uuid4(), events, links, about, sent_at=SENT_AT, delivery_id="api:1", ceiling=CEILING)


def test_an_api_write_makes_statements_of_the_source_that_it_names_and_links_records():
    found = an_api_write(("shop", a_profile()), links=[(REF, PERSON)])

    assert set(found.records) == {REF, PERSON}
    assert found.records[PERSON] == []
    assert [(d.kind, d.a, d.b) for d in found.decisions] == [("link", REF, PERSON)]


def test_an_edit_names_the_records_that_its_person_had():
    found = an_api_write(about=[(EDIT, [REF, PERSON])])

    (statement,) = found.records[EDIT]
    assert statement.registers == {registers.ABOUT: [list(REF), list(PERSON)]}
    assert statement.stamp.occurred == microseconds(SENT_AT)
    assert [(d.kind, d.a, d.b) for d in found.decisions] == [("about", REF, EDIT), ("about", PERSON, EDIT)]


def test_a_link_of_an_edit_in_an_early_release_names_the_record_of_its_person():
    early = ("api", "cnt_1")

    found = an_api_write(links=[(REF, early)])

    assert found.records[early][0].registers == {registers.ABOUT: [list(REF)]}
    assert [(d.kind, d.a, d.b) for d in found.decisions] == [("about", REF, early)]


def test_no_time_is_later_than_the_ceiling():
    later = YEARS_AHEAD
    found = statements_of(
        ProfileSeen(external_id="1", occurred_at=later, created_at=later),
        TagsAdded(external_id="1", tags=("vip",), occurred_at=later),
        TagsRemoved(external_id="1", tags=("vip",), occurred_at=later),
        TagsSnapshot(external_id="1", tags=("new",), occurred_at=later),
        ProfileRemoved(external_id="1", occurred_at=later),
        ProfilesMerged(kept_external_id="1", lost_external_id="2", occurred_at=later),
        ConsentStated(external_id="1", channel="email", status="opted_out", address=None, occurred_at=later),
        SuppressionStated(
            external_id="1", channel="email", address="a@example.com", reason="manual", occurred_at=later
        ),
        NoteAdded(external_id="1", body="called", occurred_at=later),
        ErasureRequested(subject="customer", external_id="1", identifiers=(), occurred_at=later),
        ExportRequested(external_id="1", identifiers=(), occurred_at=later),
        ConnectionRevoked(occurred_at=later),
        sent_at=None,
    )  # fmt: skip

    statements = found.records[REF]
    times = [statement.stamp.occurred for statement in statements]
    times += [one.occurred for one in (*found.decisions, *found.consents, *found.suppressions)]
    times += [note.written for note in found.notes] + [request.occurred for request in found.privacy_requests]
    times += [found.revoked, statements[0].registers[registers.CREATED]]
    assert times == [microseconds(CEILING)] * 14
    assert found.clamped == 13


def test_the_sending_time_is_clamped_too_because_it_decides_ties():
    found = statements_of(a_profile(at=None), TagsAdded(external_id="1", tags=("vip",), occurred_at=EARLIER),
                          sent_at=YEARS_AHEAD)  # fmt: skip

    profile, tags = found.records[REF]
    assert (profile.stamp.occurred, profile.stamp.sent) == (microseconds(CEILING), microseconds(CEILING))
    assert (tags.stamp.occurred, tags.stamp.sent) == (microseconds(EARLIER), microseconds(CEILING))
    assert found.clamped == 1


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=5)])
def test_a_clock_that_is_little_ahead_is_followed(ahead):
    found = statements_of(a_consent("opted_in", SENT_AT + ahead), a_profile(at=SENT_AT + ahead), sent_at=None)

    assert found.consents[0].occurred == found.records[REF][0].stamp.occurred == microseconds(SENT_AT + ahead)
    assert found.clamped == 0


@pytest.mark.parametrize(
    ("sent_at", "edited_at", "sent"),
    [
        (None, SENT_AT, SENT_AT),
        (None, None, None),
        (None, YEARS_AHEAD, CEILING),
        (EARLIER + timedelta(minutes=1), SENT_AT, EARLIER + timedelta(minutes=1)),
    ],
)
def test_the_time_of_an_edit_decides_ties_where_the_sending_time_is_unknown(sent_at, edited_at, sent):
    found = statements_of(replace(a_profile(), edited_at=edited_at), sent_at=sent_at)

    assert found.records[REF][0].stamp[:2] == (microseconds(EARLIER), microseconds(sent))


def test_a_time_long_past_counts_as_given():
    past = datetime(1999, 1, 1, tzinfo=UTC)

    assert statements_of(a_consent("opted_in", past)).consents[0].occurred == microseconds(past)


@pytest.mark.parametrize("sent_at", [None, SENT_AT, YEARS_AHEAD])
def test_a_yes_from_a_wrong_clock_is_a_baseline_and_a_no_still_counts(sent_at):
    def occurred(status):
        return statements_of(a_consent(status, YEARS_AHEAD), sent_at=sent_at).consents[0].occurred

    latest = microseconds(SENT_AT if sent_at == SENT_AT else CEILING)
    assert occurred("opted_in") == 0
    assert (occurred("opted_out"), occurred("pending")) == (latest, latest)


@pytest.mark.parametrize(("occurred_at", "sent_at"), [(YEARS_AHEAD, SENT_AT), (YEARS_AHEAD, None), (None, YEARS_AHEAD)])
def test_a_lift_from_a_wrong_clock_lifts_nothing_and_a_suppression_still_counts(occurred_at, sent_at):
    def occurred(*, lifted):
        event = SuppressionStated(
            external_id="1", channel="email", address="a@example.com", reason="manual", lifted=lifted,
            occurred_at=occurred_at, expires_at=YEARS_AHEAD,
        )  # fmt: skip
        (suppression,) = statements_of(event, sent_at=sent_at).suppressions
        assert suppression.expires_at == YEARS_AHEAD
        return suppression.occurred

    assert occurred(lifted=True) == 0
    assert occurred(lifted=False) == microseconds(SENT_AT if sent_at == SENT_AT else CEILING)


def test_the_ceiling_of_an_api_write_is_never_below_its_own_sending_time():
    sent_at = CEILING + timedelta(microseconds=1)

    def consent_of(occurred_at):
        events = [("shop", a_consent("opted_in", occurred_at))]
        return normalise_api_write(uuid4(), events, sent_at=sent_at, delivery_id="api:1", ceiling=CEILING)

    assert consent_of(sent_at).consents[0].occurred == microseconds(sent_at)
    assert consent_of(sent_at).clamped == 0
    assert consent_of(sent_at + timedelta(microseconds=1)).consents[0].occurred == 0


# What cannot be read, and what can be read in two ways.


@pytest.mark.parametrize("status", ["opted_out", "opted_in", "pending"])
@pytest.mark.parametrize("address", ["hana@@docomo.ne.jp", "", "\u200b", "Ayu ayu@example.com"])
def test_a_consent_for_an_address_that_cannot_be_read_is_parked(status, address):
    event = ConsentStated(external_id="1", channel="email", status=status, address=address, occurred_at=EARLIER)

    with pytest.raises(MalformedPayloadError, match="cannot read the address"):
        statements_of(event)


def test_a_consent_that_says_nothing_parks_nobody():
    event = ConsentStated(external_id="1", channel="sms", status="unknown", address="555-SHIP", occurred_at=EARLIER)

    assert statements_of(a_profile(), event).consents == []


def test_a_suppression_for_an_address_that_cannot_be_read_is_parked():
    event = SuppressionStated(
        external_id="1", channel="sms", address="0812 345 678 Ani", reason="stop_keyword", occurred_at=EARLIER
    )

    with pytest.raises(MalformedPayloadError, match="cannot read"):
        statements_of(event)


def test_a_guest_whose_only_address_cannot_be_read_is_parked():
    with pytest.raises(MalformedPayloadError, match="cannot read the email"):
        statements_of(a_profile(None, email="hana@@docomo.ne.jp"))


def test_values_that_cannot_be_read_are_noted():
    found = statements_of(a_profile(email="ayu@", phone="0812 345 678 Ani"))

    assert found.unread == ["email_as_given", "phone_as_given"]


MEXICAN = "55 1234 5678"  #: in Mexico; in the USA a number of New Jersey
AT_HOME = Account(source="shop", region="US")


def registers_of(found, ref=REF):
    (statement,) = found.records[ref]
    return statement.registers


def test_the_country_of_the_address_goes_before_that_of_the_connection():
    found = statements_of(a_profile(phone="030 1234567", region="DE"), account=AT_HOME)

    assert registers_of(found)["@phone"][1] == "+49301234567"


def test_without_a_country_of_its_own_the_number_is_of_the_connections_country():
    found = statements_of(a_profile(phone="551 234 5678"), account=AT_HOME)

    assert registers_of(found)["@phone"][1] == "+15512345678"


def test_a_number_of_two_countries_is_shown_and_claims_nothing():
    found = statements_of(a_profile(phone=MEXICAN, region="MX"), account=AT_HOME)

    registers = registers_of(found)
    assert registers["@phone"] is None
    assert registers["@phone?"][2] == "+525512345678"
    assert found.idents == set()


@pytest.mark.parametrize(
    "phone",
    [
        Identifier(type="phone", value="+52 55 1234 5678"),
        Identifier(type="phone", value="0052 55 1234 5678"),
        Identifier(type="phone", value=MEXICAN, verified=True),
    ],
)
def test_an_international_spelling_or_a_proof_leaves_one_reading(phone):
    event = ProfileSeen(external_id="1", occurred_at=EARLIER, identifiers={"phone": phone}, region="MX")

    assert registers_of(statements_of(event, account=AT_HOME))["@phone"][1] == "+525512345678"


def test_a_no_is_for_both_readings_and_a_yes_for_neither():
    def said(status):
        event = ConsentStated(
            external_id="1", channel="sms", status=status, address=MEXICAN, occurred_at=EARLIER, region="MX"
        )
        return {consent.address for consent in statements_of(event, account=AT_HOME).consents}

    assert said("opted_out") == {"+525512345678", "+15512345678"}
    assert said("opted_in") == set()


@pytest.mark.parametrize(("lifted", "readings"), [(False, 2), (True, 0)])
def test_a_suppression_is_for_both_readings_and_a_lift_for_neither(lifted, readings):
    event = SuppressionStated(
        external_id="1",
        channel="sms",
        address=MEXICAN,
        reason="stop_keyword",
        occurred_at=EARLIER,
        lifted=lifted,
        region="MX",
    )

    assert len(statements_of(event, account=AT_HOME).suppressions) == readings


def test_an_unknown_word_is_remarked_without_quoting_it():
    event = ConsentStated(
        external_id="1",
        channel="email",
        status="opted_out",
        address="a@example.com",
        occurred_at=EARLIER,
        evidence={"unknown_word": "perhaps", "unknown_word_at": "meta_data.box"},
    )

    remark = statements_of(event).remark
    assert remark.startswith("meta_data.box: ")
    assert "perhaps" not in remark
