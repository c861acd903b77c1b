"""Signed examples for the conformance suite, and an invented shop that it can read."""

from collections.abc import Mapping

from connectors.conformance import Example
from connectors.conformance.served import Served
from connectors.contract import Account, ConsentStated, Event, ProfileRemoved, ProfileSeen
from connectors.woocommerce.simulator.shop import META_KEY, Shop
from connectors.woocommerce.simulator.site import Site

_SECRET = "an invented secret"  # noqa: S105
_ACCOUNT = Account(source="woocommerce", region="ID", options={"consent_meta_key": META_KEY})
#: topic and number of the user, and the classes of the events
_DELIVERIES: Mapping[tuple[str, int], tuple[type[Event], ...]] = {
    ("customer.created", 5): (ProfileSeen, ConsentStated),
    ("customer.updated", 11): (ProfileSeen, ConsentStated),
    ("customer.deleted", 7): (ProfileRemoved,),
}


def EXAMPLES() -> list[Example]:  # noqa: N802 - the suite looks for this name
    """Return a delivery of each topic."""
    shop = Shop(2, 30, secret=_SECRET)
    return [
        Example(
            name=f"{topic} of {number}",
            topic=topic,
            headers=(delivery := shop.deliver(topic, number)).headers,
            body=delivery.body,
            secrets=(_SECRET,),
            account=_ACCOUNT,
            events=events,
        )
        for (topic, number), events in _DELIVERIES.items()
    ]


def SIMULATOR() -> Served:  # noqa: N802 - as above
    """Open a shop of three pages of users. It has no orders, so an increment finds nobody."""
    shop = Shop(2, 230, orders=0)
    key = {"consumer_key": "ck_invented_4711", "consumer_secret": "cs_invented_4711"}
    ids = [str(number) for number in shop.users(0, shop.live) if shop.role(number) in ("customer", "subscriber")]
    app = Site(shop, key["consumer_key"], key["consumer_secret"]).app()
    return Served(app, account=_ACCOUNT, credentials=key, external_ids=ids, increment_ids=())
