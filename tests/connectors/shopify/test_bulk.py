"""All customers of a shop arrive, each once, whatever happens to the operation and to its file."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from connectors import shopify
from connectors.contract import Account, Envelope, MalformedPayloadError
from connectors.reader import AccessRefusedError, Job, NotYetError, Page, Row, UnreadableError
from connectors.shopify.simulator.admin import SimulatedShop
from tests.connectors.fetching import Clock, Scripted, Worker, an_answer, pages_of

SIZE = 1234
ACCOUNT = Account(source="shopify")
FULL = Job(kind="full", account=ACCOUNT, credentials={})
IDS = Job(kind="ids", account=ACCOUNT, credentials={})
OPERATION = "gid://shopify/BulkOperation/1"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shop(clock: Clock) -> Iterator[SimulatedShop]:
    shop = SimulatedShop(7, SIZE, clock=clock)
    yield shop
    shop.bulk.close()


@pytest.fixture
def worker(shop: SimulatedShop, clock: Clock) -> Worker:
    return Worker(shopify, shop.app, {"access_token": shop.token}, clock)


def rows_of(pages: list[Page]) -> list[Row]:
    return [row for page in pages for row in page.rows]


def ids_of(shop: SimulatedShop) -> list[str]:
    return [shop.customers.gid(number).rpartition("/")[2] for number in shop.customers.numbers()]


def parse(row: Row) -> list[object]:
    envelope = Envelope(topic=row.topic, delivery_id="row", sent_at=row.not_after, headers={}, body=row.body)
    return list(shopify.parse(envelope, ACCOUNT))


def done(**other: object) -> dict[str, object]:
    """Return the answer about a completed operation with three rows."""
    operation = {"id": OPERATION, "status": "COMPLETED", "createdAt": "2026-11-20T11:00:00Z"}
    operation |= {"completedAt": "2026-11-20T11:05:00Z", "objectCount": "3", "rootObjectCount": "3"}
    operation |= {"fileSize": None, "url": "https://storage.googleapis.com/signed"}
    return {"data": {"bulkOperation": operation | other}}


def lines_of(*lines: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    for line in lines:
        offset += len(line) + 1
        yield offset, line


def a_line(number: int) -> bytes:
    return json.dumps({"id": f"gid://shopify/Customer/{number}", "updatedAt": "2026-11-01T00:00:00Z"}).encode()


def read(fetch: Scripted, job: Job = FULL, **cursor: object) -> Iterator[Page]:
    return shopify.read(job, {"operation": OPERATION, **cursor}, fetch)


def test_every_customer_arrives_once_in_pages_of_500(shop: SimulatedShop, worker: Worker):
    pages = list(pages_of(worker, FULL))

    assert [len(page.rows) for page in pages] == [500, 500, 234, 0]
    assert [row.external_id for row in rows_of(pages)] == ids_of(shop)
    assert {page.expected for page in pages} == {SIZE}
    assert [page.watermark is None for page in pages] == [True, True, True, False]
    assert all(parse(row) for row in rows_of(pages))


def test_rows_were_read_between_the_operation_and_the_download(worker: Worker):
    started = worker.clock.at
    pages = list(pages_of(worker, FULL))

    assert pages[-1].watermark == started
    assert {row.not_before for row in rows_of(pages)} == {started}
    assert all(row.not_after >= started + timedelta(seconds=2) for row in rows_of(pages))


def test_completion_after_the_download_by_its_clock_counts():
    fetch = Scripted(done(completedAt="2026-11-20T12:00:30Z"), an_answer(lines=lines_of(*map(a_line, (1, 2, 3)))))

    pages = list(read(fetch))

    assert rows_of(pages)[0].not_after == datetime(2026, 11, 20, 12, 0, 30, tzinfo=UTC)


def test_waits_begin_short_and_grow_to_ten_seconds(worker: Worker, shop: SimulatedShop):
    shop.bulk._delay = 90

    list(pages_of(worker, FULL))

    seconds = [wait.total_seconds() for wait in worker.waits]
    assert seconds[0] < 0.5
    assert seconds == sorted(seconds)
    assert max(seconds) == 10


def test_ids_have_neither_topic_nor_body(shop: SimulatedShop, worker: Worker):
    rows = rows_of(list(pages_of(worker, IDS)))

    assert [row.external_id for row in rows] == ids_of(shop)
    assert {(row.topic, row.body) for row in rows} == {("", b"")}
    assert all(row.updated_at for row in rows)
    assert "firstName" not in json.dumps([request.json for request in worker.requests])


def test_shop_without_customers_has_no_url_and_is_read(clock: Clock):
    shop = SimulatedShop(7, 0, clock=clock)

    pages = list(pages_of(Worker(shopify, shop.app, {"access_token": shop.token}, clock), FULL))

    assert rows_of(pages) == []
    assert pages[-1].expected == 0
    assert pages[-1].watermark is not None


@pytest.mark.parametrize("fault", ["cut_every", "truncate_every"])
def test_download_that_breaks_off_goes_on_behind_its_last_whole_line(shop: SimulatedShop, worker: Worker, fault: str):
    shop.faults.change({fault: 2})
    shop.bulk.served["downloads"] = 0
    shop.faults._seen[fault] = 1  # the first one too

    rows = rows_of(list(pages_of(worker, FULL)))

    assert [row.external_id for row in rows] == ids_of(shop)
    assert shop.faults.happened[fault]
    assert [request.offset for request in worker.requests if request.offset]


def test_cut_at_the_end_of_a_line_or_of_an_inner_object_is_seen():
    whole = b'{"id":"gid://shopify/Customer/2","a":{}}'
    first = lines_of(a_line(1), whole[:-1])
    offset = len(a_line(1)) + 1
    second = lines_of(whole, offset=offset)
    fetch = Scripted(
        *(done(), an_answer(lines=first), done(), an_answer(b"", 206, lines=second)),
        *(done(), an_answer(b"", 206, lines=lines_of(a_line(3), offset=offset + len(whole) + 1))),
    )

    rows = rows_of(list(read(fetch)))

    assert [row.external_id for row in rows] == ["1", "2", "3"]
    assert [request.offset for request in fetch.requests[1::2]] == [0, offset, offset + len(whole) + 1]


def test_download_that_never_gets_on_fails_after_some_tries(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"truncate_every": 1})

    with pytest.raises(UnreadableError, match="cannot be downloaded"):
        list(pages_of(worker, FULL))

    assert shop.bulk.served["downloads"] < 40


@pytest.mark.parametrize("status", [400, 403, 404])
def test_expired_url_is_asked_for_again(shop: SimulatedShop, worker: Worker, status: int):
    shop.faults.change({"expire_url_every": 2, "expired_url_status": status, "cut_every": 1})
    shop.faults._seen["expire_url_every"] = 1
    read_pages = pages_of(worker, FULL)
    rows = list(next(read_pages).rows)
    shop.faults.change({"cut_every": 0})

    rows += rows_of(list(read_pages))

    assert [row.external_id for row in rows] == ids_of(shop)


def test_url_that_always_expires_fails_after_some_tries(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"expire_url_every": 1})

    with pytest.raises(UnreadableError) as caught:
        list(pages_of(worker, FULL))

    assert shop.bulk.served["downloads"] <= 6
    assert "sig" not in str(caught.value)


def test_url_is_in_no_cursor_and_in_no_text_for_a_log(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"cut_every": 2})
    cursors = [page.cursor for page in pages_of(worker, FULL)]

    downloads = [request for request in worker.requests if request.offset is not None]
    assert downloads
    assert "_bulk" not in json.dumps(cursors)
    assert "_bulk" not in repr(downloads)


@pytest.mark.parametrize("fault", ["fail_bulk_times", "cancel_bulk_times"])
def test_operation_that_fails_is_run_again_and_its_part_is_not_used(shop: SimulatedShop, worker: Worker, fault: str):
    shop.faults.change({fault: 2})

    rows = rows_of(list(pages_of(worker, FULL)))

    assert [row.external_id for row in rows] == ids_of(shop)
    assert len(shop.bulk.operations) == 3


def test_three_failed_operations_fail_the_run(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"fail_bulk_times": 9})

    with pytest.raises(UnreadableError, match="INTERNAL_SERVER_ERROR"):
        list(pages_of(worker, FULL))

    assert len(shop.bulk.operations) == 3


def test_operation_that_expired_or_was_forgotten_is_run_again():
    for answer in (done(status="EXPIRED"), {"data": {"bulkOperation": None}}, done(url=None)):
        with pytest.raises(NotYetError) as caught:
            list(read(Scripted(answer)))

        assert caught.value.cursor["operation"] is None
        assert caught.value.cursor["run"] == 2


def test_refused_operation_is_for_the_operator():
    with pytest.raises(AccessRefusedError, match="read_customers"):
        list(read(Scripted(done(status="FAILED", errorCode="ACCESS_DENIED"))))


def test_five_operations_at_once_are_waited_for(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"busy_times": 3})

    assert len(rows_of(list(pages_of(worker, FULL)))) == SIZE
    assert worker.waits[:3] == [timedelta(seconds=10)] * 3


def test_children_are_no_rows_wherever_they_stand(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"children": True, "cut_every": 2})

    rows = rows_of(list(pages_of(worker, FULL)))

    assert [row.external_id for row in rows] == ids_of(shop)


def test_line_that_is_no_customer_is_a_row_that_parse_refuses(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"garbage": True})

    rows = rows_of(list(pages_of(worker, FULL)))

    odd = rows[SIZE:]
    assert [row.external_id for row in odd] == ["", "", ""]
    assert odd[0].body == b'{"id": "gid:\\/\\/shopify\\/Customer\\/17", "firstName"'
    for row in odd:
        with pytest.raises(MalformedPayloadError):
            parse(row)


def test_list_of_ids_with_a_hole_is_not_trusted(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"garbage": True})

    with pytest.raises(UnreadableError, match="not a customer"):
        list(pages_of(worker, IDS))


def test_last_line_that_is_not_json_is_whole_if_the_file_ends_there():
    lines = [a_line(1), a_line(2), b'{"id"']
    size = sum(len(line) + 1 for line in lines)

    rows = rows_of(list(read(Scripted(done(fileSize=str(size)), an_answer(lines=lines_of(*lines))))))

    assert rows[2].body == b'{"id"'


def test_field_without_scope_is_left_out_instead_of_failing_the_operation(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"deny": ["lastOrder"]})

    rows = rows_of(list(pages_of(worker, FULL)))

    assert len(rows) == SIZE
    assert not any("lastOrder" in json.loads(row.body) for row in rows)


def test_field_that_is_not_approved_is_absent_and_not_empty(shop: SimulatedShop, worker: Worker):
    shop.faults.change({"unapproved": ["defaultPhoneNumber", "note"]})

    rows = rows_of(list(pages_of(worker, FULL)))

    assert len(rows) == SIZE
    assert not any({"defaultPhoneNumber", "note"} & json.loads(row.body).keys() for row in rows)


def test_nested_field_that_is_not_approved_is_absent():
    line = b'{"id":"gid://shopify/Customer/1","defaultEmailAddress":{"emailAddress":null,"marketingState":"PENDING"}}'
    hidden = [["defaultEmailAddress", "emailAddress"]]

    rows = rows_of(list(read(Scripted(done(objectCount="1"), an_answer(lines=lines_of(line))), hidden=hidden)))

    assert json.loads(rows[0].body)["defaultEmailAddress"] == {"marketingState": "PENDING"}


def test_refused_download_is_not_read():
    refused = an_answer(b"", 403, lines=lines_of(b'{"error":"expired"}'))

    with pytest.raises(NotYetError) as caught:
        list(read(Scripted(done(), refused)))

    assert caught.value.cursor["offset"] == 0


def test_empty_lines_are_not_counted():
    fetch = Scripted(
        *(done(), an_answer(lines=lines_of(a_line(1), b"", b"", a_line(2)))),
        *(done(), an_answer(b"", 206, lines=lines_of(a_line(3), offset=200))),
    )

    assert [row.external_id for row in rows_of(list(read(fetch)))] == ["1", "2", "3"]


def test_run_goes_on_from_any_cursor(shop: SimulatedShop, worker: Worker):
    pages = list(pages_of(worker, FULL))

    for place, page in enumerate(pages):
        rest = list(pages_of(worker, FULL, json.loads(json.dumps(page.cursor))))

        assert [row.external_id for row in rows_of(pages[: place + 1] + rest)] == ids_of(shop)
        assert rest[-1].watermark == pages[-1].watermark


def test_file_is_read_line_by_line():
    taken = []

    def lines() -> Iterator[tuple[int, bytes]]:
        for number in range(1, 2001):
            taken.append(number)
            yield from lines_of(a_line(number), offset=number * 100)

    fetch = Scripted(done(objectCount="2000"), an_answer(lines=lines()))

    assert len(next(read(fetch)).rows) == 500
    assert len(taken) <= 501


def test_download_that_starts_again_is_not_read_twice():
    with pytest.raises(UnreadableError, match="starts again"):
        list(read(Scripted(done(), an_answer(lines=lines_of(a_line(1)))), offset=100))


def test_text_that_orjson_refuses_stays_as_it_came():
    line = b'{"id":"gid://shopify/Customer/1","firstName":"\\ud800","numberOfOrders":123456789012345678901234567890}'

    rows = rows_of(list(read(Scripted(done(objectCount="1"), an_answer(lines=lines_of(line))))))

    assert (rows[0].external_id, rows[0].body) == ("1", line)


def test_bulk_query_asks_for_no_nested_connection_and_is_short(worker: Worker):
    list(pages_of(worker, FULL))

    inner = next(
        r.json["variables"]["query"] for r in worker.requests if r.json and r.json["operationName"] == "BulkStart"
    )
    assert inner.count("edges") == 1
    assert len(inner.encode()) < 65_535
