"""Invalid input: the answer names the field, and nothing is stored."""

import pytest
from sqlalchemy import text

from worker.api import paging

JSON = {"Content-Type": "application/json"}
PHONE = b'"phone_number":"+6281234567890"'
NESTED = {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}


@pytest.fixture
def writer(client, a_key):
    client.headers = {"X-Api-Key": a_key("contacts:read", "contacts:write")}
    return client


@pytest.fixture
def kept(engine):
    """Count the rows that a write leaves."""

    def kept():
        with engine.connect() as conn:
            return [
                conn.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
                for table in ("envelopes", "records", "contacts", "notes", "consents", "suppressions", "changes")
            ]

    return kept


def fields(answer):
    return [detail["field"] for detail in answer.json()["details"]]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"custom_fields": NESTED}, "custom_fields"),
        ({"custom_fields": {"a": "x" * 1_000_000}}, "custom_fields"),
        ({"custom_fields": {f"f{n}": n for n in range(201)}}, "custom_fields"),
        ({"custom_fields": {"": 1}}, "custom_fields"),
        ({"custom_fields": {"a\x00": 1}}, "custom_fields"),
        ({"custom_fields": {"a": {"b": ["\x00"]}}}, "custom_fields"),
        ({"custom_fields": []}, "custom_fields"),
        ({"tags": [f"t{n}" for n in range(10_000)]}, "tags"),
        ({"tags": ["\x00"]}, "tags[0]"),
        ({"tags": ["x" * 256]}, "tags[0]"),
        ({"tags": "vip"}, "tags"),
        ({"name": "a\x00b"}, "name"),
        ({"name": " \u3000\n"}, "name"),
        ({"name": 5}, "name"),
        ({"name": "e" + "\u0301" * 600_000}, "name"),
        ({"tags": ["vip", "e" + "\u0301" * 31]}, "tags[1]"),
        ({"custom_fields": {"a": {"b": "e" + "\u0301" * 31}}}, "custom_fields.a.b"),
        ({"custom_fields": {"e" + "\u0301" * 31: 1}}, "custom_fields"),
        ({"name": "x" * 1_900_000}, "name"),
        ({"phone_number": True}, "phone_number"),
        ({"phone_number": "+" * 500}, "phone_number"),
        ({"email": "\x00"}, "email"),
        ({"external_source": "api", "external_id": "1"}, "external_source"),
        ({"external_source": "shopify", "external_id": "guest:1"}, "external_id"),
        ({"external_source": "shopify"}, "external_id"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_invalid_field_is_named_and_nothing_is_stored(writer, kept, body, field):
    answer = writer.post("/v1/contacts", json={"phone_number": "+6281234567890", **body})

    assert answer.status_code == 422
    assert fields(answer) == [field]
    assert kept() == [0] * 7


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100_000 + b"]" * 100_000,
        b"{" + PHONE + b"}x",
        b"{" + PHONE + b',"name":"\xff"}',
        b"{" + PHONE + b',"name":"\\ud800"}',
        b"{" + PHONE + b',"custom_fields":{"a":NaN}}',
        b"{" + PHONE + b',"custom_fields":{"a":1e400}}',
        b"{" + PHONE + b',"custom_fields":{"a":' + b"9" * 5000 + b"}}",
        b"\xef\xbb\xbf{" + PHONE + b"}",
        ("{" + PHONE.decode() + "}").encode("utf-16"),
    ],
    ids=lambda content: repr(content[:40]),
)
def test_a_body_that_is_not_json_is_not_stored(writer, kept, content):
    answer = writer.post("/v1/contacts", content=content, headers=JSON)

    assert answer.status_code == 400
    assert kept() == [0] * 7


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b'"x"', b"1"])
def test_a_body_that_is_no_object_is_refused(writer, content):
    answer = writer.post("/v1/contacts", content=content, headers=JSON)

    assert answer.status_code == 422
    assert fields(answer) == ["body"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""]
)
def test_a_body_of_another_type_is_refused(writer, kept, kind):
    answer = writer.post("/v1/contacts", content=b"{" + PHONE + b"}", headers={"Content-Type": kind})

    assert answer.status_code == 422
    assert fields(answer) == ["body"]
    assert kept() == [0] * 7


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=99999999999", "limit"),
        ("limit=0", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=1e1", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=" + "A" * 10_000, "cursor"),
        ("cursor=AQGg91XyAHAAg!AAAAAAAAAE!", "cursor"),
        ("cursor=AQGg91XyAHAAgAAAAAAAAAF", "cursor"),  # bits after the last byte
        ("cursor=Av__________AAAAAAAAAAAAAAAAAAAAAA", "cursor"),  # after the year 9999
        ("cursor=AQGg91XyAHAAgAAAAAAAAAE&updated_after=2026-10-01T00:00:00Z", "cursor"),
        ("updated_after=9999-12-31T23:59:59-14:00", "updated_after"),
        ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
        ("search=%00a", "search"),
        ("search=%ff%fe", "search"),
        ("tag=%00", "tag"),
        ("email=a%00@example.com", "email"),
        ("phone_number=%D9%A0%D9%A1", "phone_number"),
        ("external_id=1", "external_id"),
        ("tag=a&tag=b", "tag"),
        ("nope=1", "nope"),
    ],
)
def test_an_invalid_filter_is_named(client, query, field):
    answer = client.get(f"/v1/contacts?{query}")

    assert answer.status_code == 422
    assert fields(answer) == [field]


def test_a_cursor_of_the_feed_is_refused_by_other_lists(client, ujang):
    cursor = client.get("/v1/contacts?updated_after=2026-01-01T00:00:00Z").json()["meta"]["next_cursor"]

    assert client.get(f"/v1/contacts?cursor={cursor}").status_code == 200
    assert fields(client.get(f"/v1/contacts/{ujang['id']}/notes?cursor={cursor}")) == ["cursor"]
    assert fields(client.get(f"/v1/contacts/{ujang['id']}/timeline?cursor={cursor}")) == ["cursor"]


def test_a_cursor_survives_a_round_trip():
    cursor = "AQGg91XyAHAAgAAAAAAAAAE"

    assert paging.write(paging.Paging(cursor=cursor).before) == cursor


@pytest.mark.parametrize("id_", ["%00", "%2e%2e", "%ff", "cnt_" + "f" * 32, "cnt_" + "%00" * 32, "x" * 5000, "%D9%A0"])
@pytest.mark.parametrize("rest", ["", "/notes", "/tags", "/consents"])
def test_an_invalid_path_is_not_found(client, id_, rest):
    answer = client.get(f"/v1/contacts/{id_}{rest}")

    assert answer.status_code == 404
    assert answer.json()["error"] == "contact not found"


@pytest.mark.parametrize("phone", ["%00", "%2B62812%00", "%2e%2e", "%ff", "%0A", "+" * 300])
def test_an_invalid_number_is_refused(client, phone):
    assert fields(client.get(f"/v1/contacts/phone/{phone}")) == ["phone"]


@pytest.mark.parametrize("tag", ["%00", "", "%2e%2e", "a%2Fb", "tag_", "tag_AA", "%ff", "x" * 3000])
def test_an_invalid_tag_is_not_found(writer, ujang, tag):
    answer = writer.request("DELETE", f"/v1/contacts/{ujang['id']}/tags/{tag}")

    assert answer.status_code == 404
    assert answer.json()["error"] == "tag not found"


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"status": "maybe"}, ["status"]),
        ({"status": "opted_in", "occurred_at": "9999-12-31T23:59:59-14:00"}, ["occurred_at"]),
        ({"status": "opted_in", "occurred_at": "0001-01-01T00:00:00+14:00"}, ["occurred_at"]),
        ({"status": "opted_in", "occurred_at": 1_700_000_000}, ["occurred_at"]),
        ({"status": "opted_in", "evidence": {f"k{n}": "" for n in range(21)}}, ["evidence"]),
        ({"status": "opted_in", "evidence": {"a": "\x00"}}, ["evidence.a"]),
        ({"status": "opted_in", "expires_at": "soon", "purpose": "x"}, ["purpose", "expires_at"]),
    ],
)
def test_an_invalid_consent_is_refused(writer, ujang, kept, body, named):
    before = kept()

    answer = writer.request("PUT", f"/v1/contacts/{ujang['id']}/consent/email", json=body)

    assert answer.status_code == 422
    assert fields(answer) == named
    assert kept() == before


@pytest.mark.parametrize("headers", [{"Idempotency-Key": "x" * 256}, {"Idempotency-Key": ""}])
def test_an_invalid_header_is_named(writer, headers):
    answer = writer.post("/v1/contacts", json={"phone_number": "+6281234567890"}, headers=headers)

    assert fields(answer) == ["idempotency-key"]


@pytest.mark.parametrize("key", [b"\xff\xfe", b"csk_", b"csk_" + b"0" * 32 + b"_x", b"x" * 10_000])
def test_an_invalid_key_is_unauthorized(client, key):
    assert client.get("/v1/contacts", headers={"X-Api-Key": key}).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/contacts/resolve", "/v1/contacts/lookup"])
def test_resolve_is_not_taken_for_an_id(client, method, path):
    answer = client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_wrong_method_is_answered_with_all_right_ones(client):
    answer = client.request("OPTIONS", "/v1/contacts/cnt_1")

    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


def test_a_path_with_a_trailing_slash_is_not_found(client):
    answer = client.get("/v1/contacts/")

    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "id_",
    [
        "0",
        "null",
        "NULL",
        "undefined",
        "none",
        "nan",
        "n/a",
        "-",
        "[object Object]",
        "6.28123456789E12",
        "81234567890.0",
    ],
)
def test_the_id_of_nobody_is_refused(writer, kept, id_):
    answer = writer.post("/v1/contacts", json={"external_source": "crm", "external_id": id_, "name": "Ayu"})

    assert answer.status_code == 422
    assert fields(answer) == ["external_id"]
    assert kept() == [0] * 7
