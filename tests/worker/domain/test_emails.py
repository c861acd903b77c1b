"""E-mails: every spelling of an address has one normal form, and what cannot be one has none."""

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import assume, given
from hypothesis import strategies as st

from connectors.cleaning import plain_email
from worker.domain import emails


def test_an_email_is_compared_in_lower_case_and_shown_as_written():
    assert emails.email(" Ayu.Lestari @ Example . COM") == ("ayu.lestari@example.com", "Ayu.Lestari@example.com")
    assert emails.email("no at sign") is None
    assert emails.email("foo@bar") is None


@given(
    st.from_regex(r"[a-zA-Z0-9_.+-]{1,6}@[a-zA-Z0-9.-]{0,9}(\.(com|test|local|xn--p1ai|1|co-m))?", fullmatch=True)
    | st.integers(180, 260).map(lambda n: f"{'a' * (n - 180)}@{'b' * 60}.{'c' * 60}.{'d' * 50}.com")
)
def test_the_short_way_treats_an_email_like_the_library(address):
    local = address.partition("@")[0]
    assume(".." not in local and not local.startswith(".") and not local.endswith("."))  # carriers give those out
    try:
        expected = validate_email(plain_email(address), check_deliverability=False).normalized
    except EmailNotValidError:
        expected = None
    found = emails.email(address)
    assert (found and found.value) == expected


@pytest.mark.parametrize(
    "written",
    [
        "\u200bayu@example.com",
        "ayu@example.com\u200b",
        "ay\u00adu@exam\ufeffple.com",  # soft hyphen, byte order mark
        "\u202aayu@example.com\u202c",  # marks for the direction of writing
        "\u00a0ayu@example.com\u3000",
        "ayu\t@\nexample.com",
        "ayu\uff20example.com",  # full width
        "\uff41\uff59\uff55@example\uff0ecom",
        "mailto:ayu@example.com",
        "MAILTO:ayu@example.com?subject=Hello",
        "Ayu Lestari <ayu@example.com>",
        '"Lestari, Ayu" <ayu@example.com>',
        "<ayu@example.com>",
        "'ayu@example.com'",
        "ayu@example.com.",
        "ayu@example.com,",
        "ayu@example.com ;",
        "<mailto:ayu@example.com>",
    ],
)
def test_what_people_put_around_an_address_comes_off(written):
    assert emails.email(written).key == "ayu@example.com"


@pytest.mark.parametrize(
    "written",
    [
        "hana@@docomo.ne.jp",
        "Ayu ayu@example.com",
        "ayu lestari@example.com",
        "ayu@example.com budi@example.com",
        "ayu@example.com, budi@example.com",
        "ayu@example.com;budi@example.com",
        "ayu@example.com <budi@example.com>",
        "ayu at example.com",
        "@example.com",
        "ayu@",
        "...@example.com",
    ],
)
def test_what_is_no_single_address_is_none(written):
    assert emails.email(written) is None


@pytest.mark.parametrize("written", ["hana..7@docomo.ne.jp", "hana.@ezweb.ne.jp", ".hana@docomo.ne.jp"])
def test_an_address_that_a_carrier_gave_out_is_kept_and_matches_itself(written):
    assert emails.email(written) == (written, written)
    assert emails.email(written.upper()).key == written
    assert emails.email(written.replace("..", ".").replace(".@", "@").lstrip(".")).key != written
