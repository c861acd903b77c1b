"""The customers of a shop that changed since a time, page by page in the order of their changes.

https://shopify.dev/docs/api/admin-graphql/latest/queries/customers
Quirk: the search takes a timestamp only in quotes and in UTC. Without quotes it matches too much
(https://github.com/estuary/connectors/pull/3250), with another offset nothing
(https://github.com/mvanhorn/cli-printing-press/issues/2056).
Quirk: ``updated_at`` may match whole days only. So the search begins a day early, and older rows are left out here.
Quirk: Shopify pages through at most 25,000 rows of a listing. Before that, a new listing begins at the last change.
Quirk: a page may cost more than a query is allowed to. Then the pages become smaller.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import json_values
from connectors.json_values import Payload
from connectors.reader import Cursor, Fetch, Job, Page, Row, UnreadableError
from connectors.shopify import reads
from connectors.shopify.graphql import QueryRefusedError, Reply, ask, without

PAGE_ROWS = 250  #: the most that Shopify gives
_DEEPEST = 20_000  #: rows of a listing before a new one begins
_EARLIER = timedelta(days=1)
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)  #: before Shopify existed

_LIST = f"""query Customers($first: Int!, $after: String, $query: String!) {{
  customers(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {{
    nodes {{ {reads.fields()} }}
    pageInfo {{ hasNextPage endCursor }}
  }}
}}"""


@dataclass(frozen=True, slots=True)
class _State:
    """The cursor of a run; times are in ISO 8601."""

    begin: str  #: the listing has the changes since then
    after: str | None = None
    seen: int = 0  #: rows of this listing so far
    last: str | None = None  #: the newest change of a customer so far
    first: int = PAGE_ROWS

    def cursor(self) -> dict[str, Any]:
        return asdict(self)


def read(job: Job, cursor: Cursor | None, fetch: Fetch) -> Iterator[Page]:
    """Yield the customers that changed since ``job.since``."""
    since = job.since or _LONG_AGO
    state = _State(**cursor) if cursor else _State((since - _EARLIER).isoformat())
    while True:
        try:
            reply = _ask(state, fetch)
        except QueryRefusedError as error:
            state = _otherwise(state, error)
            continue
        listing = json_values.required(json_values.nested(reply.data, "customers"), "an object", "customers")
        info = json_values.nested(listing, "pageInfo") or {}
        end = json_values.text(info, "endCursor", limit=10_000)
        rows = _rows(reply, listing)
        times = [row.updated_at for row in rows if row.updated_at is not None]
        last = max([*times, *([datetime.fromisoformat(state.last)] if state.last else [])], default=None)
        is_repeated = end is None or end == state.after
        state = replace(
            state,
            after=end or state.after,
            # An empty page counts as a full one, so that a listing of empty pages ends.
            seen=state.seen + (len(rows) or PAGE_ROWS),
            last=last.isoformat() if last else None,
        )
        rows = [row for row in rows if row.updated_at is None or row.updated_at >= since]
        if not json_values.boolean(info, "hasNextPage"):
            yield Page(rows=rows, cursor=state.cursor(), watermark=max(last, since) if last else job.since)
            return
        if is_repeated or state.seen >= _DEEPEST:
            state = _next_listing(state)
        yield Page(rows=rows, cursor=state.cursor())


def _ask(state: _State, fetch: Fetch) -> Reply:
    begin = datetime.fromisoformat(state.begin).astimezone(UTC)
    search = f"updated_at:>='{begin:%Y-%m-%dT%H:%M:%SZ}'"
    return ask(fetch, "Customers", _LIST, {"first": state.first, "after": state.after, "query": search})


def _otherwise(state: _State, error: QueryRefusedError) -> _State:
    """Return the state to go on from after a refused query; raises the error if there is none."""
    if error.code == "MAX_COST_EXCEEDED" and state.first > 1:
        size = int(state.first * error.share) if error.share else state.first // 2
        return replace(state, first=min(max(size, 1), state.first - 1))
    if error.is_about_cursor and state.after is not None:
        return _next_listing(state)
    raise error


def _next_listing(state: _State) -> _State:
    """Begin a new listing at the newest change; it repeats a few rows, which does no harm."""
    if state.last is None or datetime.fromisoformat(state.last) <= datetime.fromisoformat(state.begin):
        raise UnreadableError("Shopify's list of changed customers does not go on; read all of them instead")
    return replace(state, begin=state.last, after=None, seen=0)


def _rows(reply: Reply, listing: Payload) -> list[Row]:
    nodes = listing.get("nodes")
    if type(nodes) is not list:
        raise json_values.unexpected("a list", nodes, "nodes", "customers")
    times = (reply.answer.not_before, reply.answer.not_after)
    seen = (without(node, reply.hidden) if type(node) is dict else node for node in nodes)
    return [reads.row(node, None, *times, is_bare=False) for node in seen]
