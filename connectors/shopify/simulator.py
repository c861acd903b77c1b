"""A simulated shop: the lives of invented customers, as the webhooks that Shopify would send about them.

For tests, the demo and the benchmarks. Pure and seeded: the same arguments tell the same story, byte for
byte. Nobody in it exists: e-mails are of example.com and example.org, numbers are drawn.
"""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, TypeVar
from uuid import UUID

T = TypeVar("T")
Body = dict[str, Any]
Consent = tuple[str, datetime | None]  #: state, and when the person decided

_NEVER: Consent = ("not_subscribed", None)
BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  #: when every story starts

_FIRST = ("Budi", "Siti", "Dewi", "Agus", "Emma", "Noah", "Zoë", "Lukas", "Jürgen", "Anneliese", "João", "Beatriz")
_LAST = ("Santoso", "Wijaya", "O'Neill", "Miller", "Strauß", "Köhler", "Gonçalves", "da Silva", "Halim", "Baker")
_TAGS = ("VIP", "wholesale", "newsletter", "Léon", "Noël", "returns", "B2B", "spring 2026", "gift")
_NOTES = (None, "Call after six.", "Prefers WhatsApp.", "Pays 1/2 in cash.")
#: country, calling code, first digits of a mobile number, how many more, what the number begins with at home
_NUMBERS = (("ID", "+62", "812", 8, "0"), ("US", "+1", "613555", 4, ""), ("DE", "+49", "151", 8, "0"))
_NUMBERS += (("BR", "+55", "119", 8, "0"),)
_NOBODY = "noreply@example.com"  # typed in at the till for whoever does not give an address
#: each channel's topic, and what it calls the customer, the address and the consent
_CONSENTS = {
    "email": ("email_", "customer_id", "email_address", "email_marketing_consent"),
    "sms": ("", "id", "phone", "sms_marketing_consent"),
    "whatsapp": ("whats_app_", "customer_id", "phone_number", "whats_app_marketing_consent"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request as a shop sends it."""

    topic: str  #: as the connector's receipt names it: ``customers/update``, ``Customer/update``
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may become a customer, of one shop or of several."""

    first_name: str
    last_name: str
    email: str
    phone: str  #: E.164
    national: str  #: the same as people write it at home
    country: str


def people(seed: int, n: int, *, start: int = 0) -> list[Person]:
    """Invent ``n`` people, from number ``start`` on; a number is the same person in every pool of a seed."""
    return [_person(_rng(seed, f"person {number}"), number) for number in range(start, start + n)]


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
    """Sign a body, and wrap it in the headers of a classic webhook; ids that are not given are digests."""
    # As Shopify writes it: compact, not only ASCII, slashes escaped.
    text = "" if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    raw = body if isinstance(body, bytes) else text.replace("/", "\\/").encode()
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


class Shop:
    """One shop and the people around it."""

    def __init__(self, seed: int, domain: str, secret: str, people: Sequence[Person]) -> None:
        self.seed = seed
        self.domain = domain
        self.secret = secret
        self.people = tuple(people)

    def history(self, n: int) -> list[Delivery]:
        """Return the shop's first ``n`` deliveries in true order; a longer history begins with a shorter one.

        A few come late in it, as real ones do: an opt-in older than the opt-out before it, an update of a
        customer who has been deleted since. Every delivery has a webhook id of its own.
        """
        return list(islice(_Life(self).told(), n))


def two_shops(seed: int, n: int, share: float = 1 / 3) -> list[tuple[Shop, Delivery]]:
    """Return ``n`` deliveries of two shops, interleaved, each with the shop that sends it.

    ``share`` of the second shop's people are known to the first: a third of these by number and e-mail,
    a third by the number alone, a third by the e-mail alone.
    """
    rng = _rng(seed, "two shops")
    size = max(3, n // 16)
    first, second = people(seed, size), people(seed, size, start=size)
    for i, known in enumerate(first[: round(size * share)]):
        if i % 3 != 2:
            second[i] = replace(second[i], phone=known.phone, national=known.national, country=known.country)
        if i % 3 != 1:
            second[i] = replace(second[i], email=known.email, first_name=known.first_name, last_name=known.last_name)
    rng.shuffle(second)
    shops = (
        Shop(seed, "lantern-row.myshopify.com", f"the secret of lantern row {seed}", first),
        Shop(seed, "harbour-lane.myshopify.com", f"the secret of harbour lane {seed}", second),
    )
    told = {shop.domain: _Life(shop).told() for shop in shops}
    return [(shop, next(told[shop.domain])) for shop in rng.choices(shops, k=n)]


def disturbed(deliveries: Sequence[T], rng: random.Random, most: int = 4) -> list[T]:
    """Return the deliveries in any order, each 1 to ``most`` times: true redeliveries, headers and all."""
    repeated = [delivery for delivery in deliveries for _ in range(rng.randint(1, most))]
    rng.shuffle(repeated)
    return repeated


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}:{name}")  # noqa: S311 - a story to be told again, not a secret


def _person(rng: random.Random, number: int) -> Person:
    first, last, host = rng.choice(_FIRST), rng.choice(_LAST), rng.choice(("example.com", "example.org"))
    country, code, start, digits, trunk = rng.choice(_NUMBERS)
    rest = f"{rng.randrange(10**digits):0{digits}}"
    mailbox = "".join(c for c in f"{first}.{last}".lower() if c == "." or (c.isascii() and c.isalpha()))
    return Person(first, last, f"{mailbox}{number}@{host}", f"{code}{start}{rest}", f"{trunk}{start} {rest}", country)


def _gid(kind: str, number: int) -> str:
    return f"gid://shopify/{kind}/{number}"


@dataclass(slots=True)
class _Customer:
    """A customer as the shop knows them now."""

    id: int
    created_at: datetime
    updated_at: datetime
    person: Person
    email: str | None
    phone: str | None
    state: str = "disabled"
    note: str | None = None
    tags: set[str] = field(default_factory=set)
    segments: set[int] = field(default_factory=set)
    consents: dict[str, Consent] = field(default_factory=dict)
    orders: int = 0
    cents: int = 0


class _Life:
    """A shop's story, told action by action; what one action causes shares an event id."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._rng = _rng(shop.seed, shop.domain)
        self._zone = timezone(timedelta(hours=self._rng.choice((-4, 2, 7))))
        self._now = BEGIN
        self._event_id = ""
        self._last_id = self._rng.randrange(7_000_000_000_000, 9_000_000_000_000)
        self._strangers = list(reversed(shop.people))
        self._customers: list[_Customer] = []
        self._doubles: list[tuple[_Customer, _Customer]] = []  # two accounts of one person

    def told(self) -> Iterator[Delivery]:
        """Tell the story; it has no end."""
        actions = [self._join] * 20 + [self._change] * 16 + [self._order] * 10 + [self._guest] * 12 + [self._tag] * 10
        actions += [self._consent] * 14 + [self._segment] * 4 + [self._merge] * 3 + [self._delete] * 2
        actions += [self._readdress] * 5 + [self._event] * 3 + [self._something_else] * 3
        while True:
            # Times in bodies have a resolution of a second: what follows at once has equal times.
            self._pass(self._rng.choice((0, 0, 0.2, 1, 5, 40, 300, 4000)))
            self._event_id = self._uuid()
            yield from self._rng.choice(actions)() if len(self._customers) > 3 else self._join()

    def _join(self) -> Iterator[Delivery]:
        if not self._strangers:
            yield self._deliver("products/update", {"id": self._next_id(), "title": "Lamp oil"})
            return
        person = self._strangers.pop()
        customer = self._new_customer(person, person.email, person.phone if self._rng.random() < 0.8 else None)
        yield self._seen(customer, "customers/create")
        if self._rng.random() < 0.5:  # ticked the box while signing up
            yield self._decided(customer, "email", "subscribed")
        if self._rng.random() < 0.1:  # and came back, with another address
            double = self._new_customer(person, person.email.replace("@", ".home@"), None)
            self._doubles.append((customer, double))
            yield self._seen(double, "customers/create")

    def _change(self) -> Iterator[Delivery]:
        customer = self._anyone()
        if self._rng.random() < 0.1:
            verb, customer.state = ("disable", "disabled") if customer.state == "enabled" else ("enable", "enabled")
            yield self._seen(customer, f"customers/{verb}")
            return
        customer.note = self._rng.choice(_NOTES)
        yield self._seen(customer)
        if self._rng.random() < 0.3:  # saved twice within a second
            customer.note = f"{customer.note or ''} (checked)".strip()
            yield self._seen(customer, at=customer.updated_at)

    def _order(self) -> Iterator[Delivery]:
        customer = self._anyone()
        customer.orders += 1
        customer.cents += self._rng.randrange(500, 30_000)
        order = self._purchase(customer.email, customer.phone, customer.person)
        order["customer"] = self._embedded(customer, is_old=self._rng.random() < 0.2)
        yield self._deliver("orders/create", order)
        if self._rng.random() < 0.5:
            self._pass(self._rng.randint(1, 60))
            yield self._deliver("orders/updated", order | {"updated_at": self._local(self._now)})
        summary = {"customerId": _gid("Customer", customer.id), "numberOfOrders": customer.orders}
        summary["amountSpent"] = {"amount": f"{customer.cents / 100:.2f}", "currencyCode": "USD"}
        summary |= {"lastOrderId": _gid("Order", order["id"]), "occurredAt": self._zulu()}
        yield self._deliver("customers/purchasing_summary", summary)

    def _guest(self) -> Iterator[Delivery]:
        """Somebody buys, or nearly, without signing in; they may be a customer all the same."""
        person = self._rng.choice(self._shop.people)
        email = self._rng.choice((person.email, person.email, person.email.title(), None, _NOBODY))
        order = self._purchase(email, self._rng.choice((None, person.phone, person.national)), person)
        if self._rng.random() < 0.4:
            cart = {name: order[name] for name in order if "id" not in name} | {"token": self._uuid()}
            yield self._deliver("checkouts/create", cart | {"email": None, "phone": None, "shipping_address": None})
            self._pass(self._rng.randint(1, 120))
            yield self._deliver("checkouts/update", cart | {"updated_at": self._local(self._now)})
            return
        yield self._deliver("orders/create", order | self._rng.choice(({}, {"customer": None}, {"customer": {}})))
        known = next((c for c in self._customers if email and c.email == email), None)
        if known and self._rng.random() < 0.3:  # a background job finds the customer
            self._pass(self._rng.randint(1, 60))
            order |= {"customer": self._embedded(known), "updated_at": self._local(self._now)}
            yield self._deliver("orders/updated", order)

    def _tag(self) -> Iterator[Delivery]:
        customer, tag = self._anyone(), self._rng.choice(_TAGS)
        body = {"customerId": _gid("Customer", customer.id), "tags": [tag], "occurredAt": self._zulu()}
        # Now and then put on and taken off in the same instant.
        for _ in range(2 if self._rng.random() < 0.15 else 1):
            customer.tags ^= {tag}
            yield self._deliver(f"customer.tags_{'added' if tag in customer.tags else 'removed'}", body)

    def _consent(self) -> Iterator[Delivery]:
        customer, channel = self._anyone(), self._rng.choice(tuple(_CONSENTS))
        before = customer.consents.get(channel)
        if before is None or (before[0] != "subscribed" and self._rng.random() < 0.8):
            states = (
                "subscribed",
                "subscribed",
                "subscribed",
                "pending",
                "invalid" if channel == "email" else "pending",
            )
            yield self._decided(customer, channel, self._rng.choice(states))
            return
        yield self._decided(customer, channel, "unsubscribed")
        decided_at = customer.consents[channel][1]
        if self._rng.random() < 0.4:  # an older yes that was held up
            earlier = self._now - timedelta(minutes=self._rng.randrange(1, 3000))
            yield self._stated(customer, channel, ("subscribed", earlier))
        elif self._rng.random() < 0.2:  # yes and no in one second
            yield self._stated(customer, channel, ("subscribed", decided_at))

    def _segment(self) -> Iterator[Delivery]:
        customer, segment = self._anyone(), self._rng.randrange(1, 6)
        customer.segments ^= {segment}
        body = {"shop_id": _gid("Shop", 70417), "customer_id": _gid("Customer", customer.id)}
        verb = "joined" if segment in customer.segments else "left"
        yield self._deliver(f"customer.{verb}_segment", body | {"segment_id": _gid("Segment", segment)})

    def _merge(self) -> Iterator[Delivery]:
        """Two accounts of one person become one; or of two people, by mistake, and Shopify refuses."""
        doubles = [pair for pair in self._doubles if pair[0] in self._customers and pair[1] in self._customers]
        kept, lost = doubles[0] if doubles else self._rng.sample(self._customers, 2)
        body: Body = {"admin_graphql_api_customer_kept_id": _gid("Customer", kept.id), "admin_graphql_api_job_id": None}
        body |= {
            "admin_graphql_api_customer_deleted_id": _gid("Customer", lost.id),
            "status": "completed",
            "errors": [],
        }
        if not doubles or self._rng.random() < 0.3:
            error = {"customer_ids": [lost.id], "field": "gift_cards", "message": "There are gift cards."}
            yield self._deliver("customers/merge", body | {"status": "failed", "errors": [error]})
            return
        late = self._body(lost)
        self._customers.remove(lost)
        yield self._deliver("customers/merge", body)
        kept.tags |= lost.tags
        yield self._seen(kept)
        yield self._deliver("customers/update", late)

    def _delete(self) -> Iterator[Delivery]:
        """Somebody who never ordered is deleted; an update of before comes later, perhaps even the person."""
        customer = next((c for c in self._customers if not c.orders), None)
        if customer is None:
            return
        late = self._body(customer, is_old=self._rng.random() < 0.5)
        self._customers.remove(customer)
        self._pass(self._rng.randint(1, 10))
        body = {"id": customer.id, "tax_exemptions": [], "admin_graphql_api_id": _gid("Customer", customer.id)}
        yield self._deliver("customers/delete", body)
        yield self._deliver("customers/update", late)
        if self._rng.random() < 0.5:
            self._strangers.insert(0, customer.person)

    def _readdress(self) -> Iterator[Delivery]:
        """A new e-mail or number; or the e-mail of another customer, who gives it up."""
        customer, other = self._rng.sample(self._customers, 2)
        choice = self._rng.random()
        if choice < 0.4:
            customer.email = f"new{self._next_id()}@example.org"
        elif choice < 0.7:
            customer.phone = f"{customer.person.phone[:-3]}{self._rng.randrange(1000):03}"
        else:
            customer.email, other.email = other.email, None
            yield self._seen(other)
        yield self._seen(customer)

    def _event(self) -> Iterator[Delivery]:
        """The same kind of change through Next Gen Events: GraphQL's shape, headers without X."""
        customer = self._anyone()
        customer.updated_at = self._now
        gid, (state, at) = _gid("Customer", customer.id), customer.consents.get("email", _NEVER)
        email = {"emailAddress": customer.email, "marketingState": state.upper(), "marketingUpdatedAt": at and _utc(at)}
        data: Body = {"id": gid, "firstName": customer.person.first_name, "lastName": customer.person.last_name}
        data |= {"updatedAt": _utc(self._now), "tags": sorted(customer.tags)}
        data |= {"defaultEmailAddress": email if customer.email else None}
        body: Body = {"topic": "Customer", "action": "update", "handle": "contact_sync", "data": {"customer": data}}
        body["fields_changed"] = {"added": [], "updated": [f"customer[id: '{gid}'].firstName"], "removed": []}
        classic = self._deliver("Customer", body | {"query_variables": {"customerId": gid}})
        headers = {name.lower().removeprefix("x-"): value for name, value in classic.headers.items()}
        headers |= {"shopify-action": "update", "shopify-handle": "contact_sync"}
        del headers["shopify-event-id"]
        if self._rng.random() < 0.5:  # some senders repeat the classic names
            headers |= classic.headers
        yield replace(classic, topic="Customer/update", headers=headers)

    def _something_else(self) -> Iterator[Delivery]:
        """A topic that nobody follows, and a customer too large to be sent."""
        yield self._deliver("products/update", {"id": self._next_id(), "title": "Lamp oil"})
        yield self._deliver("customers/update", {"id": self._anyone().id})

    def _decided(self, customer: _Customer, channel: str, state: str) -> Delivery:
        customer.consents[channel] = (state, self._now)
        return self._stated(customer, channel, customer.consents[channel])

    def _stated(self, customer: _Customer, channel: str, consent: Consent) -> Delivery:
        topic, id_key, address_key, key = _CONSENTS[channel]
        address = customer.email if channel == "email" else customer.phone
        said = self._consent_body(channel, consent if address else (None, None))
        body = {id_key: customer.id, address_key: address, key: said}
        return self._deliver(f"customers_{topic}marketing_consent/update", body)

    def _consent_body(self, channel: str, consent: Consent | tuple[None, None]) -> Body:
        state, at = consent
        body: Body = {"state": state, "opt_in_level": state and "single_opt_in"}
        prefix = "" if channel == "whatsapp" else "consent_"
        body[f"{prefix}updated_at"] = at and self._local(at)
        return body if channel == "email" else body | {f"{prefix}collected_from": "OTHER"}

    def _seen(self, customer: _Customer, topic: str = "customers/update", *, at: datetime | None = None) -> Delivery:
        customer.updated_at = at or self._now
        is_old = self._rng.random() < 0.35
        return self._deliver(topic, self._body(customer, is_old=is_old), "2024-10" if is_old else "2026-10")

    def _body(self, customer: _Customer, *, is_old: bool = False) -> Body:
        address = self._address(customer.person)
        body = self._embedded(customer, is_old=is_old) | {"addresses": [address], "default_address": address}
        return body | {"created_at": self._local(customer.created_at), "updated_at": self._local(customer.updated_at)}

    def _embedded(self, customer: _Customer, *, is_old: bool = False) -> Body:
        """Write a customer as orders hold them; bodies of before 2025 have tags, consent and totals."""
        body: Body = {"id": customer.id, "created_at": None, "updated_at": None, "note": customer.note}
        body |= {"first_name": customer.person.first_name, "last_name": customer.person.last_name}
        body |= {"email": customer.email, "phone": customer.phone, "verified_email": True, "state": customer.state}
        body |= {"currency": "USD", "tax_exempt": False, "admin_graphql_api_id": _gid("Customer", customer.id)}
        if is_old:
            body |= {"tags": ", ".join(sorted(customer.tags)), "orders_count": customer.orders}
            body |= {"total_spent": f"{customer.cents / 100:.2f}"}
            for channel, address in (("email", customer.email), ("sms", customer.phone)):
                said = self._consent_body(channel, customer.consents.get(channel, _NEVER))
                body[f"{channel}_marketing_consent"] = address and said
        return body

    def _purchase(self, email: str | None, phone: str | None, person: Person) -> Body:
        number, at = self._next_id(), self._local(self._now)
        body: Body = {"id": number, "admin_graphql_api_id": _gid("Order", number), "created_at": at, "updated_at": at}
        body |= {"email": email, "phone": phone, "buyer_accepts_marketing": False, "currency": "USD", "tags": ""}
        body |= {"billing_address": self._address(person), "shipping_address": self._address(person)}
        return body | {"line_items": [{"id": 1, "title": "Lamp oil", "quantity": 2, "price": "8.00"}]}

    def _address(self, person: Person) -> Body:
        place = {"address1": "14 Lantern Row", "city": "Harbour", "zip": "40202", "country_code": person.country}
        return place | {"first_name": person.first_name, "last_name": person.last_name, "phone": "555-555-SHIP"}

    def _deliver(self, topic: str, body: Body, version: str = "2026-10") -> Delivery:
        self._pass(self._rng.randrange(1, 40) / 1000)
        sent_at = f"{self._now:%Y-%m-%dT%H:%M:%S.%f}{self._rng.randrange(1000):03}Z"  # nine digits, as seen
        ids = {"webhook_id": self._uuid(), "event_id": self._event_id, "sent_at": sent_at}
        return signed(body, self._shop.secret, topic=topic, domain=self._shop.domain, version=version, **ids)

    def _new_customer(self, person: Person, email: str, phone: str | None) -> _Customer:
        customer = _Customer(self._next_id(), self._now, self._now, person, email, phone)
        self._customers.append(customer)
        return customer

    def _anyone(self) -> _Customer:
        return self._rng.choice(self._customers)

    def _next_id(self) -> int:
        self._last_id += self._rng.randrange(1, 5000)
        return self._last_id

    def _uuid(self) -> str:
        return str(UUID(int=self._rng.getrandbits(128), version=4))

    def _pass(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def _local(self, at: datetime) -> str:
        """Write a time as REST-shaped bodies do: the shop's offset, whole seconds."""
        return at.astimezone(self._zone).isoformat(timespec="seconds")

    def _zulu(self) -> str:
        return self._now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _utc(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
