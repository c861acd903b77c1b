"""The answers of a WooCommerce shop: a page of a list with its totals, or an error in one of many forms.

Reference: https://woocommerce.github.io/woocommerce-rest-api-docs/#errors

Quirk: maintenance pages, caches and PHP warnings come with status 200, in place of the JSON or before it.
Quirk: without "pretty permalinks" the web server answers the whole API with 404.
Quirk: the API answers 401 without a key, and 403 to a key that may not list customers; both have an error in JSON.
A firewall's 403 has no JSON.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from connectors import json_values
from connectors.json_values import Payload
from connectors.reader import AccessRefusedError, Answer, Fetch, Request, TryAgainError, UnreadableError

_CODE = re.compile(r"[a-z_]{1,60}")
_REFUSED = {
    401: "the shop does not accept the consumer key and secret: make new ones with permission to read "
    "(WooCommerce, Settings, Advanced, REST API); if they are new, its web server drops the Authorization header",
    403: "the shop does not let this key list customers and orders: its user must be a shop manager or an "
    "administrator, and no firewall may stand before the REST API",
    404: "there is no REST API of WooCommerce at this address: check it (WordPress may be in a subfolder), and set "
    "permalinks to anything but plain",
}


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a collection, with the number of rows and pages of the whole collection."""

    rows: list[Payload]
    total: int
    pages: int
    not_before: datetime
    not_after: datetime


def listing(fetch: Fetch, url: str) -> Listing:
    """Request a page of a collection; raises a ReadingError if the answer is anything else."""
    answer = fetch(Request(url=url), check)
    rows = _load(answer)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UnreadableError("the shop answered something other than a list")
    total, pages = (_header(answer, name) for name in ("x-wp-total", "x-wp-totalpages"))
    return Listing(rows, total, pages, answer.not_before, answer.not_after)


def check(answer: Answer) -> None:
    """Raise TryAgainError if the worker should repeat the request, another ReadingError if that is no use."""
    if answer.status in _REFUSED:
        raise AccessRefusedError(_REFUSED[answer.status])
    if 300 <= answer.status < 400:
        raise AccessRefusedError("the shop is at another address: connect the one it redirects to")
    if answer.status >= 400:
        raise UnreadableError(f"the shop refuses the question with status {answer.status}{_code_of(answer)}")
    try:
        body = _load(answer)
    except (ValueError, RecursionError):
        raise TryAgainError("the shop answered with something other than JSON, such as a maintenance page") from None
    if isinstance(body, dict) and "code" in body:
        raise UnreadableError(f"the shop answered with an error{_code_of(answer)}")


def written(body: Payload) -> bytes:
    """Return a row as the body of an envelope."""
    return json.dumps(body, separators=(",", ":")).encode()


def _load(answer: Answer) -> Any:
    return json.loads(answer.body.decode("utf-8-sig"))  # a PHP file that was saved with a byte order mark sends it


def _code_of(answer: Answer) -> str:
    """Return the API's code of the error, in brackets, if there is one; the message is not quoted."""
    try:
        code = _load(answer)["code"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return f" ({code})" if isinstance(code, str) and _CODE.fullmatch(code) else ""


def _header(answer: Answer, name: str) -> int:
    value = json_values.count({name: answer.headers.get(name)}, name)
    if value is None:
        raise UnreadableError(f"the answer has no {name}: a cache or firewall before the shop drops it")
    return value
