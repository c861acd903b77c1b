"""Identifiers: every source's spelling of a number or an e-mail gets the same normal form."""

from unittest.mock import patch

import phonenumbers
import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain import identifiers


@pytest.mark.parametrize(
    ("written", "region", "key"),
    [
        ("+62 812-7350-9142", None, "+6281273509142"),
        ("081273509142", "ID", "+6281273509142"),
        ("6281273509142", "ID", "+6281273509142"),
        ("00 62 812 7350 9142", None, "+6281273509142"),
        ("+1 (613) 555-0142", None, "+16135550142"),
        ("+554188887777", None, "+5541988887777"),  # Brazil's ninth digit
        ("+5541988887777", None, "+5541988887777"),
        ("+5215512345678", None, "+525512345678"),  # Mexico's 1
        ("+5491158749895", None, "+541158749895"),  # Argentina's 9
        ("+541158749895", None, "+541158749895"),
    ],
)
def test_every_spelling_of_a_number_has_the_same_key(written, region, key):
    assert identifiers.phone(written, region).key == key


def test_a_number_is_shown_as_the_source_wrote_it():
    assert identifiers.phone("+54 9 11 5874-9895", None).value == "+5491158749895"
    assert identifiers.phone("+5215512345678", None).value == "+5215512345678"


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ("555-625-1199", "US"),
        ("00000000", "ID"),
        ("081273509142", None),
        ("555-555-SHIP", "US"),
        ("", "ID"),
        ("+", None),
    ],
)
def test_a_text_that_is_no_number_gives_none(written, region):
    assert identifiers.phone(written, region) is None


def test_an_email_is_compared_in_lower_case_and_shown_as_written():
    assert identifiers.email(" Ayu.Le stari@Example.COM") == ("ayu.lestari@example.com", "Ayu.Lestari@example.com")
    assert identifiers.email("no at sign") is None
    assert identifiers.email("foo@bar") is None


@pytest.mark.parametrize(
    ("kind", "key", "nobody"),
    [
        ("email", "noreply@example.com", True),
        ("email", "ayu@example.com", False),
        ("phone", "+12222222222", True),
        ("phone", "+628123456789", False),
        ("phone", "+6281273509142", False),
    ],
)
def test_placeholders_identify_nobody(kind, key, nobody):
    assert identifiers.identifies_nobody(kind, key) is nobody


@given(
    st.from_regex(r"[a-zA-Z0-9_.+-]{1,6}@[a-zA-Z0-9.-]{0,9}(\.(com|test|local|xn--p1ai|1|co-m))?", fullmatch=True)
    | st.integers(180, 260).map(lambda n: f"{'a' * (n - 180)}@{'b' * 60}.{'c' * 60}.{'d' * 50}.com")
)
def test_the_short_way_treats_an_email_like_the_library(address):
    try:
        expected = validate_email(address, check_deliverability=False).normalized
    except EmailNotValidError:
        expected = None
    found = identifiers.email(address)
    assert (found and found.value) == expected


@given(st.from_regex(r"\+(1|39|44|54|62|225)[0-9]{2,11}", fullmatch=True))
def test_only_a_number_that_repeats_one_digit_identifies_nobody(number):
    address = identifiers.phone(number, None)
    if address is not None:
        digits = str(phonenumbers.parse(address.key, None).national_number)
        assert identifiers.identifies_nobody("phone", address.key) is (len(set(digits)) == 1)


def parsed_by_the_library(number):
    with patch.object(identifiers, "_is_plain", lambda _: False):
        return identifiers.phone.__wrapped__(number, None)


@given(
    st.builds(
        "+{}{}".format,
        st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)) | st.integers(0, 9999),
        st.from_regex(r"[0-9]{1,16}", fullmatch=True),
    )
)
@settings(max_examples=500)
def test_the_short_way_treats_a_number_like_the_library(number):
    assert identifiers.phone.__wrapped__(number, None) == parsed_by_the_library(number)


@pytest.mark.parametrize("code", sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))
def test_the_short_way_treats_an_example_of_each_country_like_the_library(code):
    regions = phonenumbers.region_codes_for_country_code(code)
    kinds = phonenumbers.PhoneNumberType.values()
    examples = [phonenumbers.example_number_for_type(region, kind) for region in regions for kind in kinds]
    examples.append(phonenumbers.example_number_for_non_geo_entity(code))
    for example in filter(None, examples):
        written = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164)
        # With a digit less, a digit more and a zero in front we reach other prefixes and impossible lengths.
        for number in (written, written[:-1], written + "7", f"+{code}0{written[1 + len(str(code)) :]}"):
            assert identifiers.phone.__wrapped__(number, None) == parsed_by_the_library(number)


def test_most_numbers_go_the_short_way():
    for number in ("+6281273509142", "+16135550142", "+4915112345678", "+447400123456", "+5541988887777"):
        assert identifiers._is_plain(number)


@given(st.text(max_size=40), st.sampled_from([None, "ID", "US"]))
def test_any_text_is_accepted_and_a_key_has_itself_as_its_key(value, region):
    for normalise in (identifiers.email, lambda v: identifiers.phone(v, region)):
        found = normalise(value)
        if found is not None:
            assert normalise(found.key).key == found.key
