"""Orders of WooCommerce: the only place that names a guest.

Payload reference: https://woocommerce.github.io/woocommerce-rest-api-docs/#order-properties

Quirk: a guest's purchase creates no customer and no customer webhook: ``customer_id`` is 0, and ``billing`` has the
person. ``shipping`` has whoever gets the parcel.
Quirk: the addresses of a registered customer's order belong to the order and may be somebody else's (a gift). So
they are not read as the customer's.
Quirk: ``date_modified_gmt`` moves with every change of an order's status. So what a guest typed is dated by
``date_created_gmt``, and two states of one order are told apart by their edits.
Quirk: WooCommerce delivers an order in ``checkout-draft`` while its fields are still empty.
"""

from collections.abc import Iterator

from connectors import json_values
from connectors.contract import Account, Event, Identifier, ProfileSeen
from connectors.json_values import Payload
from connectors.woocommerce import customers


def order(body: Payload, _account: Account) -> Iterator[Event]:
    """``order.created``, ``order.updated`` and rows of a reading: the guest, once there is an e-mail or a number."""
    customer = json_values.required(json_values.count(body, "customer_id"), "0 or the id of a customer", "customer_id")
    billing = json_values.nested(body, "billing") or {}
    created_at = customers.gmt(body, "date_created_gmt")
    modified_at = customers.gmt(body, "date_modified_gmt")
    if customer:
        return
    identifiers: dict[str, Identifier | None] = {}
    if (email := customers.email_of(billing, "billing")) is not None:
        identifiers["email"] = Identifier(type="email", value=email)
    if (number := customers.phone_of(("billing", billing))) is not None:
        identifiers["phone"] = number
    if identifiers:
        yield ProfileSeen(
            external_id=None,
            occurred_at=created_at or modified_at,
            edited_at=modified_at if created_at is not None else None,
            created_at=created_at,
            fields=customers.name_of(("billing", billing)),
            identifiers=identifiers,
            region=customers.region_of(("billing", billing)),
        )
    else:  # a buyer whose only address cannot be read is not passed over
        for key in ("email", "phone"):
            json_values.text(billing, key, "billing")
