"""Identifiers: every source's spelling of a number or an e-mail gets the same normal form."""

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain import identifiers


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


@given(st.from_regex(r"\+(1|39|44|54|62|225)[0-9]{2,11}", fullmatch=True))
def test_only_a_number_that_repeats_one_digit_identifies_nobody(number):
    address = identifiers.phone(number, None)
    if address is not None:
        digits = str(phonenumbers.parse(address.key, None).national_number)
        assert identifiers.identifies_nobody("phone", address.key) is (len(set(digits)) == 1)


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
