"""Queries to Shopify's Admin API, and the errors in its answers.

Status and error codes: https://shopify.dev/docs/api/admin-graphql
Quirk: throttling and most refusals come as HTTP 200 with ``errors``.
Quirk: ``data`` and ``errors`` come together if the app may not see a field: the field is null, and an error has its
path. Such a null is taken out of the data, whatever fields the connection calls approved.
https://shopify.dev/docs/apps/launch/protected-customer-data
Quirk: an unknown search field matches everything; only ``extensions.search`` says so.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson

from connectors.json_values import Payload
from connectors.reader import AccessRefusedError, Answer, Fetch, Request, TryAgainError, UnreadableError

API_VERSION = "2026-10"
PATH = f"/admin/api/{API_VERSION}/graphql.json"
HiddenPath = tuple[str, ...]  #: keys from the customer to the field that the app may not see

_REFUSED = {
    401: "Shopify does not accept the access token (401): give the connection a new one",
    402: "the shop is frozen (402): its owner has to settle with Shopify",
    403: "Shopify refuses access to the shop (403): check the app and the token's scopes",
    404: "Shopify knows no such shop or API version (404): check the shop's domain",
    423: "the shop is locked (423): its owner has to ask Shopify",
}
_NOT_ALLOWED = "Shopify does not let the app read this: grant it the scope and the access to protected customer data"
_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_LONGEST_WAIT = 60.0  #: seconds; a bucket is full again after 20


def shown_code(code: object) -> str:
    """Return a code of an error as messages show it; anything that is no code of Shopify's form is not quoted."""
    return code if isinstance(code, str) and _CODE.fullmatch(code) else "without a code"


class QueryRefusedError(UnreadableError):
    """Shopify refuses this query; a smaller one, or one with another cursor, may pass."""

    def __init__(self, code: str, *, is_about_cursor: bool = False, share: float | None = None) -> None:
        super().__init__(f"Shopify refuses the query ({shown_code(code)})")
        self.code = code
        self.is_about_cursor = is_about_cursor
        self.share = share  #: if the query was too large: the share of its size that is allowed


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer without errors, and its data."""

    data: Payload = field(repr=False)
    answer: Answer
    hidden: frozenset[HiddenPath] = frozenset()


def ask(fetch: Fetch, operation: str, document: str, variables: Mapping[str, Any]) -> Reply:
    """Send one query or mutation; raises a ReadingError if the answer has no usable data."""
    replies: list[Reply] = []

    def check(answer: Answer) -> None:
        # The worker handles a 401: it may be able to renew the token.
        if answer.status == 200:
            replies[:] = [_reply(answer)]

    body = {"query": document, "operationName": operation, "variables": dict(variables)}
    answer = fetch(Request(method="POST", url=PATH, json=body), check)
    if answer.status != 200 or not replies:
        raise refusal(answer.status)
    return replies[0]


def refusal(status: int) -> AccessRefusedError | UnreadableError:
    """Return the error for a status other than 200."""
    if status in _REFUSED:
        return AccessRefusedError(_REFUSED[status])
    if 300 <= status < 400:
        return AccessRefusedError(f"the shop has moved ({status}): check the shop's domain")
    return UnreadableError(f"Shopify answered with the status {status}")


def without(customer: Payload, hidden: Collection[HiddenPath]) -> Payload:
    """Remove the nulls at hidden paths from the customer, in place; values stay. Returns the customer."""
    for path in hidden:
        inside: Any = customer
        for key in path:
            if type(inside) is not dict or key not in inside:
                break
            if inside[key] is None:
                del inside[key]
                break
            inside = inside[key]
    return customer


def _reply(answer: Answer) -> Reply:
    try:
        payload = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise TryAgainError("Shopify answered with something that is not JSON") from None
    data = payload.get("data") if type(payload) is dict else None
    errors = _errors_of(payload)
    if errors is None or (not errors and type(data) is not dict):
        raise TryAgainError("Shopify answered with something that is not documented")
    extensions = _object(payload.get("extensions"))
    hidden = frozenset(_judged(errors, extensions, has_data=type(data) is dict and any(data.values())))
    _check_search(extensions)
    return Reply(_object(data), answer, hidden)


def _errors_of(payload: object) -> list[Payload] | None:
    """Return the errors; None if the payload is not an answer of GraphQL."""
    if type(payload) is not dict:
        return None
    errors = payload.get("errors", [])
    if type(errors) is not list or not all(type(error) is dict for error in errors):
        return None
    return errors


def _judged(errors: list[Payload], extensions: Payload, *, has_data: bool) -> Iterator[HiddenPath]:
    """Yield the paths of the fields that are hidden from us; raises a ReadingError for the first other error."""
    for error in errors:
        more = _object(error.get("extensions"))
        code, message = str(more.get("code") or "").upper(), str(error.get("message") or "")
        if code == "THROTTLED" or (not code and message == "Throttled"):
            raise TryAgainError("Shopify is throttling", _wait(_object(extensions.get("cost"))))
        if code in ("INTERNAL_SERVER_ERROR", "TIMEOUT"):
            raise TryAgainError(f"Shopify failed ({code})")
        if code == "SHOP_INACTIVE":
            raise AccessRefusedError("the shop is not active (SHOP_INACTIVE)")
        if code == "ACCESS_DENIED" or "not approved" in message or message.startswith("Access denied"):
            inside = _inside(error.get("path"))
            if not inside or not has_data:
                raise AccessRefusedError(_NOT_ALLOWED)
            yield inside
        elif has_data:
            raise TryAgainError(f"Shopify answered in part ({shown_code(code)})")
        elif code == "MAX_COST_EXCEEDED":
            raise QueryRefusedError(code, share=_share(more))
        else:
            # "Invalid cursor for current pagination sort."
            is_about_cursor = "cursor" in message.lower()
            raise QueryRefusedError(code, is_about_cursor=is_about_cursor)


def _inside(path: object) -> HiddenPath:
    """Return the part of an error's path that is inside a customer; empty if the path does not reach a customer."""
    if type(path) is not list:
        return ()
    places = [place for place, part in enumerate(path) if type(part) is int]
    inside = path[places[-1] + 1 :] if places else []
    return tuple(part for part in inside if type(part) is str)


def _check_search(extensions: Payload) -> None:
    searches = extensions.get("search")
    if type(searches) is list and any(_object(search).get("warnings") for search in searches):
        raise UnreadableError("Shopify ignored a part of the search, so the answer is not what was asked for")


def _wait(cost: Payload) -> timedelta | None:
    """Return how long it takes until the bucket holds as many points as the query costs."""
    status = _object(cost.get("throttleStatus"))
    requested, rate = _number(cost.get("requestedQueryCost")), _number(status.get("restoreRate"))
    if not rate:
        return None
    # At least 0.2 s: Shopify has other limits, which may throttle although the bucket holds enough.
    seconds = max((requested - _number(status.get("currentlyAvailable"))) / rate, 0.2)
    return timedelta(seconds=min(seconds, _LONGEST_WAIT))


def _share(more: Payload) -> float | None:
    cost, most = _number(more.get("cost")), _number(more.get("maxCost"))
    return most / cost if cost else None


def _number(value: object) -> float:
    return value if isinstance(value, int | float) and value > 0 else 0.0


def _object(value: object) -> Payload:
    return value if type(value) is dict else {}
