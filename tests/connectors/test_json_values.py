"""Values from untrusted JSON: the accepted ones, the refused ones, and the text of the reason."""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors import json_values
from connectors.contract import MalformedPayloadError

PERSONAL = "maren.okafor@example.org"


def reason_of(read: Callable[..., object], *args: object, **options: object) -> str:
    with pytest.raises(MalformedPayloadError) as caught:
        read(*args, **options)
    return str(caught.value)


def test_object_is_read():
    assert json_values.load_json(b' {"a": {"b": [1, 2.5, null, true, "\\u00e9\\/"]}}\n') == {
        "a": {"b": [1, 2.5, None, True, "é/"]}
    }


def test_byte_order_mark_is_ignored():
    assert json_values.load_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize("key", ["email", "ayu_lestari", PERSONAL, "Maren Okafor", "x" * 41, "é", ""])
def test_key_given_twice_is_refused_and_not_named_because_it_may_be_data(key: str):
    body = f'{{"x": {{"{key}": 1, "a": 2, "{key}": 3}}}}'.encode()

    assert reason_of(json_values.load_json, body) == "the body has a key twice in one object"


def test_same_key_in_two_objects_is_fine():
    assert json_values.load_json(b'{"a": {"id": 1}, "b": {"id": 1}}')


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_numbers_that_json_does_not_know_are_refused(constant: bytes):
    assert "NaN or Infinity" in reason_of(json_values.load_json, b'{"a": [' + constant + b"]}")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is not JSON: see line 1, column 1"),
        (b'{"email": "maren', "the body is not JSON: see line 1, column 11"),
        (b'{"a": 1} {"b": 2}', "the body is not JSON: see line 1, column 10"),
        (b'{"a": "\x01"}', "the body is not JSON: see line 1, column 8"),
        (b'{"a": "\xff"}', "the body is not UTF-8"),
        (b'{"a": "\xed\xa0\x80"}', "the body is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "the body is not UTF-8"),
        (b"[1]", "the body: expected an object, got a list"),
        (b'"text"', "the body: expected an object, got text"),
        (b"null", "the body: expected an object, got nothing"),
        (b"true", "the body: expected an object, got true or false"),
    ],
)
def test_body_that_is_no_json_object_is_refused(body: bytes, reason: str):
    assert reason_of(json_values.load_json, body) == reason


def test_depth_is_limited():
    def lists(depth: int) -> bytes:  # the object around them is a level too
        return b'{"a": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    def objects(depth: int) -> bytes:
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    for nested in (lists, objects):
        assert json_values.load_json(nested(json_values.MAX_DEPTH))
        for depth in (json_values.MAX_DEPTH + 1, 500, 200_000):
            assert reason_of(json_values.load_json, nested(depth)) == "the body is nested more than 64 levels deep"


def test_many_brackets_side_by_side_are_not_deep():
    assert json_values.load_json(b'{"a": [' + b"{}, " * 1000 + b'"[[[["]}')


def test_endless_number_is_refused():
    assert sys.get_int_max_str_digits() == 4300
    assert json_values.load_json(b'{"a": ' + b"9" * 4300 + b"}")
    assert "4,300 digits" in reason_of(json_values.load_json, b'{"a": ' + b"9" * 4301 + b"}")


def written(value: object, slash: str) -> str:
    """Return JSON in compact form; an object is a tuple of pairs, so that it can have a key twice."""
    if isinstance(value, tuple):
        return "{" + ",".join(f"{written(key, slash)}:{written(entry, slash)}" for key, entry in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(written(entry, slash) for entry in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("/", slash)


KEYS = st.sampled_from(["a", "b", '"', "\\", "\\/", ":", "é"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text('a"\\/:,{é\ud800', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(KEYS, inner), max_size=3).map(tuple),
    max_leaves=6,
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=4).map(tuple), st.sampled_from(["/", "\\/"]))
def test_the_short_way_reads_what_the_strict_reader_reads(pairs: tuple[tuple[str, object], ...], slash: str):
    body = written(pairs, slash).encode("utf-8", "replace")
    short = json_values._at_once(body)
    if short is not None:
        assert repr(short) == repr(json_values._DECODER.decode(body.decode()))


def test_what_machines_write_takes_the_short_way():
    assert json_values._at_once(
        b'{"id":"gid:\\/\\/shopify\\/Customer\\/1","n":[1,2.5,null,{"a":true}],"s":"\xc3\xa9\\n"}'
    )
    assert json_values._at_once(b'{"a":1,"a":1}') is None
    assert json_values._at_once(b'{"a":18446744073709551616}') is None


@given(st.binary())
def test_any_bytes_are_an_object_or_malformed(body: bytes):
    with suppress(MalformedPayloadError):
        assert isinstance(json_values.load_json(body), dict)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Maren", "Maren"),
        ("  Maren\t", "Maren"),
        ("\u00a0Maren\u2003", "Maren"),
        ("Zoe\u0308", "Zoë"),
        ("a\0b", "a\ufffdb"),
        ("é\0", "é\ufffd"),
        ("a\ud83d", "a\ufffd"),
        ("\udc00\ud83d", "\ufffd\ufffd"),
        ("😀", "😀"),
        ("", None),
        (" \n\u2003", None),
        (None, None),
    ],
)
def test_text_is_cleaned(value: str | None, expected: str | None):
    assert json_values.text({"name": value}, "name") == expected


def test_absent_is_none_and_stays_visible_in_the_payload():
    payload = {"null": None}

    assert json_values.text(payload, "null") is None
    assert json_values.text(payload, "absent") is None
    assert payload == {"null": None}


@pytest.mark.parametrize(
    ("value", "kind"),
    [(17, "a number"), (1.5, "a number"), (True, "true or false"), ([PERSONAL], "a list"), ({"a": 1}, "an object")],
)
def test_text_of_another_type_is_malformed(value: object, kind: str):
    assert reason_of(json_values.text, {"first_name": value}, "first_name") == f"first_name: expected text, got {kind}"


def test_path_names_the_object_around():
    reason = reason_of(json_values.text, {"city": 5}, "city", "customer.default_address")

    assert reason == "customer.default_address.city: expected text, got a number"


def test_long_text_is_malformed_and_white_space_does_not_count():
    assert json_values.text({"n": " " * 50 + "x" * 1000}, "n") == "x" * 1000
    assert reason_of(json_values.text, {"n": "x" * 1001}, "n") == "n: longer than 1,000 characters"
    assert reason_of(json_values.text, {"n": "x" * 6}, "n", limit=5) == "n: longer than 5 characters"


@given(st.text(st.characters()))
def test_cleaned_text_can_be_stored_and_stays_as_it_is(value: str):
    cleaned = json_values.clean(value)

    cleaned.encode()
    assert "\0" not in cleaned
    assert json_values.clean(cleaned) == cleaned


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (706405506930370084, "706405506930370084"),
        (10**30, "1" + "0" * 30),
        ("706405506930370084", "706405506930370084"),
        (" 0042 ", "42"),
        ("", None),
        (None, None),
    ],
)
def test_id_is_decimal_text(value: object, expected: str | None):
    assert json_values.number_id({"id": value}, "id") == expected


@pytest.mark.parametrize(
    "value",
    [
        7.064055069303701e17,
        1.0,
        True,
        0,
        -5,
        "-5",
        "0",
        "1.0",
        "1e3",
        "12 34",
        "\u0663",
        "²",
        PERSONAL,
        [1],
        "9" * 65,
        10**64,
        "gid://shopify/Customer/123",
    ],
)
def test_anything_else_is_no_id(value: object):
    reason = reason_of(json_values.number_id, {"id": value}, "id")

    assert reason.startswith("id: ")
    assert str(value) == "0" or str(value) not in reason


@pytest.mark.parametrize(("value", "expected"), [(True, True), (False, False), (None, None)])
def test_boolean_is_read(value: object, expected: object):
    assert json_values.boolean({"b": value}, "b") is expected


@pytest.mark.parametrize("value", [0, 1, 1.0, "true", "", []])
def test_boolean_is_nothing_else(value: object):
    assert reason_of(json_values.boolean, {"b": value}, "b").startswith("b: expected true or false, got ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 0), (13, 13), ("13", 13), (" 13 ", 13), ("", None), (None, None), (2**64 - 1, 2**64 - 1)],
)
def test_count_is_read(value: object, expected: int | None):
    assert json_values.count({"n": value}, "n") == expected


@pytest.mark.parametrize("value", [-1, 1.0, True, "1.0", "-1", "many", "\u0661", 10**20, "1" * 21, []])
def test_count_is_nothing_else(value: object):
    assert reason_of(json_values.count, {"n": value}, "n").startswith("n: expected a count, got ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("129.40", "129.40"),
        ("11884.9", "11884.9"),
        ("-3", "-3"),
        (" 5 ", "5"),
        (12, "12"),
        (398.0, "398.0"),
        ("", None),
    ],
)
def test_amount_keeps_the_digits_of_the_source(value: object, expected: str | None):
    assert json_values.amount({"total": value}, "total") == expected


@pytest.mark.parametrize("value", ["1,50", "€5", "1e5", ".5", "5.", True, 1e300, float("inf"), [], {}])
def test_amount_is_nothing_else(value: object):
    assert reason_of(json_values.amount, {"total": value}, "total").startswith(
        "total: expected an amount such as 12.50"
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2021-12-31T19:00:00-05:00", datetime(2022, 1, 1, tzinfo=UTC)),
        ("2005-05-05T05:00:00.000Z", datetime(2005, 5, 5, 5, tzinfo=UTC)),
        ("2025-03-11T20:54:30.516267807Z", datetime(2025, 3, 11, 20, 54, 30, 516267, tzinfo=UTC)),
        ("2026-07-03t05:57:18z", datetime(2026, 7, 3, 5, 57, 18, tzinfo=UTC)),
        ("2026-07-03 05:57:18+0530", datetime(2026, 7, 3, 0, 27, 18, tzinfo=UTC)),
        (" 2026-07-03T05:57Z ", datetime(2026, 7, 3, 5, 57, tzinfo=UTC)),
        ("1970-01-01T00:00:00Z", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2100-12-31T23:59:59Z", datetime(2100, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_time_is_read_as_utc(value: object, expected: datetime | None):
    read = json_values.moment({"updated_at": value}, "updated_at")

    assert read == expected
    assert read is None or read.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("2021-12-31T19:00:00", "expected a date and time with an offset, got one without"),
        ("2021-12-31", "expected a date and time with an offset, got one without"),
        ("yesterday", "expected a date and time with an offset, got other text"),
        ("2021-W52-5T19:00:00Z", "expected a date and time with an offset, got other text"),
        ("2021-12-31x19:00:00Z", "expected a date and time with an offset, got other text"),
        ("2021-12-31T19:00:00.1234567890Z", "expected a date and time with an offset, got other text"),
        ("\uff12\uff1021-12-31T19:00:00Z", "expected a date and time with an offset, got other text"),
        ("2021-02-30T19:00:00Z", "expected a date and time with an offset, got one that no calendar has"),
        ("2021-12-31T19:00:00+99:00", "expected a date and time with an offset, got one that no calendar has"),
        ("0001-01-01T00:00:00+14:00", "expected a date and time with an offset, got one that no calendar has"),
        ("0001-01-01T00:00:00Z", "expected a time from 1970 to 2100, got one outside"),
        ("1970-01-01T00:00:00+01:00", "expected a time from 1970 to 2100, got one outside"),
        ("2101-01-01T00:00:00Z", "expected a time from 1970 to 2100, got one outside"),
        (1640995200, "expected a date and time with an offset, got a number"),
        (True, "expected a date and time with an offset, got true or false"),
    ],
)
def test_other_times_are_malformed(value: object, reason: str):
    assert reason_of(json_values.moment, {"updated_at": value}, "updated_at") == f"updated_at: {reason}"


@given(st.text())
def test_any_text_is_a_time_or_malformed(value: str):
    with suppress(MalformedPayloadError):
        json_values.moment({"at": value}, "at")


def test_choice_is_lower_case_and_names_the_words_it_takes():
    words = ("subscribed", "pending")

    assert json_values.choice({"state": "SUBSCRIBED"}, "state", words) == "subscribed"
    assert json_values.choice({"state": None}, "state", words) is None
    assert reason_of(json_values.choice, {"state": PERSONAL}, "state", words, "sms") == (
        "sms.state: expected subscribed, pending, got another word"
    )


def test_nested_object_and_list_of_text_are_read_or_malformed():
    assert json_values.nested({"a": {}}, "a") == {}
    assert json_values.nested({"a": None}, "a") is None
    assert reason_of(json_values.nested, {"a": []}, "a") == "a: expected an object, got a list"
    assert json_values.texts({"a": [" x ", ""]}, "a") == ["x", ""]
    assert json_values.texts({}, "a") is None
    assert reason_of(json_values.texts, {"a": "x"}, "a") == "a: expected a list of text, got text"
    assert reason_of(json_values.texts, {"a": ["x", 1]}, "a") == "a: expected a list of text, got a number in it"


def test_required_value_that_is_missing_is_malformed():
    assert json_values.required(0, "a number", "n") == 0
    assert reason_of(json_values.required, None, "a number", "n", "a") == "a.n: expected a number, got nothing"


@pytest.mark.parametrize(
    "stray", [KeyError(PERSONAL), IndexError(), TypeError(PERSONAL), ValueError(PERSONAL), AttributeError(PERSONAL)]
)
def test_stray_error_of_a_translation_is_malformed_and_quotes_nothing(stray: Exception):
    with pytest.raises(MalformedPayloadError) as caught, json_values.malformed("acme"):
        raise stray

    name = type(stray).__name__
    assert str(caught.value) == f"acme: the body is not in the documented shape ({name})"
    assert caught.value.__suppress_context__


def test_other_errors_pass_a_translation_unchanged():
    with pytest.raises(MalformedPayloadError, match="own reason"), json_values.malformed("acme"):
        raise MalformedPayloadError("own reason")
    with pytest.raises(MemoryError), json_values.malformed("acme"):
        raise MemoryError
