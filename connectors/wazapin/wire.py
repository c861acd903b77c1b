"""Makes requests of calls, and reads answers from responses; without network, so both clients share it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Generic, TypedDict, TypeVar
from urllib.parse import quote

import httpx

from connectors.wazapin import retries
from connectors.wazapin.errors import UnexpectedAnswerError, refusal
from connectors.wazapin.models import Contact, Page, R, read

T = TypeVar("T")

_HEADER = re.compile(r"[\x21-\x7e]{1,1000}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[T]):
    """One call of an endpoint; every attempt sends the same."""

    method: str
    path: str = field(repr=False)  #: percent-encoded, see :func:`path`
    read: Callable[[httpx.Response], T]  #: raises ValueError if the answer is not the documented one
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class ClientSettings(TypedDict):
    """The arguments that both kinds of httpx client share."""

    base_url: httpx.URL
    headers: dict[str, str]
    timeout: float


def client_settings(base_url: str, api_key: str, timeout: float) -> ClientSettings:
    """Check and return the arguments for a client; raises ValueError, which never quotes the key."""
    url = httpx.URL(base_url)
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("base_url must be a whole URL such as https://api.wazapin.id")
    if url.path.rstrip("/").endswith("/v1"):
        raise ValueError("base_url ends before /v1")
    headers = {
        "X-Api-Key": header(api_key.strip(), "api_key"),  # a key that was read from a file ends in a newline
        "User-Agent": f"contactsync/{version('contactsync')}",
        "Accept": "application/json",
    }
    return {"base_url": url, "headers": headers, "timeout": timeout}


def request(client: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
    """Make the request of a call."""
    headers = dict(call.headers)
    if call.body is not None:
        headers["Content-Type"] = "application/json"
    return client.build_request(call.method, call.path, params=call.query, content=call.body, headers=headers)


def answer(call: Call[T], response: httpx.Response, attempt: int) -> T:
    """Read the answer to an attempt, the first being 1; raises ApiError."""
    # An earlier attempt may have deleted the contact although its answer was lost, so 404 is a success here.
    gone = call.method == "DELETE" and response.status_code == 404 and attempt > 1
    if not response.is_success and not gone:
        raise refusal(response, retries.retry_after(response.headers))
    try:
        return call.read(response)
    except (ValueError, RecursionError) as error:
        reason = "the body is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
    # Raised outside of the except, or the decoder's error, which holds the whole body, would be its context.
    raise UnexpectedAnswerError(response.status_code, None, f"not an answer of this API: {reason}")


def following(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """Return the call for the next page; None after the last."""
    cursor = page.next_cursor
    if not cursor:
        return None
    if cursor == call.query.get("cursor"):
        raise UnexpectedAnswerError(None, None, "the list leads back to the same page")
    return replace(call, query={**call.query, "cursor": cursor})


def path(*segments: str) -> str:
    """Join segments into a path; a segment may hold any text, such as a slash or a plus.

    Raises ValueError for an empty or dotted segment: a URL drops it, so that deleting the tag
    ``..`` would delete its contact.
    """
    for segment in segments:
        if segment in ("", ".", ".."):
            raise ValueError("an id, number or tag must be neither empty nor dots")
    return "/v1/" + "/".join(quote(segment, safe="") for segment in segments)


def query(given: Mapping[str, object]) -> dict[str, str]:
    """Return parameters as text; leaves out those that are None."""
    return {name: _written(value) for name, value in given.items() if value is not None}


def body(given: Mapping[str, object]) -> bytes:
    """Return JSON, with times in UTC; raises TypeError or ValueError for a value that JSON cannot hold."""
    return json.dumps(given, default=_encoded, allow_nan=False).encode()


def header(value: str, name: str) -> str:
    """Return the value if a header can carry it; raises ValueError, which does not quote it."""
    if not _HEADER.fullmatch(value):
        raise ValueError(f"{name} must be printable ASCII without spaces")
    return value


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _utc(value) if isinstance(value, datetime) else str(value)


def _encoded(value: object) -> object:
    if isinstance(value, datetime):
        return _utc(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _utc(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError("a time must say its zone: datetime.now(UTC), not datetime.now()")
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def one(kind: type[R]) -> Callable[[httpx.Response], R]:
    """Read ``{"data": {…}}``."""
    return lambda response: read(kind, _object(response).get("data"))


def contact(response: httpx.Response) -> Contact:
    """Read ``{"data": {…}}`` as a contact, with its ETag."""
    return replace(one(Contact)(response), etag=response.headers.get("etag"))


def page(kind: type[R]) -> Callable[[httpx.Response], Page[R]]:
    """Read ``{"data": […], "meta": {"next_cursor": …}}``; a single object is a list of one."""

    def read_page(response: httpx.Response) -> Page[R]:
        answered = _object(response)
        rows = answered.get("data", "missing")
        if rows is None:  # Go writes an empty list so
            rows = []
        if isinstance(rows, dict):
            rows = [rows]
        if not isinstance(rows, list):
            raise ValueError("data is not a list")  # noqa: TRY004 - the body is wrong, not our code
        meta = answered.get("meta")
        cursor = meta.get("next_cursor") if isinstance(meta, dict) else None
        return Page(items=tuple(read(kind, row) for row in rows), next_cursor=str(cursor) if cursor else None)

    return read_page


def nothing(_response: httpx.Response) -> None:
    """Read nothing: the status is the whole answer."""


def _object(response: httpx.Response) -> dict[str, Any]:
    answered = json.loads(response.content)
    if not isinstance(answered, dict):
        raise ValueError("the body is not an object")  # noqa: TRY004 - the body is wrong, not our code
    return answered
