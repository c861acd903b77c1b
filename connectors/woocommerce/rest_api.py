"""A WooCommerce shop's customers through REST v3: all of them, or those with new orders.

Reference: https://woocommerce.github.io/woocommerce-rest-api-docs/ and the controllers in
https://github.com/woocommerce/woocommerce/tree/trunk/plugins/woocommerce/includes/rest-api/Controllers

Quirk: customers cannot be filtered by date: WooCommerce accepts ``modified_after`` and ignores it
(https://github.com/woocommerce/woocommerce/issues/31482). Orders can, so a new order is the sign that its customer
may have changed.
Quirk: pages count rows from the start, so a deletion during the walk moves later rows to an earlier page. Each window
therefore begins with the last row of the window before; a window that does not is moved back.
Quirk: ``X-WP-Total`` counts an unreadable user, whom no page shows. So a short page is not the end.
Quirk: an order that changes during the walk moves to the end. So only the first page after a time is complete,
unless all its orders changed in one second.
"""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from connectors import json_values
from connectors.contract import Account, MalformedPayloadError
from connectors.json_values import Payload
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
    UnreadableError,
)
from connectors.woocommerce import answers, customers
from connectors.woocommerce.answers import Listing

DOWNLOAD_HOSTS: frozenset[str] = frozenset()
CREDENTIALS = ("consumer_key", "consumer_secret")
READ_CUSTOMER, READ_ORDER, READ_GONE = "read/customer", "read/order", "read/gone"

_BASE = "/wp-json/wc/v3"
_SIZE = 100  #: rows in a page; WooCommerce refuses more
_OVERLAP = timedelta(minutes=5)  #: an increment begins so much earlier, because a long request saves its order late
_SECOND = timedelta(seconds=1)  #: the resolution of WooCommerce's dates
#: the fields that parse reads; with pictures and links, a customer who did not change would have other bytes
_CUSTOMER = (
    "id,date_created_gmt,date_modified_gmt,email,first_name,last_name,role,billing,shipping,"
    "is_paying_customer,meta_data"
)
_ID = "id,date_created_gmt,date_modified_gmt,role"
_ORDER = "id,date_created_gmt,date_modified_gmt,customer_id,billing"


def api_url(options: Mapping[str, str]) -> str:
    """Return the address of the shop's WordPress, which may be below the root of its host."""
    given = options.get("api_url", "").strip()
    if not given:
        raise AccessRefusedError("the connection has no address of the shop, such as https://shop.example")
    return given.rstrip("/").removesuffix(_BASE).removesuffix("/wp-json").rstrip("/")


def authorize(credentials: Credentials) -> Mapping[str, str]:
    """Return the headers that carry the consumer key and secret."""
    pair = [credentials.get(name, "").strip() for name in CREDENTIALS]
    if not all(pair):
        raise AccessRefusedError("the connection has no consumer key and secret: make them in WooCommerce, REST API")
    return {"Authorization": "Basic " + base64.b64encode(":".join(pair).encode()).decode()}


def renewal(_credentials: Credentials) -> Request | None:
    """Return None: keys of WooCommerce do not expire."""
    return None


def renewed(_credentials: Credentials, _answer: Answer) -> Credentials:
    """Raise AccessRefusedError; the worker never calls this, because there is no ``renewal``."""
    raise AccessRefusedError("keys of WooCommerce cannot be renewed: make new ones")


def read(job: Job, cursor: Cursor | None, fetch: Fetch) -> Iterator[Page]:
    """Yield the pages of a job."""
    if job.kind == "increment":
        yield from _changes(job, cursor or {}, fetch)
    else:
        yield from _everybody(job, cursor or {}, fetch)


def read_some(job: Job, external_ids: Sequence[str], fetch: Fetch) -> Iterator[Row]:
    """Yield these customers as they are now; leaves out unknown ids and the shop's own people."""
    numbers = {written for written in external_ids if written.isascii() and written.isdigit()}
    if not numbers:
        return
    listing = _ask(fetch, "customers", include=",".join(sorted(numbers)), role="all", orderby="id", _fields=_CUSTOMER)
    for body in listing.rows:
        # A shop that ignores the filter shows its first hundred users instead.
        if _id_of(body) in numbers and _is_customer(body, job.account):
            yield _row(listing, body, READ_CUSTOMER)


def gone(external_id: str, at: datetime) -> Row:
    """Return a row that says that the shop no longer has the customer."""
    body = answers.written({"id": int(external_id) if external_id.isdigit() else external_id})
    return Row(external_id=external_id, updated_at=None, topic=READ_GONE, body=body, not_before=at, not_after=at)


def _everybody(job: Job, cursor: Cursor, fetch: Fetch) -> Iterator[Page]:
    """Walk over all users by id, in windows that overlap by one row.

    Users are in the order of their ids. So a window that begins with a known id leaves nobody out, however many users
    come and go during the walk. The cursor has ``offset``, where the next window begins, ``last``, the highest id so
    far, and ``others``, how many users so far are not customers.
    """
    offset, last, others = cursor.get("offset", 0), cursor.get("last", 0), cursor.get("others", 0)
    is_full, is_first = job.kind == "full", not cursor
    step, stuck_at = 1, None
    while True:
        fields = _CUSTOMER if is_full else _ID
        listing = _ask(fetch, "customers", role="all", orderby="id", offset=offset, _fields=fields)
        numbered = [(int(_id_of(body)), body) for body in listing.rows]
        if numbered != sorted(numbered, key=lambda pair: pair[0]):
            raise UnreadableError("the shop does not list customers in the order of their ids: a plugin changes it")
        if offset and not (numbered and numbered[0][0] <= last) and stuck_at != last:
            offset = max(0, min(offset, listing.total) - step)
            step *= 2
            continue
        # After a move back the same gap means that its users cannot be read: the window is taken as it is.
        stuck_at = last if step > 1 else stuck_at
        fresh = [(number, body) for number, body in numbered if number > last]
        customers_ = [body for _, body in fresh if _is_customer(body, job.account)]
        others += len(fresh) - len(customers_)
        last = max([last, *(number for number, _ in fresh)])
        offset, step = offset + _SIZE - 1, 1
        yield Page(
            rows=[_row(listing, body, READ_CUSTOMER if is_full else "") for body in customers_],
            cursor={"offset": offset, "last": last, "others": others},
            expected=max(0, listing.total - others),
            # The next increment reads the orders from this time on.
            watermark=listing.not_before if is_first and is_full else None,
        )
        is_first = False
        if offset + 1 >= listing.total:
            return


def _changes(job: Job, cursor: Cursor, fetch: Fetch) -> Iterator[Page]:
    """Walk over the orders modified since a time: their guests, and their registered customers as they are now.

    The cursor has ``after``, up to when orders are read, ``page``, which is above 1 only within a second that fills a
    page, and ``seen``, the newest change of an order.
    """
    after, seen = (json_values.moment(dict(cursor), key) for key in ("after", "seen"))
    if not cursor and job.since is not None:
        after, seen = job.since - _OVERLAP, job.since
    page, is_last = cursor.get("page", 1), False
    while not is_last:
        listing = _orders(fetch, after, page)
        times = [_modified(order) for order in listing.rows]
        if times != sorted(times):
            raise UnreadableError("the shop does not list orders by their change: it needs WooCommerce 5.8 or newer")
        # The filter excludes the second ``after`` itself; some versions include it.
        if times and after is not None and times[0] < after.replace(microsecond=0):
            raise UnreadableError("the shop ignores modified_after on orders: it needs WooCommerce 5.8 or newer")
        rows = list(_people(job, listing, fetch))
        is_last = page >= listing.pages
        if times:
            seen = max(times[-1], seen or times[-1])
        if times and (after is None or times[-1] - _SECOND > after):
            after, page = times[-1] - _SECOND, 1
        elif not is_last:  # all orders of the page changed in one second
            page += 1
        at = {"after": after, "seen": seen}
        place = {key: None if value is None else value.isoformat() for key, value in at.items()}
        yield Page(rows=rows, cursor={**place, "page": page}, watermark=seen if is_last else None)


def _orders(fetch: Fetch, after: datetime | None, page: int) -> Listing:
    since = {} if after is None else {"modified_after": f"{after.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"}
    return _ask(fetch, "orders", **since, dates_are_gmt="true", orderby="modified", page=page, _fields=_ORDER)


def _people(job: Job, listing: Listing, fetch: Fetch) -> Iterator[Row]:
    registered: dict[str, None] = {}
    for order in listing.rows:
        if order.get("customer_id"):
            registered[json_values.required(json_values.number_id(order, "customer_id"), "an id", "customer_id")] = None
        else:
            yield _row(listing, order, READ_ORDER, external_id=f"order:{_id_of(order)}")
    yield from read_some(job, list(registered), fetch)


def _row(listing: Listing, body: Payload, topic: str, external_id: str | None = None) -> Row:
    return Row(
        external_id=external_id or _id_of(body),
        updated_at=_or_none(_modified, body),
        topic=topic,
        body=answers.written(body) if topic else b"",
        not_before=listing.not_before,
        not_after=listing.not_after,
    )


def _is_customer(body: Payload, account: Account) -> bool:
    """Whether this is a customer; a malformed role counts as one, so that ``parse`` refuses it."""
    role = _or_none(lambda payload: json_values.word(payload, "role"), body)
    return customers.is_customers_role(role, account)


def _id_of(body: Payload) -> str:
    return json_values.required(json_values.number_id(body, "id"), "the id of a customer", "id")


def _modified(body: Payload) -> datetime:
    at = customers.gmt(body, "date_modified_gmt") or customers.gmt(body, "date_created_gmt")
    return json_values.required(at, "a date and time", "date_modified_gmt")


def _or_none(read_it: Callable[[Payload], Any], body: Payload) -> Any:
    try:
        return read_it(body)
    except MalformedPayloadError:
        return None


def _ask(fetch: Fetch, what: str, **query: str | int) -> Listing:
    query = {"order": "asc", "per_page": _SIZE, **query}
    # Commas are not escaped: some firewalls in front of WordPress take an escaped comma for an attack.
    return answers.listing(fetch, f"{_BASE}/{what}?{urlencode(query, safe=',:')}")
