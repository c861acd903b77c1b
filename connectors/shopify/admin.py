"""A shop's customers through Shopify's Admin API (GraphQL), and the renewal of its access tokens.

https://shopify.dev/docs/api/admin-graphql/2026-10
Quirk: an expiring offline token lives 60 minutes. Its refresh token changes with every use; the old one stays valid
until the new one is used.
https://shopify.dev/changelog/more-resilient-refreshes-for-expiring-offline-access-tokens
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from connectors import json_values
from connectors.contract import MalformedPayloadError
from connectors.reader import (
    AccessRefusedError,
    Answer,
    Credentials,
    Cursor,
    Fetch,
    Job,
    Page,
    Request,
    Row,
    TryAgainError,
    UnreadableError,
)
from connectors.shopify import bulk, changes, reads
from connectors.shopify.graphql import QueryRefusedError, Reply, ask, refusal, without

DOWNLOAD_HOSTS = frozenset({"storage.googleapis.com"})
CREDENTIALS = ("access_token",)
# In a request to any other host the access token would leave.
_SHOP = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.myshopify\.com", re.ASCII)

_SOME = f"query CustomersById($ids: [ID!]!) {{ nodes(ids: $ids) {{ ... on Customer {{ {reads.fields()} }} }} }}"
_RENEWING = ("refresh_token", "client_id", "client_secret")


def api_url(options: Mapping[str, str]) -> str:
    """Return the origin of the shop's Admin API."""
    domain = domain_of(options)
    if domain is None:
        raise AccessRefusedError("the connection has no shop_domain (the shop's name.myshopify.com)")
    return f"https://{domain}"


def domain_of(options: Mapping[str, str]) -> str | None:
    """Return the shop's domain, in lower case; None unless all of the option is one."""
    written = options.get("shop_domain", "").strip().lower().removeprefix("https://").removesuffix("/")
    return written if _SHOP.fullmatch(written) else None


def authorize(credentials: Credentials) -> Mapping[str, str]:
    """Return the header that carries the access token."""
    return {"X-Shopify-Access-Token": credentials["access_token"]}


def renewal(credentials: Credentials) -> Request | None:
    """Return the request that renews an expiring offline token; None for a token that does not expire."""
    if not all(credentials.get(name) for name in _RENEWING):
        return None
    form = {"grant_type": "refresh_token"} | {name: credentials[name] for name in _RENEWING}
    return Request(method="POST", url="/admin/oauth/access_token", form=form)


def renewed(credentials: Credentials, answer: Answer) -> Credentials:
    """Read the new token and the new refresh token."""
    if answer.status in (400, 401, 403):
        raise AccessRefusedError(f"Shopify does not renew the access token ({answer.status}): install the app again")
    if answer.status != 200:
        raise refusal(answer.status)
    try:
        payload = json_values.load_json(answer.body)
        tokens = {name: json_values.text(payload, name) for name in ("access_token", "refresh_token")}
    except MalformedPayloadError:
        raise TryAgainError("Shopify answered with something that is not a token") from None
    if not tokens["access_token"]:
        raise TryAgainError("Shopify answered with something that is not a token")
    return {**credentials, **{name: token for name, token in tokens.items() if token}}


def read(job: Job, cursor: Cursor | None, fetch: Fetch) -> Iterator[Page]:
    """Yield pages from the cursor on, to the end."""
    yield from changes.read(job, cursor, fetch) if job.kind == "increment" else bulk.read(job, cursor, fetch)


def read_some(_job: Job, external_ids: Sequence[str], fetch: Fetch) -> Iterator[Row]:
    """Yield these customers as they are now; Shopify answers null for those it does not have."""
    # Only a number can be a customer's id, and Shopify refuses the whole query if one id is malformed.
    left = [f"gid://shopify/Customer/{number}" for number in external_ids if number.isascii() and number.isdigit()]
    size = len(left)
    while left:
        try:
            reply = ask(fetch, "CustomersById", _SOME, {"ids": left[:size]})
        except QueryRefusedError as error:
            if error.code != "MAX_COST_EXCEEDED" or size == 1:
                raise
            size = max(1, min(int(size * (error.share or 0.5)), size - 1))
            continue
        left = left[size:]
        times = (reply.answer.not_before, reply.answer.not_after)
        for node in _nodes_of(reply):
            yield reads.row(without(node, reply.hidden), None, *times, is_bare=False)


def _nodes_of(reply: Reply) -> list[dict[str, Any]]:
    nodes = reply.data.get("nodes")
    if type(nodes) is not list or not all(node is None or type(node) is dict for node in nodes):
        raise UnreadableError("Shopify answered without the list of customers that was asked for")
    return [node for node in nodes if node]
