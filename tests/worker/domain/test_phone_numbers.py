"""Phone numbers: every spelling has one normal form, and a text that is no single number has none."""

from unittest.mock import patch

import hypothesis
import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.domain import identifiers, phone_numbers


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
    assert phone_numbers.phone(written, region).key == key


def test_a_number_is_shown_as_the_source_wrote_it():
    assert phone_numbers.phone("+54 9 11 5874-9895", None).value == "+5491158749895"
    assert phone_numbers.phone("+5215512345678", None).value == "+5215512345678"


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
    assert phone_numbers.phone(written, region) is None


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
    assert phone_numbers.phone(written, region) == ("+16135550100;ext=101", "+16135550100;ext=101")
    assert phone_numbers.given_phone(written.removeprefix("+"), region or "US").key == "+16135550100;ext=101"


def test_an_extension_is_kept_digit_by_digit():
    keys = {phone_numbers.phone(f"+16135550100 x{digits}", None).key for digits in ("7", "07", "007", "0", "00")}
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
    found = phone_numbers.phone(written, None)
    assert found.key == key
    assert phone_numbers.phone_key(found.value) == key
    assert found.value.partition(";")[0] == phone_numbers.phone(written.split(" x")[0].split(" e")[0], None).value


def test_the_library_limits_how_long_an_extension_is():
    longest = "+16135550100;ext=" + "1" * 20
    assert phone_numbers.phone(longest, None).key == longest
    for too_long in (longest + "1", "+16135550100 x" + "1" * 300, "+16135550100;ext="):
        assert phone_numbers.phone(too_long, None) is None


def parsed_by_the_library(number):
    with patch.object(phone_numbers, "_is_plain", lambda _: False):
        return phone_numbers.phone.__wrapped__(number, None)


@given(
    st.builds(
        "+{}{}".format,
        st.sampled_from(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE)) | st.integers(0, 9999),
        st.from_regex(r"[0-9]{1,16}", fullmatch=True),
    )
)
@settings(max_examples=500)
def test_the_short_way_treats_a_number_like_the_library(number):
    assert phone_numbers.phone.__wrapped__(number, None) == parsed_by_the_library(number)


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
            assert phone_numbers.phone.__wrapped__(number, None) == parsed_by_the_library(number)


def test_most_numbers_go_the_short_way():
    for number in ("+6281273509142", "+16135550142", "+4915112345678", "+447400123456", "+5541988887777"):
        assert phone_numbers._is_plain(number)


#: The national number begins with no prefix, of which the library takes off one each time.
WITH_EXTENSION = st.from_regex(
    r"\+(1|39|44|52|54|55|62)[2-9][0-9]{5,11}( x|;ext=| ext\. | #)[0-9]{1,21}", fullmatch=True
)


@pytest.mark.parametrize("written", ["+55900000000000 x0", "+55900000000000", "+5500000000000", "+559060000000"])
def test_a_number_of_prefixes_alone_has_no_two_keys(written):
    found = phone_numbers.phone(written, None)

    assert found is None or phone_numbers.phone(found.value, None) == found


@given(WITH_EXTENSION)
@hypothesis.example("+55900000000000 x0")
def test_an_extension_changes_nothing_else_about_a_number(written):
    found = phone_numbers.phone(written, None)
    if found is not None:
        key, _, extension = found.key.partition(";ext=")
        assert phone_numbers.phone(found.value.partition(";ext=")[0], None).key == key
        assert written.endswith(extension)
        assert identifiers.identifies_nobody("phone", found.key) is identifiers.identifies_nobody("phone", key)


@pytest.mark.parametrize(
    ("written", "region"),
    [
        ("0812 345 678 Ani", "ID"),
        ("Ani 0812 3456 7890", "ID"),
        ("+62812 (rumah) 345678", None),
        ("+1-800-FLOWERS", None),
        ("030 12345/12346", "DE"),
        ("030/12345/12346", "DE"),
        ("0812-3456-7890 / 0813-1111-2222", "ID"),
        ("0301234 0305678", "DE"),
        ("0301234\n0305678", "DE"),
        ("030 12345, 12346", "DE"),
        ("030 12345; 12346", "DE"),
        ("030 12345 or 12346", "DE"),
        ("+6281234567+6281234568", None),
        ("wa.me/6281234567890", "ID"),
        ("https://wa.me/6281234567890", "ID"),
        ("api.whatsapp.com/send?phone=6281234567890", "ID"),
        ("81234567890.0", "ID"),
        ("+6281234567890.00", None),
        ("81234567890,0", "ID"),
        ("6.28123456789E12", "ID"),
        ("6,28E+12", "ID"),
        ("81,234,567,890", "ID"),
        ("=6281234567890", "ID"),
    ],
)
def test_a_text_that_is_more_than_one_number_is_none(written, region):
    assert phone_numbers.phone(written, region) is None
    assert phone_numbers.given_phone(written, region) is None


@pytest.mark.parametrize(
    ("written", "region", "key"),
    [
        ("030/1234567", "DE", "+49301234567"),
        ("033203/123456", "DE", "+4933203123456"),
        ("+49 30/1234567", None, "+49301234567"),
        ("0049 30/1234567", None, "+49301234567"),
        ("+49 (0)30 1234567", None, "+49301234567"),
        ("06/12/34/56/78", "FR", "+33612345678"),
        ("06.12.34.56.78", "FR", "+33612345678"),
        ("(0812) 3456-7890", "ID", "+6281234567890"),
        ("0812 \u2013 3456 \u2013 7890", "ID", "+6281234567890"),
        ("\uff0b62 812 3456 7890", None, "+6281234567890"),
        ("\uff10812\u30003456\u00a07890", "ID", "+6281234567890"),
        ("\u200e+62 812 3456 7890\u200e", None, "+6281234567890"),
        ("\u202d0812\u200b34567890\u202c", "ID", "+6281234567890"),
    ],
)
def test_one_number_is_read_however_it_is_set(written, region, key):
    assert phone_numbers.phone(written, region).key == key
