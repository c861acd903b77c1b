"""Channel platforms: the request for a person's profile, and how each provider's answers are read."""

import json
from datetime import timedelta
from urllib.parse import urlsplit

import pytest

from connectors.channels import CHANNELS, line, platform, telegram, whatsapp
from connectors.channels.contract import (
    ConsentRequiredError,
    Identity,
    LookupNotSupportedError,
    NoSuchProfileError,
    ProviderError,
    ProviderLimitError,
    TokenRefusedError,
    retry_after,
)
from connectors.contract import MalformedPayloadError

BOT_TOKEN = "700100:AAH_invented-by-a-test"
LINE_TOKEN = "invented/line+token="
SITI = Identity(type="telegram", value="5550001111")
WAYAN = Identity(type="line", value="U" + "0a1b2c3d" * 4)


def telegram_says(status=200, identity=SITI, headers=(), **answer):
    return telegram.read(status, dict(headers), json.dumps(answer).encode(), identity)


def a_chat(**more):
    return {"ok": True, "result": {"id": 5550001111, "type": "private", "first_name": "Siti", **more}}


def line_says(status=200, headers=(), **answer):
    return line.read(status, dict(headers), json.dumps(answer).encode(), WAYAN)


# Every platform.


@pytest.mark.parametrize("name", CHANNELS)
def test_every_platform_is_known_by_its_own_name(name):
    assert platform(name).name == name
    assert platform(name).IDENTITY_TYPES


@pytest.mark.parametrize("name", CHANNELS)
def test_every_platform_states_an_origin_and_no_more(name):
    parts = urlsplit(platform(name).API_URL)

    assert (parts.scheme, parts.path, parts.query) == ("https", "", "")
    assert parts.netloc


@pytest.mark.parametrize("identity", [SITI, WAYAN], ids=lambda one: one.type)
def test_a_platform_asks_for_a_path_and_never_for_a_host(identity):
    assert platform(identity.type).ask(identity, "token", {}).path.startswith("/")


def test_an_unknown_platform_is_refused_with_the_known_ones():
    with pytest.raises(KeyError, match="line, telegram, whatsapp"):
        platform("carrier-pigeon")


def test_a_request_is_printed_without_its_token():
    assert "AAH" not in repr(telegram.ask(SITI, BOT_TOKEN, {}))
    assert "invented" not in repr(line.ask(WAYAN, LINE_TOKEN, {}))


@pytest.mark.parametrize(
    ("given", "read"),
    [("7", 7), (" 7 ", 7), ("0", 0), ("", None), ("-1", None), ("1.5", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None)],
)
def test_retry_after_is_read_in_seconds(given, read):
    assert retry_after({"retry-after": given}) == (None if read is None else timedelta(seconds=read))


@pytest.mark.parametrize("name", ["telegram", "line"])
@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"result": 1}', b'{"ok": true}', b'{"userId": 5}'])
def test_what_is_not_documented_is_malformed_or_an_error(name, body):
    identity = {"telegram": SITI, "line": WAYAN}[name]

    with pytest.raises((MalformedPayloadError, ProviderError)):
        platform(name).read(200, {}, body, identity)


@pytest.mark.parametrize("name", ["telegram", "line"])
@pytest.mark.parametrize(("status", "error"), [(401, TokenRefusedError), (418, ProviderError), (204, ProviderError)])
def test_any_other_status_is_an_error_that_names_it(name, status, error):
    identity = {"telegram": SITI, "line": WAYAN}[name]

    with pytest.raises(error) as raised:
        platform(name).read(status, {}, b"<html>", identity)

    assert raised.value.status == status


# Telegram.


def test_telegram_is_asked_for_a_chat_by_number():
    request = telegram.ask(SITI, BOT_TOKEN, {})

    assert (request.method, request.path) == ("POST", f"/bot{BOT_TOKEN}/getChat")
    assert request.json == {"chat_id": 5550001111}


def test_a_token_cannot_lead_to_another_path():
    assert telegram.ask(SITI, "1:a/../b?c#d", {}).path == "/bot1:a%2F..%2Fb%3Fc%23d/getChat"


def test_a_person_on_telegram_has_names_but_no_picture():
    found = telegram_says(
        **a_chat(last_name="Rahma", username="siti_r", photo={"small_file_id": "f1", "big_file_id": "f2"})
    )

    assert (found.id, found.name, found.first_name, found.last_name) == ("5550001111", "Siti Rahma", "Siti", "Rahma")
    assert found.username == "siti_r"
    assert found.avatar_url is None


def test_a_person_with_one_name_is_called_by_it():
    assert telegram_says(**a_chat()).name == "Siti"


@pytest.mark.parametrize("value", ["5550001111", " 5550001111 ", "005550001111"])
def test_an_id_is_read_as_telegram_writes_it(value):
    assert telegram.identity("telegram", value) == SITI


@pytest.mark.parametrize("value", ["-1001234567890", "0", "@siti_r", "siti", "", "1.0", "٣", str(2**52), "9" * 5000])
def test_what_is_no_person_s_number_is_not_asked_about(value):
    assert telegram.identity("telegram", value) is None


@pytest.mark.parametrize("kind", ["group", "supergroup", "channel"])
def test_a_group_is_no_person(kind):
    with pytest.raises(NoSuchProfileError):
        telegram_says(**a_chat(type=kind))


def test_an_answer_about_somebody_else_is_an_error():
    with pytest.raises(ProviderError, match="somebody else"):
        telegram_says(**a_chat(id=42))


@pytest.mark.parametrize(
    ("status", "described", "error"),
    [
        (400, "Bad Request: chat not found", NoSuchProfileError),
        (400, "Bad Request: PEER_ID_INVALID", NoSuchProfileError),
        (400, "Bad Request: something new", ProviderError),
        (403, "Forbidden: bot was blocked by the user", ConsentRequiredError),
        (403, "Forbidden: user is deactivated", NoSuchProfileError),
        (401, "Unauthorized", TokenRefusedError),
        (404, "Not Found", TokenRefusedError),
    ],
)
def test_telegram_s_refusals_say_what_to_do_next(status, described, error):
    with pytest.raises(error) as raised:
        telegram_says(status, ok=False, error_code=status, description=described)

    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("answer", "headers", "seconds"),
    [
        ({"parameters": {"retry_after": 35}}, {}, 35),
        ({"parameters": {"retry_after": 35}}, {"retry-after": "5"}, 35),
        ({"parameters": {"retry_after": "35"}}, {"retry-after": "5"}, 5),
        ({"parameters": []}, {}, None),
        ({}, {}, None),
    ],
)
def test_telegram_says_how_long_to_wait(answer, headers, seconds):
    with pytest.raises(ProviderLimitError) as raised:
        telegram_says(429, headers=headers, ok=False, error_code=429, description="Too Many Requests", **answer)

    assert raised.value.retry_after == (None if seconds is None else timedelta(seconds=seconds))


# LINE.


def test_line_is_asked_for_a_user_with_the_token_in_a_header():
    request = line.ask(WAYAN, LINE_TOKEN, {})

    assert (request.method, request.path, request.json) == ("GET", f"/v2/bot/profile/{WAYAN.value}", None)
    assert request.headers == {"Authorization": f"Bearer {LINE_TOKEN}"}


def test_a_friend_on_line_has_a_name_a_picture_and_a_language():
    found = line_says(
        userId=WAYAN.value,
        displayName="Wayan",
        pictureUrl="https://profile.line-scdn.example/wayan",
        statusMessage="at sea",
        language="id",
    )

    assert (found.id, found.name, found.locale) == (WAYAN.value, "Wayan", "id")
    assert found.avatar_url == "https://profile.line-scdn.example/wayan"


@pytest.mark.parametrize(
    "value", ["", "U1", "C" + "0a1b2c3d" * 4, "U" + "0A1B2C3D" * 4, WAYAN.value + "0", WAYAN.value + "/../x", "taro"]
)
def test_what_is_no_user_id_is_not_asked_about(value):
    assert line.identity("line", value) is None
    assert line.identity("line", f" {WAYAN.value} ") == WAYAN


def test_line_does_not_say_why_it_shows_nobody():
    with pytest.raises(NoSuchProfileError):
        line_says(404, message="Not found")


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_line_refuses_is_the_operator_s(status):
    with pytest.raises(TokenRefusedError):
        line_says(status, message="Authentication failed")


def test_line_says_how_long_to_wait_in_a_header():
    with pytest.raises(ProviderLimitError) as raised:
        line_says(429, headers={"retry-after": "3"}, message="The API rate limit has been exceeded")

    assert raised.value.retry_after == timedelta(seconds=3)


def test_another_user_s_profile_is_an_error():
    with pytest.raises(ProviderError, match="somebody else"):
        line_says(userId="U" + "f" * 32, displayName="Ketut")


# WhatsApp.


def test_whatsapp_shows_nobody():
    identity = whatsapp.identity("phone", "+6281234567890")

    assert not whatsapp.HAS_LOOKUP
    with pytest.raises(LookupNotSupportedError):
        whatsapp.ask(identity, "", {})
    with pytest.raises(LookupNotSupportedError):
        whatsapp.read(200, {}, b"{}", identity)


def test_whatsapp_takes_numbers_and_its_own_ids():
    assert set(whatsapp.IDENTITY_TYPES) == {"phone", "whatsapp", "wa_id", "whatsapp_bsuid"}
