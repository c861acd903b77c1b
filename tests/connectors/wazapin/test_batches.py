"""Outcomes of rows, as the client reads them."""

import httpx
import pytest

from connectors.wazapin import ConflictError
from connectors.wazapin.batches import Outcome, outcomes


def read(*rows):
    return outcomes(httpx.Response(200, json={"data": list(rows)}))


def test_each_row_is_a_contact_or_the_error_that_it_would_have_raised():
    problem = {"error": "several", "code": "conflict", "details": [{"field": "email", "contact_id": "cnt_2"}]}

    refused = {"index": 1, "status": 409, "error": problem}

    first, second = read(refused, {"index": 0, "status": 200, "contact": {"id": "1"}})

    assert (first.status, first.result().id) == (200, "1")
    assert isinstance(second.error, ConflictError)
    assert second.error.contact_ids == ("cnt_2",)
    with pytest.raises(ConflictError):
        second.result()


@pytest.mark.parametrize("row", [{}, {"index": 0}, {"index": 0, "status": 200}, {"index": "0", "status": 200}])
def test_what_is_no_answer_of_the_api_is_no_outcome(row):
    with pytest.raises(ValueError, match=r"a row|contact|object"):
        read(row)


def test_an_outcome_without_anything_is_no_contact():
    with pytest.raises(ValueError, match="neither"):
        Outcome(status=200).result()
