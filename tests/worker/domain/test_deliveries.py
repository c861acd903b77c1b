"""Delivery ids: a stamp tells a row that was read from all other deliveries."""

from uuid import uuid4

import pytest

from worker.domain import api_writes, deliveries
from worker.domain.terms import Stamp


def a_stamp(delivery_id):
    return Stamp(1, 1, delivery_id, 0, "e")


def test_a_row_is_known_by_its_delivery_id():
    run_id = uuid4()

    assert deliveries.of_row(run_id, "d" * 64) == f"read:{run_id.hex}:{'d' * 32}"  # stored: it never changes
    assert deliveries.is_of_run(a_stamp(deliveries.of_row(run_id, "d" * 64)))


@pytest.mark.parametrize("delivery_id", ["1234", "file:000000000001:d", api_writes.delivery_id(uuid4())])
def test_other_deliveries_are_none(delivery_id):
    assert not deliveries.is_of_run(a_stamp(delivery_id))
