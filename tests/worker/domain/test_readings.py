"""What an identifier or an address can stand for."""

import pytest

from connectors.contract import Account, Identifier, MalformedPayloadError
from worker.domain.readings import addresses, claim, guest_key, has_two_readings

AT_HOME = Account(source="shop", region="US")
MEXICAN = "55 1234 5678"  #: in Mexico; in the USA a number of New Jersey
IN_MEXICO, IN_THE_USA = "+525512345678", "+15512345678"


def test_a_claim_has_the_normal_form_and_what_the_source_gave_is_kept_only_if_there_is_none():
    assert claim(Identifier(type="email", value="Ayu@example.com"), None) == (
        ("email", "ayu@example.com", "Ayu@example.com", False),
        None,
    )
    assert claim(Identifier(type="email", value="ayu@"), None) == (None, "ayu@")
    assert claim(None, None) == (None, None)


@pytest.mark.parametrize(
    ("own", "text", "is_verified", "expected"),
    [
        ("MX", MEXICAN, False, True),
        ("US", MEXICAN, False, False),
        (None, MEXICAN, False, False),
        ("MX", IN_MEXICO, False, False),
        ("MX", MEXICAN, True, False),
    ],
)
def test_a_number_of_two_countries_has_two_readings(own, text, is_verified, expected):
    assert has_two_readings(Identifier(type="phone", value=text, verified=is_verified), AT_HOME, own) is expected


def test_a_guest_is_known_by_its_email_then_by_its_number_then_by_one_with_two_readings():
    email, phone = ("email", "a@example.com", "A@example.com", False), ("phone", IN_MEXICO, IN_MEXICO, False)

    assert guest_key({"phone": phone, "email": email}, None) == "guest:email:a@example.com"
    assert guest_key({"phone": phone, "email": None}, None) == f"guest:phone:{IN_MEXICO}"
    assert guest_key({"email": None}, phone) == f"guest:phone?:{IN_MEXICO}"
    assert guest_key({}, None) is None


def test_an_address_has_all_its_readings_the_country_of_its_own_first():
    assert addresses("sms", MEXICAN, "US", "MX") == [IN_MEXICO, IN_THE_USA]
    assert addresses("sms", MEXICAN, "US", None) == [IN_THE_USA]
    assert addresses("email", None, "US", "MX") == ()


@pytest.mark.parametrize(("channel", "text"), [("email", "hana@@example.com"), ("sms", "555-SHIP")])
def test_an_address_that_cannot_be_read_is_an_error_that_does_not_quote_it(channel, text):
    with pytest.raises(MalformedPayloadError, match="cannot read the address") as caught:
        addresses(channel, text, "US", None)

    assert text not in str(caught.value)
