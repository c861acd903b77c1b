"""Deliveries: a delivery id shows whether a statement came from a row of a run, a request or a webhook."""

from uuid import uuid4

from worker.domain import api_writes, deliveries
from worker.domain.terms import Stamp


def test_the_delivery_id_of_a_row_differs_from_those_of_a_request_and_a_webhook():
    row = Stamp(1, 1, deliveries.of_row(uuid4(), "0" * 64), 0, "")
    request = Stamp(1, 1, api_writes.delivery_id(uuid4()), 0, "")
    webhook = Stamp(1, 1, "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043", 0, "")

    assert [deliveries.is_of_run(stamp) for stamp in (row, request, webhook)] == [True, False, False]
    assert [api_writes.is_of_request(stamp) for stamp in (row, request, webhook)] == [False, True, False]


def test_rows_of_one_run_with_the_same_content_are_one_delivery():
    run = uuid4()

    assert deliveries.of_row(run, "a" * 64) == deliveries.of_row(run, "a" * 64)
    assert deliveries.of_row(run, "a" * 64) != deliveries.of_row(run, "b" * 64)
    assert deliveries.of_row(run, "a" * 64) != deliveries.of_row(uuid4(), "a" * 64)


def test_the_delivery_id_of_a_row_never_changes():
    """The id is stored. A run that goes on after an upgrade must recognise the rows that it kept before."""
    run = uuid4()

    assert deliveries.of_row(run, "d" * 64) == f"read:{run.hex}:{'d' * 32}"
