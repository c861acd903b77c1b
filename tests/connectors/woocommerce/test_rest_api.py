"""WooCommerce's REST API, read from the simulated shop over real HTTP: the traps of paging, filters and answers."""

import base64
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from connectors import woocommerce
from connectors.contract import Account, Envelope, ProfileRemoved, ProfileSeen
from connectors.reader import (
    NOT_BEFORE,
    AccessRefusedError,
    Answer,
    Job,
    Page,
    Request,
    Row,
    TryAgainError,
    UnreadableError,
)
from connectors.woocommerce.simulator.shop import BEGIN, Shop
from connectors.woocommerce.simulator.site import Faults, Running, Site

KEYS = {"consumer_key": "ck_invented", "consumer_secret": "cs_invented"}
NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)
MOST_TRIES = 6


@dataclass
class Asking:
    """The worker's side as far as a reader needs it: repeats a request after a fault, at once."""

    client: httpx.Client
    base: str  #: the connection's ``api_url``
    tries: int = 0
    edit: Callable[[Answer], Answer] = lambda answer: answer

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        last: Exception = AssertionError("the simulated shop did not answer")
        for _ in range(MOST_TRIES):
            self.tries += 1
            try:
                got = self.client.request(request.method, self.base + request.url)
            except httpx.TransportError:
                continue
            if got.status_code >= 500 or got.status_code == 429:
                continue
            headers = {name.lower(): value for name, value in got.headers.items()}
            answer = Answer(status=got.status_code, headers=headers, body=got.content, not_before=NOW, not_after=NOW)
            answer = self.edit(answer)
            try:
                if check is not None:
                    check(answer)
            except TryAgainError as error:
                last = error
                continue
            return answer
        raise last


@dataclass
class Open:
    site: Site
    fetch: Asking
    options: dict[str, str] = field(default_factory=dict)

    def job(self, kind: str = "full", since: datetime | None = None) -> Job:
        account = Account(source="woo", options=self.options)
        return Job(kind=kind, account=account, credentials=KEYS, since=since)  # type: ignore[arg-type]

    def pages(self, kind: str = "full", cursor: Any = None, since: datetime | None = None) -> Iterator[Page]:
        return woocommerce.read(self.job(kind, since), cursor, self.fetch)

    def rows(self, kind: str = "full", since: datetime | None = None) -> list[Row]:
        return [row for page in self.pages(kind, since=since) for row in page.rows]

    def people(self) -> list[str]:
        shop = self.site.shop
        return [str(n) for n in shop.users(0, shop.live) if shop.role(n) in ("customer", "subscriber")]


@contextmanager
def opened(size: int, keys: dict[str, str] = KEYS, prefix: str = "", orders: int = -1) -> Iterator[Open]:
    site = Site(Shop(7, size, clock=lambda: NOW, orders=orders), prefix=prefix)
    with Running(site) as running:
        options = {"api_url": f"{running.url}{prefix}/"}
        url, headers = woocommerce.api_url(options), woocommerce.authorize(keys)
        with httpx.Client(headers=headers, trust_env=False) as client:
            yield Open(site, Asking(client, url), options)


@pytest.fixture
def shop() -> Iterator[Open]:
    with opened(350) as open_:
        yield open_


def ids(rows: list[Row]) -> list[str]:
    return [row.external_id for row in rows]


def events(row: Row) -> list[Any]:
    headers = {NOT_BEFORE: row.not_before.isoformat()}
    envelope = Envelope(topic=row.topic, delivery_id="x", sent_at=row.not_after, headers=headers, body=row.body)
    return list(woocommerce.parse(envelope, Account(source="woo")))


# All users.


@pytest.mark.parametrize("kind", ["full", "ids"])
@pytest.mark.parametrize("size", [1, 2, 99, 100, 101, 199, 200, 350])
def test_everybody_is_read_once_and_the_count_is_right(kind: str, size: int):
    with opened(size) as shop:
        pages = list(shop.pages(kind))

        rows = [row for page in pages for row in page.rows]
        assert ids(rows) == shop.people()
        assert pages[-1].expected == len(rows)
        assert len(shop.site.shop.users(0, size)) > len(rows), "there are people of the shop to be left out"
        assert all(row.body == b"" and row.topic == "" for row in rows) == (kind == "ids" or not rows)
        assert all("modified_after" not in url for url in shop.site.log)


def test_an_empty_shop_has_no_rows():
    with opened(0) as shop:
        assert [(list(page.rows), page.expected) for page in shop.pages()] == [([], 0)]


def test_rows_say_what_the_webhook_says(shop: Open):
    for row in shop.rows()[:40]:
        webhook = shop.site.shop.deliver("customer.updated", int(row.external_id))
        hooked = Envelope(topic=webhook.topic, delivery_id="x", sent_at=None, headers={}, body=webhook.body)

        assert events(row) == list(woocommerce.parse(hooked, Account(source="woo")))
        assert row.updated_at == events(row)[0].occurred_at


def test_the_watermark_of_a_full_run_is_its_start_and_said_once(shop: Open):
    assert [page.watermark for page in shop.pages()] == [NOW, None, None, None]
    assert {page.watermark for page in shop.pages("ids")} == {None}


@pytest.mark.parametrize("kind", ["full", "ids"])
def test_a_run_goes_on_from_any_cursor(shop: Open, kind: str):
    whole = list(shop.pages(kind))
    for n, page in enumerate(whole):
        cursor = json.loads(json.dumps(page.cursor))

        rest = list(shop.pages(kind, cursor))

        assert ids([row for one in rest for row in one.rows]) == ids(
            [row for one in whole[n + 1 :] for row in one.rows]
        )
        assert rest[-1].expected == whole[-1].expected
        assert {one.watermark for one in rest} == {None}


@pytest.mark.parametrize("gone", [[2], [350], list(range(2, 40)), list(range(2, 200)), list(range(2, 351))])
@pytest.mark.parametrize("come", [0, 1, 120])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_nobody_is_skipped_by_deletions_during_the_walk(shop: Open, gone: list[int], come: int, after: int):
    read: list[str] = []
    for n, page in enumerate(shop.pages(), 1):
        read += ids(list(page.rows))
        if n == after:  # as many users come as go, so the total stays the same
            shop.site.shop.delete(gone)
            shop.site.shop.create(come, {"role": "customer"})

    assert set(shop.people()) <= set(read)
    assert len(set(read)) == len(read)


def test_deletions_between_two_processes_are_noticed_too(shop: Open):
    first = next(shop.pages())
    shop.site.shop.delete(range(2, 30))

    rest = [row for page in shop.pages(cursor=first.cursor) for row in page.rows]

    assert set(shop.people()) <= set(ids([*first.rows, *rest]))


@pytest.mark.parametrize("every", [2, 3, 50, 100])
def test_users_that_cannot_be_read_end_nothing(shop: Open, every: int):
    shop.site.faults = Faults(unreadable_every=every)

    pages = list(shop.pages())

    rows = [row for page in pages for row in page.rows]
    assert ids(rows) == [number for number in shop.people() if int(number) % every]
    assert pages[-1].expected is not None
    assert pages[-1].expected > len(rows), "whoever could not be read counts: nobody may be taken for deleted"


def test_a_whole_page_that_cannot_be_read_ends_nothing(shop: Open):
    shop.site.faults = Faults(unreadable_every=1)

    assert shop.rows() == []


@pytest.mark.parametrize(
    "faults",
    [Faults(error_every=3), Faults(html_every=3), Faults(cut_every=3), Faults(throttle_every=2)],
    ids=lambda faults: next(name for name in Faults.__slots__ if getattr(faults, name) and name != "slow_s"),
)
@pytest.mark.parametrize("kind", ["full", "increment"])
def test_faults_cost_tries_and_nothing_else(shop: Open, kind: str, faults: Faults):
    whole = shop.rows(kind)
    shop.fetch.tries, shop.site.faults = 0, faults

    assert shop.rows(kind) == whole
    assert shop.site.failed > 0


# Changes, by orders.


def test_an_increment_has_guests_and_the_customers_of_orders_as_they_are(shop: Open):
    world = shop.site.shop
    world.create_orders(3, {"customer_id": 0, "billing": {"email": "guest@example.org"}})
    world.create_orders(2, {"customer_id": 14, "billing": {"email": "gift@example.org"}})
    world.change([14], {"last_name": "Aune"})

    rows = shop.rows("increment", NOW - timedelta(hours=1))

    guests = [row for row in rows if row.topic == "read/order"]
    assert [row.external_id for row in rows if row.topic == "read/customer"] == ["14"]
    assert len(guests) == 3
    assert all(events(row)[0].identifiers["email"].value == "guest@example.org" for row in guests)
    refreshed = events(rows[-1])[0]
    assert isinstance(refreshed, ProfileSeen)
    assert refreshed.fields["last_name"] == "Aune"
    assert "gift@example.org" not in str(refreshed)


def test_customers_are_never_asked_by_date(shop: Open):
    shop.rows("increment", NOW)

    assert any("modified_after" in url for url in shop.site.log)
    assert not any("modified_after" in url for url in shop.site.log if "/customers" in url)


def test_the_watermark_is_the_newest_change_seen_and_not_the_clock(shop: Open):
    shop.site.shop.clock = lambda: NOW - timedelta(hours=3)
    shop.site.shop.create_orders(1, {"customer_id": 0})

    marks = [page.watermark for page in shop.pages("increment", since=NOW - timedelta(days=1))]

    assert marks == [NOW - timedelta(hours=3)]
    assert [page.watermark for page in shop.pages("increment", since=NOW)][-1] == NOW, "nothing new moves nothing"


def test_an_increment_overlaps_the_one_before(shop: Open):
    shop.site.shop.clock = lambda: NOW - timedelta(minutes=2)
    shop.site.shop.create_orders(1, {"customer_id": 0})

    assert len(shop.rows("increment", NOW)) == 1


def test_filters_are_in_utc_whatever_the_zone_of_the_shop(shop: Open):
    for hours in (5, 3):
        shop.site.shop.clock = lambda hours=hours: NOW - timedelta(hours=hours)  # type: ignore[misc]
        shop.site.shop.create_orders(1, {"customer_id": 0})

    assert len(shop.rows("increment", NOW - timedelta(hours=4))) == 1
    assert all("dates_are_gmt=true" in url for url in shop.site.log if "modified_after" in url)


def all_orders(rows: list[Row]) -> set[str]:
    return {row.external_id for row in rows if row.topic == "read/order"}


def test_an_order_that_changes_during_the_walk_makes_nobody_skipped():
    with opened(10, orders=600) as shop:
        world, walked = shop.site.shop, []
        for n, page in enumerate(shop.pages("increment"), 1):
            walked += page.rows
            world.change_orders(range(n * 7, n * 7 + 6), {"status": "completed"})  # they move to the end

        guests = {f"order:{n}" for n in range(1, 601) if not (world.order(n) or {})["customer_id"]}
        assert guests <= all_orders(walked)


@pytest.mark.parametrize("at_once", [99, 100, 101, 250])
def test_more_orders_than_a_page_within_one_second_are_all_read(shop: Open, at_once: int):
    world = shop.site.shop
    world.create_orders(at_once, {"customer_id": 0})
    world.clock = lambda: NOW + timedelta(seconds=1)
    world.create_orders(5, {"customer_id": 0})

    pages = list(shop.pages("increment", since=NOW - timedelta(hours=1)))

    assert len(all_orders([row for page in pages for row in page.rows])) == at_once + 5
    assert pages[-1].watermark == NOW + timedelta(seconds=1)
    assert [page.watermark for page in pages].count(None) == len(pages) - 1


def test_an_increment_goes_on_from_any_cursor():
    with opened(40, orders=450) as shop:
        shop.site.shop.change_orders(range(1, 251), {"customer_id": 0})  # one second, more than a page
        whole = list(shop.pages("increment"))
        everything = all_orders([row for page in whole for row in page.rows])
        for n, page in enumerate(whole):
            cursor = json.loads(json.dumps(page.cursor))

            rest = list(shop.pages("increment", cursor))

            read = [row for one in [*whole[: n + 1], *rest] for row in one.rows]
            assert all_orders(read) == everything
            assert rest[-1].watermark == whole[-1].watermark
        assert len(whole) < 12


def test_without_a_beginning_all_orders_are_read(shop: Open):
    world = shop.site.shop
    guests = [n for n in range(1, world.last_order + 1) if not (world.order(n) or {})["customer_id"]]

    assert all_orders(shop.rows("increment")) == {f"order:{n}" for n in guests}


def test_a_shop_that_ignores_the_filter_or_the_order_is_found_out(shop: Open):
    world = shop.site.shop
    world.create_orders(150, {"customer_id": 0})
    world.clock = lambda: NOW + timedelta(seconds=9)
    world.change_orders([5], {"status": "completed"})

    def ignoring(word: str) -> Callable[[Request, Any], Answer]:
        def fetch(request: Request, check: Any = None) -> Answer:
            cut = "&".join(part for part in request.url.split("&") if not part.startswith(word))
            return shop.fetch(replace(request, url=cut), check)

        return fetch

    job = shop.job("increment", NOW - timedelta(days=1))
    for word, expected in (("modified_after", "ignores modified_after"), ("orderby", "orders by their change")):
        with pytest.raises(UnreadableError, match=expected):
            list(woocommerce.read(job, None, ignoring(word)))
    with pytest.raises(UnreadableError, match="order of their ids"):
        list(woocommerce.read(shop.job(), None, ignoring("orderby")))


# Some users, by id.


def test_some_are_read_as_they_are_and_others_left_out(shop: Open):
    shop.site.shop.delete([20])
    external_ids = ["14", "20", "97", "1", "26", "999999", "guest:email:a@example.org"]

    rows = list(woocommerce.read_some(shop.job(), external_ids, shop.fetch))

    assert ids(rows) == ["14", "26"], "26 is a subscriber, whom the default role leaves out; 97 and 1 are no customers"
    assert {row.topic for row in rows} == {"read/customer"}


def test_a_hundred_are_read_at_once_and_nobody_costs_nothing(shop: Open):
    external_ids = shop.people()[:100]

    assert len(list(woocommerce.read_some(shop.job(), external_ids, shop.fetch))) == 100
    assert list(woocommerce.read_some(shop.job(), ["guest:phone:+1"], shop.fetch)) == []
    assert shop.fetch.tries == 1


def test_a_shop_that_drops_the_filter_shows_nobody_else(shop: Open):
    def deaf(request: Request, check: Any = None) -> Answer:
        return shop.fetch(replace(request, url=request.url.replace("include=", "included=")), check)

    assert ids(list(woocommerce.read_some(shop.job(), ["14", "300"], deaf))) == ["14"]


def test_who_is_gone_is_removed_as_of_then():
    row = woocommerce.gone("417", NOW)

    assert json.loads(row.body) == {"id": 417}
    assert events(row) == [ProfileRemoved(external_id="417", occurred_at=NOW)]


# Answers that are not lists.


def refused(shop: Open, edit: Callable[[Answer], Answer], kind: str = "full") -> str:
    shop.fetch.edit = edit
    with pytest.raises((AccessRefusedError, UnreadableError)) as caught:
        shop.rows(kind)
    return f"{type(caught.value).__name__}: {caught.value}"


def saying(status: int, body: object) -> Callable[[Answer], Answer]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda answer: replace(answer, status=status, body=raw)


@pytest.mark.parametrize("kind", ["full", "ids", "increment"])
def test_a_wrong_key_says_what_to_do(kind: str):
    with opened(5, {**KEYS, "consumer_secret": "cs_other"}) as shop:
        assert "AccessRefusedError: the shop does not accept the consumer key" in refused(shop, lambda a: a, kind)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (403, {"code": "woocommerce_rest_cannot_view"}, "AccessRefusedError: the shop does not let this key"),
        (403, b"<html>blocked</html>", "AccessRefusedError: the shop does not let this key"),
        (404, {"code": "rest_no_route"}, "AccessRefusedError: there is no REST API"),
        (404, b"<html>Not Found</html>", "AccessRefusedError: there is no REST API"),
        (301, b"", "AccessRefusedError: the shop is at another address"),
        (400, {"code": "rest_invalid_param", "message": "Bad 8817"}, "UnreadableError: the shop refuses the question"),
        (400, {"code": "Marit 8817"}, "UnreadableError: the shop refuses the question with status 400"),
        (200, {"code": "woocommerce_rest_invalid_id", "data": {"status": 404}}, "(woocommerce_rest_invalid_id)"),
        (200, {"customers": []}, "UnreadableError: the shop answered something other than a list"),
        (200, [1, 2], "UnreadableError: the shop answered something other than a list"),
    ],
)
def test_refusals_say_what_to_do_and_quote_nothing(shop: Open, status: int, body: object, expected: str):
    reason = refused(shop, saying(status, body))

    assert expected in reason
    assert "8817" not in reason


@pytest.mark.parametrize(
    "body", [b"", b"<html>Maintenance</html>", b"Warning: x<br />\n[]", b'[{"id": 1', b"\xff[]", b"[" * 100_000]
)
def test_what_is_no_json_is_asked_for_again(shop: Open, body: bytes):
    shop.fetch.edit = saying(200, body)

    with pytest.raises(TryAgainError, match="other than JSON"):
        shop.rows()
    assert shop.fetch.tries == MOST_TRIES


def test_a_byte_order_mark_is_no_obstacle(shop: Open):
    whole = shop.rows()
    shop.fetch.edit = lambda answer: replace(answer, body=b"\xef\xbb\xbf" + answer.body)

    assert shop.rows() == whole


def test_totals_that_somebody_dropped_are_missed(shop: Open):
    def edit(answer: Answer) -> Answer:
        return replace(answer, headers={name: v for name, v in answer.headers.items() if name != "x-wp-total"})

    assert "no x-wp-total" in refused(shop, edit)


def test_an_odd_row_is_yielded_for_parse_to_refuse(shop: Open):
    shop.site.shop.change([14], {"date_modified_gmt": "soon", "role": 5}, is_quiet=True)

    row = next(row for row in shop.rows() if row.external_id == "14")

    assert row.updated_at is None
    with pytest.raises(woocommerce.MalformedPayloadError):
        events(row)


# Connecting.


def test_the_address_may_be_pasted_in_many_ways():
    for written in (
        "https://shop.example/blog",
        " https://shop.example/blog/wp-json/wc/v3/ ",
        "https://shop.example/blog/wp-json",
    ):
        assert woocommerce.api_url({"api_url": written}) == "https://shop.example/blog"
    with pytest.raises(AccessRefusedError, match="no address"):
        woocommerce.api_url({})


def test_wordpress_may_be_in_a_subfolder():
    with opened(30, prefix="/blog") as shop:
        assert ids(shop.rows()) == shop.people()


def test_keys_are_needed_and_cannot_be_renewed():
    for keys in ({}, {"consumer_key": "ck"}, {"consumer_key": " ", "consumer_secret": "cs"}):
        with pytest.raises(AccessRefusedError, match="no consumer key"):
            woocommerce.authorize(keys)
    answer = Answer(status=200, headers={}, not_before=NOW, not_after=NOW)
    assert woocommerce.renewal(KEYS) is None
    with pytest.raises(AccessRefusedError):
        woocommerce.renewed(KEYS, answer)


# The simulator has the traps of the real shop.


def test_the_simulated_shop_has_the_traps(shop: Open):
    def get(url: str) -> httpx.Response:
        return shop.fetch.client.get(f"{shop.fetch.base}/wp-json/wc/v3/{url}")

    future = get("customers?role=all&modified_after=2099-01-01T00:00:00")
    assert future.headers["x-wp-total"] == "350", "taken and ignored"
    assert future.headers["x-wp-totalpages"] == "35"
    assert 'rel="next"' in future.headers["link"]
    assert get("customers?per_page=101").json()["code"] == "rest_invalid_param"
    assert get("customers?orderby=modified").status_code == 400
    assert {one["role"] for one in get("customers?per_page=100").json()} == {"customer"}
    assert get("customers/999").json()["data"]["status"] == 404
    assert get("nothing").json()["code"] == "rest_no_route"
    local = get("orders?modified_after=2099-01-01T00:00:00").headers["x-wp-total"]
    assert local == "0"
    assert int(get("orders").headers["x-wp-total"]) == 175
    roles = Counter(shop.site.shop.role(n) for n in range(1, 351))
    assert len(roles) > 3
    nobody = httpx.get(f"{shop.fetch.base}/wp-json/wc/v3/customers", trust_env=False)
    assert (nobody.status_code, nobody.json()["code"]) == (401, "woocommerce_rest_cannot_view")


def test_the_control_changes_the_shop_and_returns_signed_webhooks(shop: Open):
    def post(path: str, **body: Any) -> Any:
        return shop.fetch.client.post(f"{shop.fetch.base}/_control/{path}", json=body).json()

    deliveries = post("create", count=2, set={"email": "new@example.org"})["deliveries"]
    deliveries += post("change", ids=[14, 26], set={"last_name": "Aune"})["deliveries"]
    deliveries += post("delete", ids=[14, 97])["deliveries"]  # an editor has no webhook
    deliveries += post("create", kind="order", count=1, set={"customer_id": 0})["deliveries"]
    deliveries += post("change", kind="order", count=2)["deliveries"]
    deliveries += post("deliver", topic="customer.updated", id=14)["deliveries"]

    topics = [delivery["headers"]["X-WC-Webhook-Topic"] for delivery in deliveries]
    assert topics == ["customer.created"] * 2 + ["customer.updated"] * 2 + [
        "customer.deleted",
        "order.created",
        "order.updated",
        "order.updated",
        "customer.updated",
    ]
    for delivery in deliveries:
        body = woocommerce_body(delivery)
        woocommerce.verify({name.lower(): value for name, value in delivery["headers"].items()}, body, ["invented"])
    assert json.loads(woocommerce_body(deliveries[-1]))["code"] == "woocommerce_rest_invalid_id"
    stats = shop.fetch.client.get(f"{shop.fetch.base}/_control/stats").json()
    assert (stats["users"], stats["orders"], stats["customers"]) == (350, 176, len(shop.people()))
    assert post("faults", error_every=2)["error_every"] == 2
    assert shop.fetch.client.get(f"{shop.fetch.base}/_control/ping").json()["body"]
    assert "error" in post("change", ids="x")


def test_a_quiet_change_does_not_move_the_date(shop: Open):
    world = shop.site.shop
    before = (world.user(14) or {})["date_modified_gmt"]

    world.change([14], {"meta_data": []}, is_quiet=True)

    assert (world.user(14) or {})["date_modified_gmt"] == before
    assert before > f"{BEGIN:%Y}"


def woocommerce_body(delivery: Any) -> bytes:
    return base64.b64decode(delivery["body"])
