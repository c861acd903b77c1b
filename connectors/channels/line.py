"""LINE profiles (Messaging API, ``GET /v2/bot/profile/{userId}``).

Reference: https://developers.line.biz/en/reference/messaging-api/#get-profile
Quirk: LINE answers 404 for an unknown id, for a person who is not a friend or blocked the account, and for a person
who never agreed to be shown. It does not tell these apart, so each is NoSuchProfileError.
"""

import re
from collections.abc import Mapping
from datetime import timedelta

from connectors import json_values
from connectors.channels.contract import (
    MAX_TEXT,
    Ask,
    Identity,
    NoSuchProfileError,
    Profile,
    ProviderError,
    TokenRefusedError,
    failed,
)

name = "line"

API_URL = "https://api.line.me"
IDENTITY_TYPES: tuple[str, ...] = ("line",)
TOKEN: str | None = "the channel access token of the Messaging API channel"  # noqa: S105 - says what it is
HAS_LOOKUP = True
ASK_AGAIN_AFTER = timedelta(0)

_USER_ID = re.compile(r"U[0-9a-f]{32}")


def identity(type_: str, value: str) -> Identity | None:
    """Return a user id; None for the id of a group (C…) or a room (R…)."""
    text = value.strip()
    return Identity(type=type_, value=text) if _USER_ID.fullmatch(text) else None


def ask(identity: Identity, token: str, _options: Mapping[str, str]) -> Ask:
    """Return the request for a user's profile."""
    path = f"/v2/bot/profile/{identity.value}"
    return Ask(method="GET", path=path, headers={"Authorization": f"Bearer {token}"})


def read(status: int, headers: Mapping[str, str], body: bytes, identity: Identity) -> Profile:
    """Read the profile in the answer."""
    if status == 404:
        raise NoSuchProfileError("not found")
    if status == 403:  # "Not authorized to use this API": it is another channel's token, or the plan lacks profiles
        raise TokenRefusedError("the token does not allow it", status)
    if status != 200:
        raise failed(status, headers)
    answer = json_values.load_json(body)
    if json_values.text(answer, "userId") != identity.value:
        raise ProviderError("the answer is about somebody else", status)
    return Profile(
        id=identity.value,
        name=json_values.text(answer, "displayName", limit=MAX_TEXT),
        avatar_url=json_values.text(answer, "pictureUrl", limit=MAX_TEXT),
        locale=json_values.text(answer, "language"),
    )
