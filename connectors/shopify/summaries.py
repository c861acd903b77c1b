"""Side facts about a Shopify customer: the total of their orders, and their segments.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07#customers-purchasing_summary

Quirk: a side fact can arrive after its customer was deleted, so it does not bring the customer back.
Quirk: segment events have no time and no name of the segment, only gids.
"""

from collections.abc import Iterator

from connectors import json_values
from connectors.contract import Account, Event, FieldValue, ProfileSeen
from connectors.json_values import Payload
from connectors.shopify import gid


def purchases(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers/purchasing_summary``."""
    fields = amount_spent(body)
    if "numberOfOrders" in body:
        fields["number_of_orders"] = json_values.count(body, "numberOfOrders")
    if "lastOrderId" in body:
        fields["last_order_id"] = gid.number_id(body, "lastOrderId", kind="Order")
    yield ProfileSeen(
        external_id=_gid(body, "customerId", "Customer"),
        occurred_at=json_values.moment(body, "occurredAt"),
        fields=fields,
        exists=False,
    )


def joined_segment(body: Payload, _account: Account) -> Iterator[Event]:
    """``customer.joined_segment``."""
    yield _membership(body, is_member=True)


def left_segment(body: Payload, _account: Account) -> Iterator[Event]:
    """``customer.left_segment``."""
    yield _membership(body, is_member=None)


def amount_spent(payload: Payload, at: str = "") -> dict[str, FieldValue]:
    """Read ``amountSpent`` as two fields; no field if the key is absent."""
    if "amountSpent" not in payload:
        return {}
    spent = json_values.nested(payload, "amountSpent", at)
    if spent is None:
        return {"amount_spent": None, "amount_spent_currency": None}
    at = json_values.path_of("amountSpent", at)
    fields: dict[str, FieldValue] = {}
    if "amount" in spent:
        fields["amount_spent"] = json_values.amount(spent, "amount", at)
    if "currencyCode" in spent:
        fields["amount_spent_currency"] = json_values.dispensable_text(spent, "currencyCode", at)
    return fields


def _membership(body: Payload, *, is_member: bool | None) -> ProfileSeen:
    return ProfileSeen(
        external_id=_gid(body, "customer_id", "Customer"),
        occurred_at=None,
        fields={f"segments.{_gid(body, 'segment_id', 'Segment')}": is_member},
        exists=False,
    )


def _gid(body: Payload, key: str, kind: str) -> str:
    return json_values.required(gid.number_id(body, key, kind=kind), f"the gid of a {kind}", key)
