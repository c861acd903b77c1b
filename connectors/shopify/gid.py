"""Ids of Shopify: a number, or a gid that holds the number.

https://shopify.dev/docs/api/usage/gids
"""

import re

from connectors import json_values
from connectors.contract import MalformedPayloadError
from connectors.json_values import MAX_ID_DIGITS, Payload

_GID = re.compile(r"gid://shopify/([A-Za-z]+)/(\d+)(?:[?#].*)?", re.ASCII)


def number_id(payload: Payload, key: str, at: str = "", *, kind: str) -> str | None:
    """Read an id of a ``kind`` such as ``Customer`` as decimal text; None if the value is absent or empty.

    Takes ``gid://shopify/<kind>/<number>``, whose query and fragment are ignored, and what
    ``json_values.number_id`` takes. Raises MalformedPayloadError for anything else, and for the gid of another kind.
    """
    value = payload.get(key)
    expected = f"a whole number above 0 or the gid of a {kind}"
    if type(value) is str:
        digits = value.removeprefix(f"gid://shopify/{kind}/")
        # Nearly every id is written so, and needs no pattern.
        if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) <= MAX_ID_DIGITS:
            return digits
        if found := _GID.fullmatch(value.strip()):
            if found[1] != kind:
                raise MalformedPayloadError(
                    f"{json_values.path_of(key, at)}: expected {expected}, got the gid of another kind"
                )
            payload = {key: found[2]}
    return json_values.number_id(payload, key, at, expected=expected)
