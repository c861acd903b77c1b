"""Ids of Shopify: a gid is read as the number in it; the short way gives the result of the long way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import json_values
from connectors.contract import MalformedPayloadError
from connectors.shopify import gid


def outcome_of(value: object) -> str | None:
    try:
        return gid.number_id({"id": value}, "id", kind="Customer")
    except MalformedPayloadError as error:
        return str(error)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("gid://shopify/Customer/123", "123"),
        ("gid://shopify/Customer/123?model_name=Customer/9", "123"),
        ("gid://shopify/Customer/123#9", "123"),
        ("gid://shopify/Customer/0042", "42"),
        (123, "123"),
        (" 0042 ", "42"),
        ("  ", None),
        (None, None),
    ],
)
def test_id_is_decimal_text(value: object, expected: str | None):
    assert gid.number_id({"id": value}, "id", kind="Customer") == expected


@pytest.mark.parametrize(
    "value",
    [
        "gid://shopify/Order/123",
        "gid://shopify/Customer/",
        "gid://shopify/Customer/0",
        "gid://shopify/Customer/12x",
        "gid://shopify/Customer/1/2",
        "gid://shopify/Customer/" + "9" * 65,
        "gid://other/Customer/123",
        "GID://SHOPIFY/CUSTOMER/123",
        "9" * 65,
        1.0,
        [1],
    ],
)
def test_anything_else_is_no_id(value: object):
    with pytest.raises(MalformedPayloadError) as caught:
        gid.number_id({"id": value}, "id", kind="Customer")

    assert str(caught.value).startswith("id: ")
    assert str(value) not in str(caught.value)


def test_errors_name_the_kind():
    expected = "customer.id: expected a whole number above 0 or the gid of a Customer, got "

    with pytest.raises(MalformedPayloadError, match=f"^{expected}the gid of another kind$"):
        gid.number_id({"id": "gid://shopify/Order/123"}, "id", "customer", kind="Customer")
    with pytest.raises(MalformedPayloadError, match=f"^{expected}text that is none$"):
        gid.number_id({"id": "gid://shopify/Customer/0"}, "id", "customer", kind="Customer")
    with pytest.raises(MalformedPayloadError, match=f"^{expected}a list$"):
        gid.number_id({"id": []}, "id", "customer", kind="Customer")


@given(st.from_regex(r"(gid://shopify/(Customer|Order)?/?)?0?[0-9x\u0663]{0,3}", fullmatch=True), st.integers(0, 70))
def test_the_short_way_reads_what_the_long_way_reads(start: str, more: int):
    written = start + "7" * more

    # White space is stripped, and makes the function take the long way.
    assert outcome_of(written) == outcome_of(f" {written}")


@given(st.from_regex(r"0?[0-9x\u0663]{0,3}", fullmatch=True))
def test_a_number_is_read_as_everywhere(written: str):
    expected = "a whole number above 0 or the gid of a Customer"
    try:
        everywhere = json_values.number_id({"id": written}, "id", expected=expected)
    except MalformedPayloadError as error:
        everywhere = str(error)

    assert outcome_of(written) == everywhere
