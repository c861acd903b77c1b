"""An invented WooCommerce shop: its users and orders, their changes, and the webhooks about these.

Each first user and order is a function of (seed, number), so a shop of any size opens at once; only changes are kept.
A number is the same person as in a simulated Shopify shop of that seed. Nobody in it exists.
"""

import base64
import hashlib
import hmac
import json
import random
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors import woocommerce
from connectors.simulation.deliveries import Delivery
from connectors.simulation.people import Person, people

Body = dict[str, Any]

BEGIN = datetime(2024, 5, 6, 7, 0, tzinfo=UTC)
ZONE = timedelta(hours=7)  #: the shop's own time is so much ahead of UTC
_JOINED_EVERY = timedelta(seconds=20)
_ORDERED_EVERY = timedelta(seconds=45)
_ORDERS_AT_ONCE = 4
META_KEY = "newsletter_box"  #: key in ``meta_data`` of this shop's consent box
_WEBHOOKS = ("customer.created", "customer.updated", "customer.deleted", "order.created", "order.updated")


def _now() -> datetime:
    return datetime.now(UTC)


def gmt(at: datetime | None) -> str | None:
    """Return a time as WooCommerce writes it: whole seconds, no offset."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"


def signed(
    body: bytes | Mapping[str, Any],
    secret: str,
    *,
    topic: str = "customer.updated",
    source: str = "https://simulated.example/",
    at: datetime = BEGIN,
    webhook_id: int = 1,
) -> Delivery:
    """Sign a body, and add the headers of a webhook; the delivery id is the same within a second."""
    raw = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).replace("/", "\\/").encode()
    resource, _, event = topic.partition(".")
    digest = hmac.digest(woocommerce.signing_key(secret).encode(), raw, "sha256")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "WooCommerce/10.2.1 Hookshot (WordPress/6.8.3)",
        "X-WC-Webhook-Source": source,
        "X-WC-Webhook-Topic": topic,
        "X-WC-Webhook-Resource": resource,
        "X-WC-Webhook-Event": event,
        "X-WC-Webhook-Signature": base64.b64encode(digest).decode(),
        "X-WC-Webhook-ID": str(webhook_id),
        "X-WC-Webhook-Delivery-ID": hashlib.sha256(f"{webhook_id}{at:%Y%m%d%H%M%S}".encode()).hexdigest()[:32],
    }
    return Delivery(topic=topic, headers=headers, body=raw)


def ping(webhook_id: int = 1) -> Delivery:
    """Return the request with which WooCommerce tries a new webhook."""
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": "WooCommerce/10.2.1 Hookshot (WordPress/6.8.3)",
    }
    return Delivery(topic="", headers=headers, body=f"webhook_id={webhook_id}".encode())


@dataclass(slots=True)
class Shop:
    """A shop that was opened with ``size`` users, and its changes since then."""

    seed: int
    size: int
    secret: str = "invented"  # noqa: S105 - of an invented shop
    clock: Callable[[], datetime] = _now
    orders: int = -1  #: at the start; -1: half as many as users
    last_user: int = 0
    last_order: int = 0
    #: by number, the members that differ from those at the start
    changed_users: dict[int, Body] = field(default_factory=dict)
    changed_orders: dict[int, Body] = field(default_factory=dict)
    gone: list[int] = field(default_factory=list)  #: numbers of deleted users, ascending

    def __post_init__(self) -> None:
        self.orders = self.size // 2 if self.orders < 0 else self.orders
        self.last_user, self.last_order = self.size, self.orders

    # Users

    @property
    def live(self) -> int:
        """The number of users, the shop's own people included."""
        return self.last_user - len(self.gone)

    def users(self, start: int, stop: int) -> list[int]:
        """Return the ids of the users at these positions, in the order of ids."""
        number = self._at(start)
        found: list[int] = []
        while number <= self.last_user and len(found) < stop - start:
            if self.is_live(number):
                found.append(number)
            number += 1
        return found

    def is_live(self, number: int) -> bool:
        """Whether there is such a user."""
        at = bisect_right(self.gone, number)
        return 1 <= number <= self.last_user and not (at and self.gone[at - 1] == number)

    def role(self, number: int) -> str:
        """Return the role of a user; every 97th works for the shop, and so does the first."""
        given: str = self.changed_users.get(number, {}).get("role", "")
        if given:
            return given
        if number == 1:
            return "administrator"
        if number % 97 == 0:
            return ("editor", "shop_manager")[number % 2]
        return "subscriber" if number % 13 == 0 else "customer"

    def user(self, number: int) -> Body | None:
        """Return a user as the REST API shows customers."""
        if not self.is_live(number):
            return None
        rng = random.Random(f"{self.seed}:user {number}")  # noqa: S311 - drawn again the same way, not a secret
        person = people(self.seed, 1, start=number)[0]
        joined = BEGIN + number * _JOINED_EVERY
        # Every eleventh user never changed since joining.
        touched = None if number % 11 == 0 else joined + timedelta(seconds=rng.randrange(30 * 86_400))
        body: Body = {"id": number, **_dates(created=joined, modified=touched)}
        body |= {"email": person.email, "first_name": person.first_name, "last_name": person.last_name}
        body |= {"role": self.role(number), "username": f"user{number}"}
        second = f"billing.{person.email}" if rng.random() < 0.1 else person.email
        phone = person.national if rng.random() < 0.8 else ""
        body["billing"] = _address(person) | {"email": second, "phone": phone}
        body["shipping"] = _address(person) | {"phone": "" if rng.random() < 0.8 else person.phone}
        body |= {"is_paying_customer": rng.random() < 0.5, "avatar_url": f"https://pictures.example/{number}?s=96"}
        box = rng.choice(("yes", "no", "", None, None))
        body["meta_data"] = [] if box is None else [{"id": 40_000 + number, "key": META_KEY, "value": box}]
        return _merged(body, self.changed_users.get(number, {}))

    def change(self, numbers: Iterable[int], members: Mapping[str, Any], *, is_quiet: bool = False) -> list[Delivery]:
        """Change users, all in one second; return the webhooks. A quiet change, as of meta data, moves no date."""
        at = self.clock()
        deliveries = []
        for number in numbers:
            dates = {} if is_quiet else _dates(modified=at)
            self.changed_users[number] = _merged(self.changed_users.get(number, {}), {**members, **dates})
            deliveries.append(self.deliver("customer.updated", number))
        return deliveries

    def create(self, count: int, members: Mapping[str, Any]) -> list[Delivery]:
        """Let ``count`` users register; return the webhooks."""
        at = self.clock()
        deliveries = []
        for _ in range(count):
            self.last_user += 1
            self.changed_users[self.last_user] = {**_dates(created=at, modified=at), **members}
            deliveries.append(self.deliver("customer.created", self.last_user))
        return deliveries

    def delete(self, numbers: Iterable[int]) -> list[Delivery]:
        """Delete users; return the webhooks. Only a user of the role ``customer`` has a webhook."""
        deliveries = []
        for number in numbers:
            if self.is_live(number):
                insort(self.gone, number)
                if self.role(number) == "customer":
                    deliveries.append(self.deliver("customer.deleted", number))
        return deliveries

    # Orders

    def placed(self, number: int) -> datetime:
        """Return when a first order was placed; several are placed in one second."""
        return BEGIN + (number // _ORDERS_AT_ONCE) * _ORDERED_EVERY

    def modified(self, number: int) -> datetime:
        """Return when an order was last changed."""
        written = self.changed_orders.get(number, {}).get("date_modified_gmt")
        if written is not None:
            return datetime.fromisoformat(f"{written}Z")
        return self.placed(number)

    def order(self, number: int) -> Body | None:
        """Return an order; every third is a guest's, and some guests are customers too."""
        if not 1 <= number <= self.last_order:
            return None
        rng = random.Random(f"{self.seed}:order {number}")  # noqa: S311 - as above
        customer = 0 if number % 3 == 0 else rng.randint(1, max(1, self.size))
        is_stranger = customer == 0 and rng.random() < 0.7
        who = self.size + 1_000_000 + number if is_stranger else customer or rng.randint(1, max(1, self.size))
        person = people(self.seed, 1, start=who)[0]
        at = self.modified(number)
        body: Body = {"id": number, "number": str(number), "status": rng.choice(("processing", "completed"))}
        body |= {"currency": "EUR", **_dates(created=at, modified=at), "total": "18.50", "customer_id": customer}
        # A customer's order may be a present with somebody else's e-mail.
        email = f"gift.{person.email}" if customer and rng.random() < 0.2 else person.email
        body["billing"] = _address(person) | {"email": email, "phone": rng.choice(("", person.national, person.phone))}
        body["shipping"] = _address(person) | {"phone": ""}
        body["line_items"] = [{"id": 1, "name": "Lamp oil", "quantity": 2, "total": "18.50"}]
        body = _merged(body, self.changed_orders.get(number, {}))
        if body["customer_id"] and not self.is_live(body["customer_id"]):
            body["customer_id"] = 0  # WooCommerce's wc_reset_order_customer_id_on_deleted_user does so
        return body

    def change_orders(self, numbers: Iterable[int], members: Mapping[str, Any]) -> list[Delivery]:
        """Change orders, all in one second; return the webhooks."""
        at = self.clock()
        deliveries = []
        for number in numbers:
            known = self.changed_orders.get(number, {})
            self.changed_orders[number] = _merged(known, {**members, **_dates(modified=at)})
            deliveries.append(self.deliver("order.updated", number))
        return deliveries

    def create_orders(self, count: int, members: Mapping[str, Any]) -> list[Delivery]:
        """Place orders, all in one second; return the webhooks. ``customer_id`` 0 in the members means guests."""
        at = self.clock()
        deliveries = []
        for _ in range(count):
            self.last_order += 1
            self.changed_orders[self.last_order] = {**_dates(created=at, modified=at), **members}
            deliveries.append(self.deliver("order.created", self.last_order))
        return deliveries

    def deliver(self, topic: str, number: int) -> Delivery:
        """Return a delivery with the present state; its body is an error if the user or order is gone."""
        body: Body | None = {"id": number}
        if not topic.endswith(".deleted"):
            body = self.user(number) if topic.startswith("customer.") else self.order(number)
        if body is None:
            body = {"code": "woocommerce_rest_invalid_id", "message": "Invalid ID.", "data": {"status": 404}}
        webhook_id = 1 + _WEBHOOKS.index(topic) if topic in _WEBHOOKS else 99
        return signed(body, self.secret, topic=topic, at=self.clock(), webhook_id=webhook_id)

    def _at(self, position: int) -> int:
        """Return the id of the user at a position: the smallest id with so many users below it."""
        low, high = 1, self.last_user + 1
        while low < high:
            middle = (low + high) // 2
            if middle - bisect_right(self.gone, middle) >= position + 1:
                high = middle
            else:
                low = middle + 1
        return low


def _dates(**times: datetime | None) -> Body:
    written: Body = {}
    for name, at in times.items():
        written[f"date_{name}"] = gmt(None if at is None else at + ZONE)
        written[f"date_{name}_gmt"] = gmt(at)
    return written


def _address(person: Person) -> Body:
    body: Body = {"first_name": person.first_name, "last_name": person.last_name, "company": ""}
    body |= {"address_1": "14 Lantern Row", "address_2": "", "city": "Harbour", "state": "", "postcode": "40202"}
    return body | {"country": person.country}


def _merged(body: Mapping[str, Any], members: Mapping[str, Any]) -> Body:
    merged = deepcopy(dict(body))
    for name, value in members.items():
        is_part = isinstance(value, Mapping) and isinstance(merged.get(name), dict)
        merged[name] = _merged(merged[name], value) if is_part else deepcopy(value)
    return merged
