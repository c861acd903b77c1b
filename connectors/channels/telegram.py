"""Telegram profiles (Bot API, ``getChat``).

Reference: https://core.telegram.org/bots/api#getchat
Quirk: the token is part of the path, and of every file's URL, so profiles here have no picture.
Quirk: a person is found by number only (``@name`` finds groups and channels), and only after writing to the bot.
Quirk: Telegram answers 404 to a token of the wrong shape, and 401 to a revoked token.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from urllib.parse import quote

from connectors import json_values
from connectors.channels.contract import (
    MAX_TEXT,
    Ask,
    ConsentRequiredError,
    Identity,
    NoSuchProfileError,
    Profile,
    ProfileError,
    ProviderError,
    ProviderLimitError,
    TokenRefusedError,
    failed,
    retry_after,
)
from connectors.contract import MalformedPayloadError
from connectors.json_values import Payload

name = "telegram"

API_URL = "https://api.telegram.org"
IDENTITY_TYPES: tuple[str, ...] = ("telegram",)
TOKEN: str | None = "the bot token from @BotFather"  # noqa: S105 - says what it is
HAS_LOOKUP = True
ASK_AGAIN_AFTER = timedelta(0)

#: "at most 52 significant bits": https://core.telegram.org/bots/api#chat
_MAX_ID = 2**52 - 1
#: a longer wait is an error of the provider
_MAX_WAIT_S = 1_000_000


def identity(type_: str, value: str) -> Identity | None:
    """Return the id of a person, a number above 0; None for a negative number, which is a group or a channel."""
    digits = value.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(_MAX_ID))):
        return None
    return Identity(type=type_, value=str(int(digits))) if 0 < int(digits) <= _MAX_ID else None


def ask(identity: Identity, token: str, _options: Mapping[str, str]) -> Ask:
    """Return the request for the chat with a person, which has the person's profile."""
    path = f"/bot{quote(token, safe=':')}/getChat"
    return Ask(method="POST", path=path, json={"chat_id": int(identity.value)})


def read(status: int, headers: Mapping[str, str], body: bytes, identity: Identity) -> Profile:
    """Read the profile in a ``ChatFullInfo``."""
    if status != 200:
        raise _refusal(status, headers, body)
    answer = json_values.load_json(body)
    chat = json_values.required(json_values.nested(answer, "result"), "an object", "result")
    if json_values.required(json_values.text(chat, "type", "result"), "text", "type", "result") != "private":
        raise NoSuchProfileError("the id is not a person's")
    if json_values.number_id(chat, "id", "result") != identity.value:
        raise ProviderError("the answer is about somebody else", status)
    first = json_values.text(chat, "first_name", "result", limit=MAX_TEXT)
    last = json_values.text(chat, "last_name", "result", limit=MAX_TEXT)
    return Profile(
        id=identity.value,
        name=" ".join(part for part in (first, last) if part) or None,
        first_name=first,
        last_name=last,
        username=json_values.text(chat, "username", "result", limit=MAX_TEXT),
    )


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> ProfileError:
    if status == 404:
        return TokenRefusedError("the token was refused", status)
    answer: Payload = {}
    with suppress(MalformedPayloadError):  # a proxy in front of Telegram may answer with a page
        answer = json_values.load_json(body)
    if status == 429:
        return ProviderLimitError(_asked_to_wait(answer) or retry_after(headers))
    described = str(answer.get("description", "")).lower()
    if status == 403:
        # Documented for sending only: "bot was blocked by the user", "user is deactivated".
        return NoSuchProfileError("deactivated") if "deactivated" in described else ConsentRequiredError("blocked")
    if status == 400 and ("not found" in described or "peer_id_invalid" in described):
        return NoSuchProfileError("chat not found")
    return failed(status, headers)


def _asked_to_wait(answer: Payload) -> timedelta | None:
    parameters = answer.get("parameters")
    seconds = parameters.get("retry_after") if type(parameters) is dict else None
    return timedelta(seconds=seconds) if type(seconds) is int and 0 <= seconds <= _MAX_WAIT_S else None
