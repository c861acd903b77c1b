"""Identifiers: every source's spelling of a number or an e-mail gets the same normal form."""

from unittest.mock import patch

import hypothesis
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


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ("+1 613-555-0100 x101", None),
        ("+1 613-555-0100 ext. 101", None),
        ("+1 (613) 555-0100 extension 101", None),
        ("+16135550100;ext=101", None),
        ("tel:+1-613-555-0100;ext=101", None),
        ("+1 613 555 0100 #101", None),
        ("+16135550100 x\u0661\u0660\u0661", None),  # Arabic digits
        ("001 613-555-0100 x101", None),
        ("(613) 555-0100 x101", "US"),
        ("613-555-0100;ext=101", "CA"),
    ],
)
def test_a_number_keeps_its_extension(written, region):
    assert identifiers.phone(written, region) == ("+16135550100;ext=101", "+16135550100;ext=101")
    assert identifiers.given_phone(written.removeprefix("+"), region or "US").key == "+16135550100;ext=101"


def test_an_extension_is_kept_digit_by_digit():
    keys = {identifiers.phone(f"+16135550100 x{digits}", None).key for digits in ("7", "07", "007", "0", "00")}
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("+554188887777 x1", "+5541988887777;ext=1"),
        ("+5215512345678 ext 01", "+525512345678;ext=01"),
        ("+54 9 11 5874-9895 x1", "+541158749895;ext=1"),
    ],
)
def test_the_key_of_a_number_with_an_extension_is_evened_out_too(written, key):
    found = identifiers.phone(written, None)
    assert found.key == key
    assert identifiers.phone_key(found.value) == key
    assert found.value.partition(";")[0] == identifiers.phone(written.split(" x")[0].split(" e")[0], None).value


def test_the_library_limits_how_long_an_extension_is():
    longest = "+16135550100;ext=" + "1" * 20
    assert identifiers.phone(longest, None).key == longest
    for too_long in (longest + "1", "+16135550100 x" + "1" * 300, "+16135550100;ext="):
        assert identifiers.phone(too_long, None) is None


@pytest.mark.parametrize(
    ("channel", "address", "kind"),
    [
        ("whatsapp", "+16135550100;ext=101", "phone"),
        ("whatsapp", "+1 613-555-0100 x101", "phone"),
        ("whatsapp", "(613) 555-0100 Ext. 101", "phone"),
        ("whatsapp", "16135550100", "phone"),
        ("whatsapp", "US.13491208655302741918", "whatsapp_bsuid"),
        ("whatsapp", "US.1349x5", "whatsapp_bsuid"),
        ("whatsapp", "1x5y", "whatsapp_bsuid"),
        ("sms", "+16135550100;ext=101", "phone"),
        ("all", "+16135550100;ext=101", "phone"),
    ],
)
def test_an_extension_makes_no_other_type_of_an_address(channel, address, kind):
    assert identifiers.type_of_address(channel, address) == kind
    normal = identifiers.normal_form(kind, address, "US").key
    assert identifiers.of_address(channel, normal) == (kind, normal)


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
        ("phone", "+12222222222;ext=12", True),
        ("phone", "+16135550100;ext=11", False),
        ("phone", "+16135550142;ext=00", False),
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


#: The national number begins with no prefix, of which the library takes off one each time.
WITH_EXTENSION = st.from_regex(
    r"\+(1|39|44|52|54|55|62)[2-9][0-9]{5,11}( x|;ext=| ext\. | #)[0-9]{1,21}", fullmatch=True
)


@given(st.text(max_size=40) | WITH_EXTENSION, st.sampled_from([None, "ID", "US"]))
def test_any_text_is_accepted_and_a_key_has_itself_as_its_key(value, region):
    for normalise in (identifiers.email, lambda v: identifiers.phone(v, region)):
        found = normalise(value)
        if found is not None:
            assert normalise(found.key).key == found.key
            assert normalise(found.value) == found


@pytest.mark.parametrize("written", ["+55900000000000 x0", "+55900000000000", "+5500000000000", "+559060000000"])
def test_a_number_of_prefixes_alone_has_no_two_keys(written):
    found = identifiers.phone(written, None)

    assert found is None or identifiers.phone(found.value, None) == found


@given(WITH_EXTENSION)
@hypothesis.example("+55900000000000 x0")
def test_an_extension_changes_nothing_else_about_a_number(written):
    found = identifiers.phone(written, None)
    if found is not None:
        key, _, extension = found.key.partition(";ext=")
        assert identifiers.phone(found.value.partition(";ext=")[0], None).key == key
        assert written.endswith(extension)
        assert identifiers.identifies_nobody("phone", found.key) is identifiers.identifies_nobody("phone", key)
