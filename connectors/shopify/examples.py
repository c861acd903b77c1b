"""Signed examples for the conformance suite: of each topic the first delivery that a simulated shop sends."""

from collections.abc import Mapping

from connectors.conformance import Example
from connectors.conformance.served import Served
from connectors.contract import (
    Account,
    ConsentStated,
    Event,
    ProfileRemoved,
    ProfileSeen,
    TagsAdded,
    TagsRemoved,
    TagsSnapshot,
)
from connectors.shopify.bulk import PAGE_ROWS
from connectors.shopify.simulator.admin import SimulatedShop
from connectors.shopify.simulator.shop import Shop
from connectors.simulation.people import people

#: classes of the events in a topic; orders and checkouts are missing, because their events depend on the content
_KINDS: Mapping[str, tuple[type[Event], ...]] = {
    "Customer/update": (ProfileSeen, TagsSnapshot, ConsentStated),
    "customer.joined_segment": (ProfileSeen,),
    "customer.left_segment": (ProfileSeen,),
    "customer.tags_added": (TagsAdded,),
    "customer.tags_removed": (TagsRemoved,),
    "customers/create": (ProfileSeen,),
    "customers/delete": (ProfileRemoved,),
    "customers/purchasing_summary": (ProfileSeen,),
    "customers_email_marketing_consent/update": (ConsentStated,),
    "customers_marketing_consent/update": (ConsentStated,),
    "customers_whats_app_marketing_consent/update": (ConsentStated,),
    "products/update": (),
}


def EXAMPLES() -> list[Example]:  # noqa: N802 - the suite looks for this name
    """Return the first delivery of each topic in a short story of a shop."""
    shop = Shop(2, "lantern-row.myshopify.com", "an invented secret", people(2, 12))
    first = {delivery.topic: delivery for delivery in reversed(shop.history(400)) if delivery.topic in _KINDS}
    return [
        Example(
            name=f"the first {topic}",
            topic=topic,
            headers=first[topic].headers,
            body=first[topic].body,
            secrets=(shop.secret,),
            events=_KINDS[topic],
        )
        for topic in _KINDS
    ]


def SIMULATOR() -> Served:  # noqa: N802 - as above
    """Open a shop whose bulk operation gives two pages of rows."""
    token, domain = "shpat_invented_4711", "lantern-row.myshopify.com"
    shop = SimulatedShop(2, PAGE_ROWS + 20, token=token, domain=domain, bulk_seconds=0, restore_rate=1000)
    ids = [shop.customers.gid(number).rpartition("/")[2] for number in shop.customers.numbers()]
    account = Account(source="shopify", options={"shop_domain": domain})
    return Served(shop.app, account=account, credentials={"access_token": token}, external_ids=ids)
