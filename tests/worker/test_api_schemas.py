"""Contact JSON: what a person whom no shop knows shows, and what a shop's customer shows."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest

from worker import ids
from worker.api_schemas import Contact
from worker.domain.rows import ContactRow
from worker.domain.times import moment

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def a_contact(source, external_id):
    return ContactRow(
        uuid4(), "Ayu", "ayu@example.com", None, source, external_id, {"a": 1}, ["vip"], ids.new(), {}, NOW, NOW
    )


def test_a_customer_shows_the_number_that_its_shop_gave():
    shown = Contact.of(a_contact("shop", "7"))

    assert (shown.external_source, shown.external_id) == ("shop", "7")


@pytest.mark.parametrize(("source", "external_id"), [("api", "cnt_1"), ("shop", "guest:email:ayu@example.com")])
def test_nobody_shows_a_number_that_no_shop_gave(source, external_id):
    shown = Contact.of(a_contact(source, external_id))

    assert (shown.external_source, shown.external_id) == (None, None)


def test_a_contact_was_created_when_the_first_of_its_ids_was_minted():
    contact = a_contact("shop", "7")

    assert Contact.of(contact).created_at == moment((contact.first_id.int >> 80) * 1000)
