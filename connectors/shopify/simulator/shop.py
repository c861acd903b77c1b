"""A simulated shop: the story of its invented customers, as the webhooks that Shopify would send.

Pure and seeded: the same arguments give the same story, byte for byte. Nobody in it exists.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import count, islice
from typing import Any
from uuid import UUID

from connectors.simulation.deliveries import Delivery
from connectors.simulation.people import Person, people, seeded

Body = dict[str, Any]
Consent = tuple[str, datetime | None]  #: state, and when the person decided

_NEVER: Consent = ("not_subscribed", None)
BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  #: when every story starts

_TAGS = ("VIP", "wholesale", "newsletter", "Léon", "Noël", "returns", "B2B", "spring 2026", "gift")
#: of each channel, the beginning of its topic and of its consent's key, and the keys of the customer and the address
_CONSENTS = {
    "email": ("email_", "email_", "customer_id", "email_address"),
    "sms": ("", "sms_", "id", "phone"),
    "whatsapp": ("whats_app_", "whats_app_", "customer_id", "phone_number"),
}
_UNTIMED = {"created_at": None, "updated_at": None}


def signed(
    body: bytes | Mapping[str, Any],
    secret: str,
    *,
    topic: str = "customers/update",
    domain: str = "simulated.myshopify.com",
    version: str = "2026-10",
    webhook_id: str = "",
    event_id: str = "",
    sent_at: str = "2026-11-01T00:00:00.000000000Z",
) -> Delivery:
    """Sign a body, and add the headers of a classic webhook; an id that is not given is a digest of the body."""
    text = "" if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    raw = body if isinstance(body, bytes) else text.replace("/", "\\/").encode()  # Shopify escapes slashes
    digest = hashlib.sha256(topic.encode() + b"\0" + raw).digest()
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret.encode(), raw, "sha256")).decode(),
        "X-Shopify-Shop-Domain": domain,
        "X-Shopify-API-Version": version,
        "X-Shopify-Webhook-Id": webhook_id or str(UUID(bytes=digest[:16], version=4)),
        "X-Shopify-Event-Id": event_id or str(UUID(bytes=digest[16:], version=4)),
        "X-Shopify-Triggered-At": sent_at,
    }
    return Delivery(topic=topic, headers=headers, body=raw)


@dataclass(frozen=True, slots=True)
class Shop:
    """One shop and the people around it."""

    seed: int
    domain: str
    secret: str
    people: Sequence[Person]

    def history(self, n: int) -> list[Delivery]:
        """Return the shop's first ``n`` deliveries in true order; a longer history begins with a shorter one.

        A few are late, as in real shops: an opt-in that is older than the opt-out before it, an update after a delete.
        """
        return list(islice(_Life(self).deliveries(), n))


def two_shops(seed: int, n: int, share: float = 1 / 3) -> list[tuple[Shop, Delivery]]:
    """Return ``n`` deliveries of two shops, interleaved, each with the shop that sends it.

    The shops have the share ``share`` of their numbers and of their e-mails in common, half of these in pairs.
    """
    rng = seeded(seed, "two shops")
    known = round((size := max(4, n // 16)) * share)
    first, second = people(seed, size), people(seed, size, start=size)
    for i, person in enumerate(first[:known]):
        second[i] = replace(second[i], phone=person.phone, national=person.national, country=person.country)
    for i, person in enumerate(first[known // 2 : known // 2 + known], start=known // 2):
        second[i] = replace(person, phone=second[i].phone, national=second[i].national, country=second[i].country)
    rng.shuffle(second)
    names = ("lantern-row.myshopify.com", "harbour-lane.myshopify.com")
    shops = [
        Shop(seed, name, f"secret of {name} {seed}", pool) for name, pool in zip(names, (first, second), strict=True)
    ]
    stories = {shop.domain: _Life(shop).deliveries() for shop in shops}
    return [(shop, next(stories[shop.domain])) for shop in rng.choices(shops, k=n)]


@dataclass(slots=True, eq=False)
class _Customer:
    """A customer as the shop knows them now."""

    gid: str
    person: Person
    shown: Body  #: the keys that every body has
    tags: set[str] = field(default_factory=set)
    consents: dict[str, Consent] = field(default_factory=dict)
    orders: int = 0
    cents: int = 0


class _Life:
    """A shop's story, action by action, without end; the deliveries of an action share an event id."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._rng = seeded(shop.seed, shop.domain)
        self._zone = timezone(timedelta(hours=self._rng.choice((-4, 2, 7))))
        self._now = BEGIN
        self._event_id = ""
        self._ids = count(self._rng.randrange(7 * 10**12, 9 * 10**12), 4099)
        self._strangers = list(reversed(shop.people))
        self._customers: list[_Customer] = []
        self._doubles: list[tuple[_Customer, _Customer]] = []  # two accounts of one person

    def deliveries(self) -> Iterator[Delivery]:
        actions = [self._join] * 20 + [self._change] * 16 + [self._order] * 10 + [self._guest] * 12 + [self._tag] * 14
        actions += [self._consent] * 14 + [self._merge] * 3 + [self._delete] * 2 + [self._readdress] * 5
        actions += [self._event] * 3 + [self._something_else] * 3
        while True:
            # Times in bodies are whole seconds, so actions that follow at once have equal times.
            self._now += timedelta(seconds=self._rng.choice((0, 0, 0.2, 1, 5, 40, 300, 4000)))
            self._event_id = self._uuid()
            yield from self._rng.choice(actions)() if len(self._customers) > 3 else self._join()

    def _join(self) -> Iterator[Delivery]:
        if not self._strangers:
            yield from self._change()
            return
        person = self._strangers.pop()
        customer = self._new_customer(person, person.email, person.phone if self._rng.random() < 0.8 else None)
        yield self._seen(customer, "customers/create")
        if self._rng.random() < 0.5:  # ticked the box while signing up
            yield self._stated(customer, "email", "subscribed")
        if self._rng.random() < 0.1:  # signed up again with another address
            double = self._new_customer(person, person.email.replace("@", ".home@"), None)
            self._doubles.append((customer, double))
            yield self._seen(double, "customers/create")

    def _change(self) -> Iterator[Delivery]:
        customer, verb = self._rng.choice(self._customers), self._rng.choice(("update",) * 8 + ("enable", "disable"))
        note = self._rng.choice((None, "Pays 1/2 in cash."))
        customer.shown |= {"note": note} if verb == "update" else {"state": f"{verb}d"}
        yield self._seen(customer, f"customers/{verb}")
        if self._rng.random() < 0.3:  # saved twice within a second
            customer.shown["note"] = "Checked."
            yield self._deliver("customers/update", self._body(customer))

    def _order(self) -> Iterator[Delivery]:
        customer = self._rng.choice(self._customers)
        customer.orders += 1
        customer.cents += self._rng.randrange(500, 30_000)
        order = self._purchase(customer.shown["email"], customer.shown["phone"], customer.person)
        order["customer"] = self._body(customer, is_old=self._rng.random() < 0.2) | _UNTIMED
        yield self._deliver("orders/create", order)
        if self._rng.random() < 0.5:
            yield self._deliver("orders/updated", order | self._later())
        summary = {"customerId": customer.gid, "numberOfOrders": customer.orders, "occurredAt": _utc(self._now)}
        summary |= {"amountSpent": {"amount": customer.cents / 100}, "lastOrderId": _gid("Order", order["id"])}
        yield self._deliver("customers/purchasing_summary", summary)

    def _guest(self) -> Iterator[Delivery]:
        """Somebody buys, or nearly buys, without signing in. They may be a customer too."""
        person = self._rng.choice(self._shop.people)
        email = self._rng.choice((person.email, person.email, person.email.title(), None, "noreply@example.com"))
        order = self._purchase(email, self._rng.choice((None, person.phone, person.national)), person)
        if self._rng.random() < 0.4:
            cart = {name: order[name] for name in order if "id" not in name} | {"token": self._uuid()}
            yield self._deliver("checkouts/create", cart | {"email": None, "phone": None, "shipping_address": None})
            yield self._deliver("checkouts/update", cart | self._later())
            return
        yield self._deliver("orders/create", order | self._rng.choice(({}, {"customer": None}, {"customer": {}})))
        known = next((c for c in self._customers if email and c.shown["email"] == email), None)
        if known and self._rng.random() < 0.3:  # a background job finds the customer
            yield self._deliver("orders/updated", order | self._later() | {"customer": self._body(known) | _UNTIMED})

    def _tag(self) -> Iterator[Delivery]:
        """A tag or a segment is added or removed; a tag may be added and removed in the same instant."""
        customer = self._rng.choice(self._customers)
        if self._rng.random() < 0.3:
            body = {"customer_id": customer.gid, "segment_id": _gid("Segment", self._rng.randint(1, 5))}
            yield self._deliver(f"customer.{self._rng.choice(('joined', 'left'))}_segment", body)
        else:
            tag = self._rng.choice((*_TAGS, *sorted(customer.tags) * 4))
            change = {"customerId": customer.gid, "tags": [tag], "occurredAt": _utc(self._now)}
            for _ in range(2 if self._rng.random() < 0.15 else 1):
                customer.tags ^= {tag}
                yield self._deliver(f"customer.tags_{'added' if tag in customer.tags else 'removed'}", change)

    def _consent(self) -> Iterator[Delivery]:
        customer, channel = self._rng.choice(self._customers), self._rng.choice(tuple(_CONSENTS))
        if customer.consents.get(channel, _NEVER)[0] != "subscribed" and self._rng.random() < 0.8:
            rare = "invalid" if channel == "email" else "pending"
            yield self._stated(customer, channel, self._rng.choice(("subscribed", "subscribed", "pending", rare)))
            return
        yield self._stated(customer, channel, "unsubscribed")
        decided = customer.consents[channel]
        if self._rng.random() < 0.4:  # an older opt-in arrives late
            yield self._stated(customer, channel, "subscribed", self._now - timedelta(hours=self._rng.randint(1, 90)))
        elif self._rng.random() < 0.2:  # opt-in and opt-out in one second
            yield self._stated(customer, channel, "subscribed", decided[1])
        customer.consents[channel] = decided

    def _merge(self) -> Iterator[Delivery]:
        """Two accounts of one person are merged; a merge of two people by mistake fails."""
        doubles = [(a, b) for a, b in self._doubles if a in self._customers and b in self._customers]
        kept, lost = doubles[0] if doubles else self._rng.sample(self._customers, 2)
        body: Body = {"admin_graphql_api_customer_kept_id": kept.gid, "admin_graphql_api_customer_deleted_id": lost.gid}
        body |= {"status": "completed", "errors": []}
        if not doubles or self._rng.random() < 0.3:
            body |= {"status": "failed", "errors": [{"customer_ids": [lost.shown["id"]], "field": "gift_cards"}]}
            yield self._deliver("customers/merge", body)
            return
        late = self._body(lost)
        self._customers.remove(lost)
        kept.tags |= lost.tags
        yield self._deliver("customers/merge", body)
        yield self._seen(kept)
        yield self._deliver("customers/update", late)

    def _delete(self) -> Iterator[Delivery]:
        """A customer without orders is deleted; an older update comes later, and the person may sign up again."""
        customer = next((c for c in self._customers if not c.orders), None)
        if customer is not None:
            late = self._body(customer, is_old=self._rng.random() < 0.5)
            self._later()
            self._customers.remove(customer)
            body = {"id": customer.shown["id"], "tax_exemptions": [], "admin_graphql_api_id": customer.gid}
            yield self._deliver("customers/delete", body)
            yield self._deliver("customers/update", late)
            if self._rng.random() < 0.5:
                self._strangers.insert(0, customer.person)

    def _readdress(self) -> Iterator[Delivery]:
        """A customer gets a new e-mail or number, or takes over the e-mail of another customer."""
        customer, other = self._rng.sample(self._customers, 2)
        what = self._rng.choice(("email", "phone", "move"))
        if what == "email":
            customer.shown["email"] = f"new{next(self._ids)}@example.org"
        elif what == "phone":
            customer.shown["phone"] = f"{customer.person.phone[:-3]}{self._rng.randrange(1000):03}"
        else:
            customer.shown["email"], other.shown["email"] = other.shown["email"], None
            yield self._seen(other)
        yield self._seen(customer)

    def _event(self) -> Iterator[Delivery]:
        """A change through Next Gen Events: GraphQL's shape, headers without ``X-``."""
        customer = self._rng.choice(self._customers)
        state, _ = customer.consents.get("email", _NEVER)
        email = {"emailAddress": customer.shown["email"], "marketingState": state.upper()}
        data: Body = {"id": customer.gid, "firstName": customer.person.first_name, "tags": sorted(customer.tags)}
        data |= {"updatedAt": _utc(self._now), "defaultEmailAddress": email if customer.shown["email"] else None}
        body: Body = {"topic": "Customer", "action": "update", "handle": "contact_sync", "data": {"customer": data}}
        body["fields_changed"] = {"added": [], "updated": [f"customer[id: '{customer.gid}'].tags"], "removed": []}
        classic = self._deliver("Customer", body | {"query_variables": {"customerId": customer.gid}})
        headers = {name.lower().removeprefix("x-"): value for name, value in classic.headers.items()}
        headers |= {"shopify-action": "update", "shopify-handle": "contact_sync"}
        del headers["shopify-event-id"]
        headers |= classic.headers if self._rng.random() < 0.5 else {}  # some senders repeat the classic names
        yield replace(classic, topic="Customer/update", headers=headers)

    def _something_else(self) -> Iterator[Delivery]:
        yield self._deliver("products/update", {"id": next(self._ids), "title": "Lamp oil"})  # a skipped topic
        yield self._deliver("customers/update", {"id": self._rng.choice(self._customers).shown["id"]})  # shrunk

    def _seen(self, customer: _Customer, topic: str = "customers/update") -> Delivery:
        customer.shown["updated_at"] = self._local(self._now)
        is_old = self._rng.random() < 0.35
        return self._deliver(topic, self._body(customer, is_old=is_old), "2024-10" if is_old else "2026-10")

    def _stated(self, customer: _Customer, channel: str, state: str, at: datetime | None = None) -> Delivery:
        customer.consents[channel] = (state, at or self._now)
        topic, key, id_key, address_key = _CONSENTS[channel]
        address = customer.shown["email" if channel == "email" else "phone"]
        consent = self._consent_body(channel, customer.consents[channel] if address else (None, None))
        body = {id_key: customer.shown["id"], address_key: address, f"{key}marketing_consent": consent}
        return self._deliver(f"customers_{topic}marketing_consent/update", body)

    def _consent_body(self, channel: str, consent: Consent | tuple[None, None]) -> Body:
        state, at = consent
        prefix = "" if channel == "whatsapp" else "consent_"
        body: Body = {"state": state, "opt_in_level": state and "single_opt_in"}
        body[f"{prefix}updated_at"] = at and self._local(at)
        return body if channel == "email" else body | {f"{prefix}collected_from": "OTHER"}

    def _body(self, customer: _Customer, *, is_old: bool = False) -> Body:
        """Return the body of a customer; a body of before 2025 also has tags, consent and totals."""
        body = customer.shown | {"default_address": _address(customer.person)}
        if is_old:
            body |= {"tags": ", ".join(sorted(customer.tags)), "total_spent": f"{customer.cents / 100:.2f}"}
            for channel, slot in (("email", "email"), ("sms", "phone")):
                consent = self._consent_body(channel, customer.consents.get(channel, _NEVER))
                body[f"{channel}_marketing_consent"] = body[slot] and consent
        return body

    def _purchase(self, email: str | None, phone: str | None, person: Person) -> Body:
        number, at = next(self._ids), self._local(self._now)
        body: Body = {"id": number, "admin_graphql_api_id": _gid("Order", number), "created_at": at, "updated_at": at}
        body |= {"email": email, "phone": phone, "line_items": [{"title": "Lamp oil", "quantity": 2, "price": "8.00"}]}
        return body | {"billing_address": _address(person), "shipping_address": _address(person)}

    def _later(self) -> Body:
        self._now += timedelta(seconds=self._rng.randint(1, 60))
        return {"updated_at": self._local(self._now)}

    def _deliver(self, topic: str, body: Body, version: str = "2026-10") -> Delivery:
        self._now += timedelta(milliseconds=self._rng.randrange(1, 40))
        sent_at = f"{self._now:%Y-%m-%dT%H:%M:%S.%f}{self._rng.randrange(1000):03}Z"  # nine digits, as seen
        ids = {"webhook_id": self._uuid(), "event_id": self._event_id, "sent_at": sent_at}
        return signed(body, self._shop.secret, topic=topic, domain=self._shop.domain, version=version, **ids)

    def _new_customer(self, person: Person, email: str, phone: str | None) -> _Customer:
        number, at = next(self._ids), self._local(self._now)
        shown: Body = {"id": number, "created_at": at, "updated_at": at, "email": email, "phone": phone}
        shown |= {"first_name": person.first_name, "last_name": person.last_name, "verified_email": True}
        shown |= {"state": "disabled", "note": None, "admin_graphql_api_id": _gid("Customer", number)}
        self._customers.append(_Customer(_gid("Customer", number), person, shown))
        return self._customers[-1]

    def _uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _local(self, at: datetime) -> str:
        return at.astimezone(self._zone).isoformat(timespec="seconds")


def _gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


def _utc(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _address(person: Person) -> Body:
    place = {"address1": "14 Lantern Row", "city": "Harbour", "zip": "40202", "country_code": person.country}
    return place | {"first_name": person.first_name, "last_name": person.last_name, "phone": "555-555-SHIP"}
