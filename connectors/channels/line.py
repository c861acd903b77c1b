"""LINE profiles (Messaging API, ``GET /v2/bot/profile/{userId}``).

Reference: https://developers.line.biz/en/reference/messaging-api/#get-profile
Quirk: 404 is answered for an unknown id, for somebody who is not a friend or blocked the account, and for
somebody who never agreed to be shown; it does not say which, so all of them are "no such profile".
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
    """Read a user id; those of groups (C…) and rooms (R…) are none."""
    text = value.strip()
    return Identity(type=type_, value=text) if _USER_ID.fullmatch(text) else None


def ask(identity: Identity, token: str, _options: Mapping[str, str]) -> Ask:
    """Ask for a user's profile."""
    path = f"/v2/bot/profile/{identity.value}"
    return Ask(method="GET", path=path, headers={"Authorization": f"Bearer {token}"})


def read(status: int, headers: Mapping[str, str], body: bytes, identity: Identity) -> Profile:
    """Read a profile."""
    if status == 404:
        raise NoSuchProfileError("not found")
    if status == 403:  # "Not authorized to use this API": the token is another channel's, or its plan lacks it
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
