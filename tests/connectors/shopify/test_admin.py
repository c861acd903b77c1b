"""Changed customers are read whatever Shopify's API does, and a wrong answer is never taken for a right one."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from connectors import shopify
from connectors.contract import Account, Envelope, Identifier, ProfileRemoved, ProfileSeen, TagsSnapshot
from connectors.reader import (
    NOT_BEFORE,
    AccessRefusedError,
    Job,
    Page,
    ReadingError,
    Row,
    TryAgainError,
    UnreadableError,
)
from connectors.shopify import changes, topics
from connectors.shopify.simulator import graphql
from connectors.shopify.simulator.admin import SimulatedShop
from tests.connectors.fetching import Clock, Scripted, Worker, an_answer, pages_of

SIZE = 900
SINCE = datetime(2026, 6, 1, 7, 30, tzinfo=UTC)
APPROVED = Account(source="shopify", approved_fields=shopify.PROTECTED_FIELDS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop(clock: Clock) -> SimulatedShop:
    return SimulatedShop(7, SIZE, clock=clock)


@pytest.fixture
def worker(shop: SimulatedShop, clock: Clock) -> Worker:
    return Worker(shopify, shop.app, {"access_token": shop.token}, clock)


def a_job(since: datetime | None = SINCE) -> Job:
    return Job(kind="increment", account=APPROVED, credentials={}, since=since)


def rows_of(pages: list[Page]) -> list[Row]:
    return [row for page in pages for row in page.rows]


def changed(worker: Worker, since: datetime | None = SINCE) -> list[str]:
    return [row.external_id for row in rows_of(list(pages_of(worker, a_job(since))))]


def expected(shop: SimulatedShop, since: datetime = SINCE) -> set[str]:
    customers = map(shop.customers.customer, shop.customers.numbers())
    return {c["id"].rpartition("/")[2] for c in customers if datetime.fromisoformat(c["updatedAt"]) >= since}


def queries(worker: Worker) -> list[str]:
    return [request.json["variables"]["query"] for request in worker.requests]


def parse(row: Row) -> list[object]:
    headers = {NOT_BEFORE: row.not_before.isoformat()}
    envelope = Envelope(topic=row.topic, delivery_id="row", sent_at=row.not_after, headers=headers, body=row.body)
    return list(shopify.parse(envelope, APPROVED))


def a_page(*nodes: object, **other: object) -> dict[str, object]:
    listing = {"nodes": list(nodes), "pageInfo": {"hasNextPage": False, "endCursor": None}}
    return {"data": {"customers": listing}, **other}


def read_once(*answers: object) -> list[Row]:
    return rows_of(list(shopify.read(a_job(), None, Scripted(*answers))))


def an_error(code: str | None = None, message: str = "Invented", **other: object) -> dict[str, object]:
    return {"message": message, **({"extensions": {"code": code}} if code else {}), **other}


# Changes


def test_exactly_those_that_changed_since_are_read(shop: SimulatedShop, worker: Worker):
    pages = list(pages_of(worker, a_job()))

    assert {row.external_id for row in rows_of(pages)} == expected(shop)
    assert len(rows_of(pages)) == len(expected(shop))
    assert [page.watermark is None for page in pages] == [True] * (len(pages) - 1) + [False]
    assert pages[-1].watermark == max(row.updated_at for row in rows_of(pages) if row.updated_at)


def test_rows_were_read_while_their_page_was_asked(worker: Worker):
    row = rows_of(list(pages_of(worker, a_job())))[0]
    [_, tags] = [event for event in parse(row) if isinstance(event, ProfileSeen | TagsSnapshot)]

    assert row.not_before <= row.not_after
    assert tags.occurred_at == row.not_before


def test_without_changes_the_watermark_stays(worker: Worker):
    since = datetime(2026, 11, 19, tzinfo=UTC)

    assert list(pages_of(worker, a_job(since)))[-1].watermark == since


def test_change_in_the_very_second_counts_and_one_before_does_not():
    times = ("2026-06-01T07:29:59Z", "2026-06-01T07:30:00Z")
    nodes = [{"id": f"gid://shopify/Customer/{n}", "updatedAt": time} for n, time in enumerate(times, start=1)]

    assert [row.external_id for row in read_once(a_page(*nodes))] == ["2"]


def test_watermark_never_goes_back():
    node = {"id": "gid://shopify/Customer/1", "updatedAt": "2026-05-31T20:00:00Z"}

    assert list(shopify.read(a_job(), None, Scripted(a_page(node))))[-1].watermark == SINCE


def test_search_is_quoted_in_utc_and_begins_a_day_early(worker: Worker):
    changed(worker, SINCE.astimezone(datetime.fromisoformat("2026-01-01T00:00:00+07:00").tzinfo))

    assert set(queries(worker)) == {"updated_at:>='2026-05-31T07:30:00Z'"}


def test_search_by_whole_days_reads_the_same(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"whole_days": True})

    assert set(changed(worker)) == expected(shop)


def test_listing_begins_anew_before_it_is_too_deep(
    shop: SimulatedShop, worker: Worker, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(changes, "_DEEPEST", 300)
    monkeypatch.setattr(graphql, "DEEPEST", 500)

    assert set(changed(worker, None)) == expected(shop, datetime(2000, 1, 1, tzinfo=UTC))
    assert len(set(queries(worker))) > 1


def test_more_in_one_second_than_can_be_listed_fails(
    shop: SimulatedShop, worker: Worker, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(changes, "_DEEPEST", 200)
    shop.change(range(600))

    with pytest.raises(UnreadableError, match="does not go on"):
        changed(worker, clock.at - timedelta(minutes=1))

    assert len(worker.requests) < 20


@pytest.mark.parametrize("times", [1, 10**6])
@pytest.mark.parametrize("fault", ["refuse_cursor_times", "repeat_page_times"])
def test_refused_cursor_or_repeated_page_begins_a_listing_where_it_was(
    shop: SimulatedShop, worker: Worker, fault: str, times: int
):
    shop.faults.change({fault: times})

    assert set(changed(worker)) == expected(shop)
    assert len(worker.requests) < 40


def test_page_that_repeats_for_ever_ends():
    node = {"id": "gid://shopify/Customer/1", "updatedAt": "2026-06-02T00:00:00Z"}
    page = a_page(node)
    page["data"]["customers"]["pageInfo"] = {"hasNextPage": True, "endCursor": "same"}

    with pytest.raises(UnreadableError, match="does not go on"):
        read_once(*[page] * 20)


def test_empty_pages_end():
    pages = [a_page() for _ in range(200)]
    for number, page in enumerate(pages):
        page["data"]["customers"]["pageInfo"] = {"hasNextPage": True, "endCursor": str(number)}

    with pytest.raises(UnreadableError, match="does not go on"):
        read_once(*pages)


def test_ignored_search_is_not_trusted():
    warning = {"field": "updated", "message": "Invalid search field for this query.", "code": "invalid_field"}

    with pytest.raises(UnreadableError, match="search"):
        read_once(a_page(extensions={"search": [{"path": ["customers"], "warnings": [warning]}]}))


def test_run_goes_on_from_any_cursor(shop: SimulatedShop, worker: Worker):
    pages = list(pages_of(worker, a_job()))
    assert len(pages) > 2

    for place, page in enumerate(pages):
        rest = list(pages_of(worker, a_job(), json.loads(json.dumps(page.cursor))))
        assert {row.external_id for row in rows_of(pages[: place + 1] + rest)} == expected(shop)
        assert rest[-1].watermark == pages[-1].watermark


# Costs and failures


def test_page_that_costs_too_much_shrinks_once(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"max_cost": 300})

    assert set(changed(worker)) == expected(shop)
    assert [request.json["variables"]["first"] for request in worker.requests][:3] == [250, 42, 42]


def test_page_shrinks_to_one_customer_at_the_least():
    too_much = an_error("MAX_COST_EXCEEDED")
    too_much["extensions"] |= {"cost": 100_000, "maxCost": 10}
    fetch = Scripted({"errors": [too_much]}, a_page())

    list(shopify.read(a_job(), None, fetch))

    assert fetch.requests[1].json["variables"]["first"] == 1


def test_throttled_query_waits_as_long_as_the_bucket_needs(shop: SimulatedShop, worker: Worker):
    assert set(changed(worker)) == expected(shop)

    throttled = len(worker.waits)
    assert throttled
    assert all(timedelta(0) < wait < timedelta(seconds=11) for wait in worker.waits)
    assert len(worker.requests) == shop.requests["graphql"]
    assert len(worker.requests) <= 2 * throttled + 4, "no wait was too short"


@pytest.mark.parametrize("fault", ["throttle_every", "internal_every", "html_every", "error_every"])
def test_failures_that_pass_are_asked_again(shop: SimulatedShop, worker: Worker, fault: str):
    shop.faults.change({fault: 2})

    assert set(changed(worker)) == expected(shop)


def test_data_with_an_error_that_is_not_about_approval_is_asked_again(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"partial_times": 2})

    assert set(changed(worker)) == expected(shop)
    assert len(worker.waits) >= 2


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b"17", b'{"errors": "odd"}', b'{"data": null}', b"\xff"]
)
def test_answer_that_is_nothing_documented_is_asked_again(body: bytes):
    with pytest.raises(TryAgainError):
        read_once(an_answer(body))


@pytest.mark.parametrize("status", [401, 402, 403, 404, 423, 302])
def test_refusals_by_status_are_for_the_operator(status: int):
    with pytest.raises(AccessRefusedError, match=str(status)):
        read_once(status)


@pytest.mark.parametrize(
    "error",
    [
        an_error("ACCESS_DENIED", "Access denied for customers field.", path=["customers"]),
        an_error("SHOP_INACTIVE"),
        an_error(None, "This app is not approved to access the Customer object.", path=["customers"]),
    ],
)
def test_refusals_in_an_answer_are_for_the_operator(error: dict[str, object]):
    with pytest.raises(AccessRefusedError):
        read_once({"data": {"customers": None}, "errors": [error]})


@pytest.mark.parametrize(
    "error", [an_error("undefinedField"), an_error(None, "maria@example.com is odd"), an_error("X")]
)
def test_refused_query_fails_without_quoting_the_message(error: dict[str, object]):
    with pytest.raises(ReadingError) as caught:
        read_once({"errors": [error]})

    assert isinstance(caught.value, UnreadableError)
    assert "example.com" not in str(caught.value)


def test_other_status_is_unreadable():
    with pytest.raises(UnreadableError, match="418"):
        read_once(418)


# Fields that are hidden from the app


@pytest.mark.parametrize("kind", ["unapproved", "deny"])
def test_hidden_field_is_absent_though_the_connection_says_it_is_approved(
    shop: SimulatedShop, worker: Worker, kind: str
):
    shop.faults.change({kind: ["defaultPhoneNumber", "firstName"]})

    rows = rows_of(list(pages_of(worker, a_job())))
    seen = [event for row in rows for event in parse(row) if isinstance(event, ProfileSeen)]

    assert len(seen) == len(expected(shop))
    assert not any("phone" in event.identifiers or "first_name" in event.fields for event in seen)
    assert any(event.identifiers["email"] is None for event in seen), "what is empty stays empty"


def test_field_inside_of_an_object_can_be_hidden():
    error = an_error(
        None, "This app is not approved", path=["customers", "nodes", 0, "defaultEmailAddress", "emailAddress"]
    )
    node = {
        "id": "gid://shopify/Customer/1",
        "defaultEmailAddress": {"emailAddress": None, "marketingState": "PENDING"},
    }

    [row] = read_once(a_page(node, errors=[error]))

    assert "emailAddress" not in json.loads(row.body)["defaultEmailAddress"]


# Tokens


def test_token_that_expires_on_the_way_is_renewed(clock: Clock):
    shop = SimulatedShop(7, SIZE, clock=clock, refresh_token="first")
    credentials = {"access_token": shop.token, "refresh_token": "first", "client_id": "invented client"}
    worker = Worker(shopify, shop.app, credentials | {"client_secret": "invented client secret"}, clock)
    shop.faults.change({"expire_token_every": 3})

    assert set(changed(worker)) == expected(shop)
    assert shop.requests["renewals"] > 1
    assert worker.credentials["refresh_token"] != "first"
    assert worker.credentials["client_id"] == "invented client"


def test_token_that_cannot_be_renewed_is_refused(clock: Clock):
    shop = SimulatedShop(7, SIZE, clock=clock, refresh_token="first")
    shop.faults.change({"expire_token_every": 2})
    credentials = {"access_token": shop.token, "refresh_token": "stolen", "client_id": "a", "client_secret": "b"}

    with pytest.raises(AccessRefusedError, match="install"):
        changed(Worker(shopify, shop.app, credentials, clock))
    with pytest.raises(AccessRefusedError, match="401"):
        changed(Worker(shopify, shop.app, {"access_token": shop.token}, clock))


def test_token_that_does_not_expire_has_no_renewal():
    assert shopify.renewal({"access_token": "a"}) is None
    assert shopify.renewal({"access_token": "a", "refresh_token": "", "client_id": "b", "client_secret": "c"}) is None


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"access_token": 17}'])
def test_renewal_without_a_token_is_tried_again(body: bytes):
    with pytest.raises(TryAgainError):
        shopify.renewed({"access_token": "a"}, an_answer(body))


def test_api_is_at_the_shops_domain():
    assert shopify.api_url({"shop_domain": "Lantern-Row.myshopify.com "}) == "https://lantern-row.myshopify.com"
    assert shopify.api_url({"shop_domain": "https://lantern-row.myshopify.com/"}) == "https://lantern-row.myshopify.com"
    with pytest.raises(AccessRefusedError, match="shop_domain"):
        shopify.api_url({})


# Some customers, by id


def test_some_are_read_and_the_missing_are_left_out(shop: SimulatedShop, worker: Worker):
    ids = [shop.customers.gid(number).rpartition("/")[2] for number in range(100)]
    shop.delete([3])

    rows = list(shopify.read_some(a_job(), [*ids, "17", "none", "²"], worker))

    assert [row.external_id for row in rows] == [*ids[:3], *ids[4:]]
    assert all(parse(row) for row in rows)


def test_some_that_cost_too_much_are_read_in_parts(shop: SimulatedShop, worker: Worker):
    ids = [shop.customers.gid(number).rpartition("/")[2] for number in range(100)]
    shop.faults.change({"max_cost": 120})

    assert [row.external_id for row in shopify.read_some(a_job(), ids, worker)] == ids


def test_customer_we_may_not_see_does_not_pass_for_gone():
    error = an_error("ACCESS_DENIED", "Access denied", path=["nodes", 0])
    node = {"id": "gid://shopify/Customer/2"}

    with pytest.raises(AccessRefusedError):
        list(shopify.read_some(a_job(), ["1", "2"], Scripted({"data": {"nodes": [None, node]}, "errors": [error]})))
    with pytest.raises(UnreadableError):
        list(shopify.read_some(a_job(), ["1", "2"], Scripted({"data": {"nodes": None, "x": 1}})))


def test_hidden_field_of_some_is_absent(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"unapproved": ["defaultPhoneNumber"]})

    rows = list(shopify.read_some(a_job(), [shop.customers.gid(0).rpartition("/")[2]], worker))

    assert ["defaultPhoneNumber" in json.loads(row.body) for row in rows] == [False]


def test_customer_is_the_same_text_from_everywhere(shop: SimulatedShop, worker: Worker):
    full = Job(kind="full", account=APPROVED, credentials={})
    by_file = {row.external_id: row.body for row in rows_of(list(pages_of(worker, full)))}
    by_page = {row.external_id: row.body for row in rows_of(list(pages_of(worker, a_job())))}
    by_id = {row.external_id: row.body for row in shopify.read_some(a_job(), list(by_page)[:50], worker)}

    assert by_page.items() <= by_file.items()
    assert by_id.items() <= by_page.items()


def test_gone_is_removed_at_that_time():
    at = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)

    assert parse(shopify.gone("17", at)) == [ProfileRemoved(external_id="17", occurred_at=at)]


def test_number_and_email_are_read(shop: SimulatedShop, worker: Worker):
    [row] = shopify.read_some(a_job(), [shop.customers.gid(0).rpartition("/")[2]], worker)
    seen = parse(row)[0]

    assert isinstance(seen, ProfileSeen)
    shown = shop.customers.customer(0)
    assert seen.identifiers["phone"] == Identifier(type="phone", value=shown["defaultPhoneNumber"]["phoneNumber"])
    assert seen.occurred_at == row.updated_at


# Webhooks


def a_merge(status: str) -> dict[str, str]:
    kept, lost = ("admin_graphql_api_customer_kept_id", "admin_graphql_api_customer_deleted_id")
    return {"status": status, kept: "gid://shopify/Customer/17", lost: "gid://shopify/Customer/18"}


@pytest.mark.parametrize(
    ("topic", "body", "external_id"),
    [
        ("customers/create", {"id": 17, "email": "a@example.com"}, "17"),
        ("customers/create", {"id": 17, "admin_graphql_api_id": "gid://shopify/Customer/18"}, "18"),
        ("customers/update", {"id": 17}, "17"),
        ("customers/enable", {"id": 17, "admin_graphql_api_id": "gid://shopify/Customer/17"}, "17"),
        ("customers/update", {"id": 17, "email": None}, None),
        ("customers/delete", {"id": 17}, None),
        ("orders/create", {"id": 17}, None),
        ("products/update", {"id": 17}, None),
        ("Customer/update", {"query_variables": {"customerId": "gid://shopify/Customer/17"}}, "17"),
        ("Customer/create", {"payload_url": "x", "query_variables": {"customerId": "gid://shopify/Customer/17"}}, "17"),
        ("Customer/update", {"data": {"customer": {"id": 17}}, "query_variables": {"customerId": 17}}, None),
        ("Customer", {"action": "update", "query_variables": {"customerId": "gid://shopify/Customer/17"}}, "17"),
        ("Customer", {"action": "delete", "query_variables": {"customerId": "gid://shopify/Customer/17"}}, None),
        ("Customer/delete", {"query_variables": {"customerId": "gid://shopify/Customer/17"}}, None),
        ("customers/merge", a_merge("completed"), "17"),
        ("customers/merge", a_merge("failed"), None),
        ("customers/merge", {"status": "completed", "admin_graphql_api_customer_kept_id": 17.5}, None),
        ("customers/create", {"id": {"odd": 1}}, None),
        ("customers/create", [], None),
        ("Customer/update", {"data": 17, "query_variables": []}, None),
    ],
)
def test_webhook_that_does_not_say_all_names_who_to_read_back(topic: str, body: object, external_id: str | None):
    assert shopify.wanted(topic, json.dumps(body).encode()) == external_id
    assert shopify.wanted(topic, b"\xff not JSON") is None


URL = "https://contacts.example.com/hooks/shopify"


def subscribe(worker: Worker) -> dict[str, str]:
    return dict(shopify.subscribe(a_job(), URL, worker))


def test_every_followed_topic_of_the_admin_api_is_registered(shop: SimulatedShop, worker: Worker):
    compliance = {"customers/data_request", "customers/redact", "shop/redact"}
    misspelled = {"customers/email_marketing_consent_update", "customers/marketing_consent_update"}
    followed = {t for t in topics.TRANSLATIONS if not t.startswith("Customer/")} - compliance - misspelled

    done = subscribe(worker)

    assert set(done) == followed
    assert set(done.values()) == {"added"}
    assert set(subscribe(worker).values()) == {"kept"}
    assert len(shop.api.webhooks) == len(followed)


def test_what_was_changed_behind_our_back_is_repaired(shop: SimulatedShop, worker: Worker):
    subscribe(worker)
    by_topic = {webhook["topic"]: webhook for webhook in shop.api.webhooks.values()}
    by_topic["ORDERS_PAID"]["format"] = "XML"
    by_topic["ORDERS_EDITED"]["apiVersion"] = {"handle": "2026-01"}
    by_topic["CUSTOMERS_UPDATE"]["includeFields"] = ["id"]
    del shop.api.webhooks[by_topic["CUSTOMERS_DELETE"]["id"]]
    shop.api.add_webhook("ORDERS_CREATE", URL, filter="id:1")
    foreign = shop.api.add_webhook("ORDERS_CREATE", "https://other.example.com", format="XML")

    done = subscribe(worker)

    changed = {topic: word for topic, word in done.items() if word != "kept"}
    assert changed.pop("customers/delete") == "added"
    assert changed == dict.fromkeys(("orders/paid", "orders/edited", "customers/update", "orders/create"), "repaired")
    assert foreign["format"] == "XML"
    assert set(subscribe(worker).values()) == {"kept"}
    ours = [webhook for webhook in shop.api.webhooks.values() if webhook["uri"] == URL]
    assert len({webhook["topic"] for webhook in ours}) == len(ours)
    assert {(webhook["format"], webhook["filter"]) for webhook in ours} == {("JSON", "")}


def test_topic_without_scope_is_refused_and_the_others_go_on(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"deny_topics": ["CUSTOMERS_MERGE"]})

    done = subscribe(worker)

    assert done.pop("customers/merge") == "refused"
    assert set(done.values()) == {"added"}


def test_topic_that_is_taken_is_refused(worker: Worker):
    empty = {"data": {"webhookSubscriptions": {"nodes": [], "pageInfo": {"hasNextPage": False}}}}
    taken = {"data": {"webhookSubscriptionCreate": {"userErrors": [{"message": "has already been taken"}]}}}

    assert set(shopify.subscribe(a_job(), URL, Scripted(empty, *[taken] * 30)).values()) == {"refused"}


def test_webhooks_are_listed_to_the_end(shop: SimulatedShop, worker: Worker):
    for number in range(250):
        shop.api.add_webhook("PRODUCTS_UPDATE", f"https://other.example.com/{number}")
    subscribe(worker)

    assert set(subscribe(worker).values()) == {"kept"}


def test_refused_token_fails_the_registration():
    with pytest.raises(AccessRefusedError):
        shopify.subscribe(a_job(), URL, Scripted(401))
