"""A simulated shop: the lives of invented customers, as the webhooks that Shopify would send about them.

For tests, the demo and the benchmarks; nothing of it runs in production. Pure and seeded: the same
arguments tell the same story, byte for byte. Nobody in it exists: e-mails are of example.com and
example.org, numbers are drawn (valid, so that they are read as numbers).
"""

import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, Literal, TypeVar
from uuid import UUID

T = TypeVar("T")
Body = dict[str, Any]
Channel = Literal["email", "sms", "whatsapp"]
Consent = tuple[str, datetime | None]  #: state, and when the person decided

BEGIN = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  #: when every story starts

_FIRST = ("Budi", "Siti", "Dewi", "Agus", "Emma", "Noah", "Zoë", "Lukas", "Jürgen", "Anneliese", "João", "Beatriz")
_LAST = ("Santoso", "Wijaya", "O'Neill", "Miller", "Strauß", "Köhler", "Gonçalves", "da Silva", "Halim", "Baker")
_TAGS = ("VIP", "wholesale", "newsletter", "Léon", "Noël", "returns", "B2B", "spring 2026", "gift")
#: country, its calling code, the first digits of a mobile number, how many follow, what national form begins with
_PLANS = (("ID", "+62", "812", 8, "0"), ("US", "+1", "613555", 4, ""), ("DE", "+49", "151", 8, "0"))
_PLANS += (("BR", "+55", "119", 8, "0"), ("ID", "+62", "857", 7, "0"))
_NOBODY = "noreply@example.com"  # typed in at the till for whoever does not want to give an address


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One request as a shop sends it."""

    topic: str  #: as the connector's receipt names it: ``customers/update``, ``Customer/update``
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who may become a customer, of one shop or of several."""

    first_name: str
    last_name: str
    email: str
    phone: str  #: E.164
    national: str  #: the same as people write it at home
    country: str


def people(seed: int, n: int, *, start: int = 0) -> list[Person]:
    """Invent ``n`` people from number ``start`` on; a number is the same person in every pool of a seed."""
    return [_person(seed, number) for number in range(start, start + n)]


def signed(
    body: bytes | Mapping[str, Any],
    secret: str,
    *,
    topic: str = "customers/update",
    domain: str = "simulated.myshopify.com",
    api_version: str = "2026-10",
    webhook_id: str | None = None,
    event_id: str | None = None,
    sent_at: str = "2026-11-01T00:00:00.000000000Z",
) -> Delivery:
    """Wrap a body in the headers of a classic webhook, signed; ids that are not given are digests."""
    raw = body if isinstance(body, bytes) else written(body)
    digest = hashlib.sha256(topic.encode() + b"\0" + raw).digest()
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topic,
        "X-Shopify-Hmac-Sha256": signature(raw, secret),
        "X-Shopify-Shop-Domain": domain,
        "X-Shopify-API-Version": api_version,
        "X-Shopify-Webhook-Id": webhook_id or str(UUID(bytes=digest[:16], version=4)),
        "X-Shopify-Event-Id": event_id or str(UUID(bytes=digest[16:], version=4)),
        "X-Shopify-Triggered-At": sent_at,
    }
    return Delivery(topic=topic, headers=headers, body=raw)


def signature(body: bytes, secret: str) -> str:
    """Sign a body as Shopify does."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def written(body: Mapping[str, Any]) -> bytes:
    """Write a body as Shopify does: compact, not only ASCII, slashes escaped."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).replace("/", "\\/").encode()


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
        customer who has been deleted since. Every delivery has its own webhook id.
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
    for i in range(round(size * share)):
        known, new = first[i], second[i]
        phone_of, email_of = ((known, known), (known, new), (new, known))[i % 3]
        second[i] = Person(
            first_name=known.first_name,
            last_name=known.last_name,
            email=email_of.email,
            phone=phone_of.phone,
            national=phone_of.national,
            country=phone_of.country,
        )
    rng.shuffle(second)
    shops = [
        Shop(seed, "lantern-row.myshopify.com", f"secret of lantern row {seed}", first),
        Shop(seed, "harbour-lane.myshopify.com", f"secret of harbour lane {seed}", second),
    ]
    turns = [rng.choice(shops) for _ in range(n)]
    told = {shop.domain: iter(shop.history(turns.count(shop))) for shop in shops}
    return [(shop, next(told[shop.domain])) for shop in turns]


def disturbed(deliveries: Sequence[T], rng: random.Random, most: int = 4) -> list[T]:
    """Return the deliveries in any order, each 1 to ``most`` times: true redeliveries, headers and all."""
    repeated = [delivery for delivery in deliveries for _ in range(rng.randint(1, most))]
    rng.shuffle(repeated)
    return repeated


def _rng(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}:{name}")  # noqa: S311 - a story to be told again, not a secret


def _person(seed: int, number: int) -> Person:
    rng = _rng(seed, f"person {number}")
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    country, code, start, digits, trunk = rng.choice(_PLANS)
    rest = f"{rng.randrange(10**digits):0{digits}}"
    host = rng.choice(("example.com", "example.org"))
    mailbox = "".join(c for c in f"{first}.{last}" if c == "." or (c.isascii() and c.isalpha()))
    return Person(
        first_name=first,
        last_name=last,
        email=f"{mailbox.lower()}{number}@{host}",
        phone=f"{code}{start}{rest}",
        national=f"{trunk}{start[:3]} {start[3:]}{rest}",
        country=country,
    )


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
    consents: dict[Channel, Consent] = field(
        default_factory=lambda: {
            "email": ("not_subscribed", None),
            "sms": ("not_subscribed", None),
            "whatsapp": ("never_subscribed", None),
        }
    )
    segments: set[int] = field(default_factory=set)
    orders: int = 0
    cents: int = 0
    last_order: int | None = None

    @property
    def gid(self) -> str:
        return f"gid://shopify/Customer/{self.id}"


class _Life:
    """A shop's story, told action by action."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._rng = _rng(shop.seed, shop.domain)
        self._zone = timezone(timedelta(hours=self._rng.choice((-4, 2, 7))))
        self._now = BEGIN
        self._event_id = ""
        self._strangers = list(reversed(shop.people))
        self._customers: list[_Customer] = []
        self._doubles: list[tuple[_Customer, _Customer]] = []  # one person with two accounts
        self._last_id = self._rng.randrange(7_000_000_000_000, 9_000_000_000_000)

    def told(self) -> Iterator[Delivery]:
        """Tell the story; it has no end."""
        weights = [weight for weight, _ in _ACTIONS]
        while True:
            # Times in bodies have a resolution of a second, so what follows at once has equal times.
            self._now += timedelta(seconds=self._rng.choice((0, 0, 0.2, 1, 5, 40, 300, 4000)))
            self._event_id = self._uuid()
            action = self._rng.choices(_ACTIONS, weights)[0][1] if len(self._customers) > 2 else _Life._join
            yield from action(self)

    # --- what happens ---

    def _join(self) -> Iterator[Delivery]:
        if not self._strangers:
            yield from self._change()
            return
        person = self._strangers.pop()
        phone = person.phone if self._rng.random() < 0.8 else None
        customer = self._new_customer(person, person.email, phone)
        yield self._seen("customers/create", customer)
        if self._rng.random() < 0.5:  # ticked the box while signing up
            yield from self._decide(customer, "email", "subscribed")
        if self._rng.random() < 0.1:  # and came back later with another address
            double = self._new_customer(person, person.email.replace("@", ".home@"), None)
            self._doubles.append((customer, double))
            yield self._seen("customers/create", double)

    def _change(self) -> Iterator[Delivery]:
        customer = self._anyone()
        customer.note = self._rng.choice((None, "Call after six.", "Prefers WhatsApp.", "Paid in cash: 1/2."))
        yield self._seen("customers/update", customer)
        if self._rng.random() < 0.3:  # saved twice within a second
            customer.note = f"{customer.note or ''} (checked)".strip()
            yield self._seen("customers/update", customer, at=customer.updated_at)

    def _switch(self) -> Iterator[Delivery]:
        customer = self._anyone()
        customer.state = "enabled" if customer.state == "disabled" else "disabled"
        yield self._seen(f"customers/{customer.state.removesuffix('d')}", customer)

    def _order(self) -> Iterator[Delivery]:
        customer = self._anyone()
        customer.orders += 1
        customer.cents += self._rng.randrange(500, 30_000)
        order = self._order_body(customer.email, customer.phone, customer.person)
        customer.last_order = order["id"]
        order["customer"] = self._embedded(customer)
        yield self._deliver("orders/create", order)
        if self._rng.random() < 0.5:
            self._pass(1, 60)
            order |= {"financial_status": "paid", "updated_at": self._local(self._now)}
            yield self._deliver(self._rng.choice(("orders/updated", "orders/paid")), order)
        summary = {
            "customerId": customer.gid,
            "numberOfOrders": customer.orders,
            "amountSpent": {"amount": f"{customer.cents / 100:.2f}", "currencyCode": "USD"},
            "lastOrderId": f"gid://shopify/Order/{customer.last_order}",
            "occurredAt": self._zulu(),
        }
        yield self._deliver("customers/purchasing_summary", summary)

    def _guest(self) -> Iterator[Delivery]:
        """An order without a customer, by somebody who may be one all the same."""
        person = self._rng.choice(self._shop.people)
        email = self._rng.choice((person.email, person.email, person.email.title(), None, _NOBODY))
        order = self._order_body(email, self._rng.choice((None, person.phone, person.national)), person)
        if self._rng.random() < 0.5:
            order["customer"] = self._rng.choice((None, {}))
        yield self._deliver("orders/create", order)
        known = next((c for c in self._customers if email and c.email == email), None)
        if known and self._rng.random() < 0.3:  # a background job finds the customer
            self._pass(1, 60)
            order |= {"customer": self._embedded(known), "updated_at": self._local(self._now)}
            yield self._deliver("orders/updated", order)

    def _checkout(self) -> Iterator[Delivery]:
        person = self._rng.choice(self._shop.people)
        token = self._uuid().replace("-", "")
        opened = self._local(self._now)
        body: Body = {"token": token, "cart_token": token[:8], "email": None, "phone": None, "created_at": opened}
        body |= {"updated_at": opened, "completed_at": None, "buyer_accepts_marketing": False, "line_items": []}
        body["abandoned_checkout_url"] = f"https://{self._shop.domain}/recover?key={token}"
        yield self._deliver("checkouts/create", body)
        self._pass(1, 120)
        body |= {"email": person.email, "updated_at": self._local(self._now)}
        body["shipping_address"] = self._address(person)
        yield self._deliver("checkouts/update", body)

    def _tag(self) -> Iterator[Delivery]:
        customer = self._anyone()
        tag = self._rng.choice(_TAGS)
        is_on = tag not in customer.tags
        # Now and then put on and taken off in the same instant.
        for on in (is_on, not is_on) if self._rng.random() < 0.15 else (is_on,):
            (customer.tags.add if on else customer.tags.discard)(tag)
            body = {"customerId": customer.gid, "tags": [tag], "occurredAt": self._zulu()}
            yield self._deliver(f"customer.tags_{'added' if on else 'removed'}", body, advance=False)

    def _consent(self) -> Iterator[Delivery]:
        customer = self._anyone()
        channel = self._rng.choice(tuple(customer.consents))
        before, _ = customer.consents[channel]
        if before == "subscribed" or self._rng.random() < 0.2:
            earlier = self._now - timedelta(minutes=self._rng.randrange(1, 3000))
            yield from self._decide(customer, channel, "unsubscribed")
            if self._rng.random() < 0.4:  # an older yes that was held up
                yield self._stated(customer, channel, ("subscribed", earlier))
            elif self._rng.random() < 0.2:  # both in one second
                yield self._stated(customer, channel, ("subscribed", customer.consents[channel][1]))
        elif channel == "email" and self._rng.random() < 0.05:
            yield from self._decide(customer, channel, "invalid")
        else:
            yield from self._decide(customer, channel, self._rng.choice(("subscribed", "subscribed", "pending")))

    def _segment(self) -> Iterator[Delivery]:
        customer, segment = self._anyone(), self._rng.randrange(1, 6)
        is_joining = segment not in customer.segments
        customer.segments ^= {segment}
        body = {"shop_id": "gid://shopify/Shop/70417", "customer_id": customer.gid}
        body["segment_id"] = f"gid://shopify/Segment/{segment}"
        yield self._deliver(f"customer.{'joined' if is_joining else 'left'}_segment", body)

    def _merge(self) -> Iterator[Delivery]:
        doubles = [(a, b) for a, b in self._doubles if a in self._customers and b in self._customers]
        kept, lost = doubles[0] if doubles else self._rng.sample(self._customers, 2)
        body: Body = {"admin_graphql_api_customer_kept_id": kept.gid, "admin_graphql_api_job_id": None}
        body |= {"admin_graphql_api_customer_deleted_id": lost.gid, "status": "completed", "errors": []}
        if not doubles or self._rng.random() < 0.3:  # two strangers are never merged for good
            body["status"] = "failed"
            body["errors"] = [{"customer_ids": [lost.id], "field": "gift_cards", "message": "There are gift cards."}]
            yield self._deliver("customers/merge", body)
            return
        self._customers.remove(lost)
        late = self._body(lost, is_old=False)
        yield self._deliver("customers/merge", body)
        kept.tags |= lost.tags
        kept.phone = kept.phone or lost.phone
        yield self._seen("customers/update", kept)
        if self._rng.random() < 0.5:
            yield self._deliver("customers/update", late)

    def _delete(self) -> Iterator[Delivery]:
        """Only who never ordered can be deleted."""
        customer = next((c for c in self._customers if not c.orders), None)
        if customer is None:
            return
        late, late_old = (self._body(customer, is_old=is_old) for is_old in (False, True))
        self._pass(1, 10)
        self._customers.remove(customer)
        body = {"id": customer.id, "tax_exemptions": [], "admin_graphql_api_id": customer.gid}
        yield self._deliver("customers/delete", body)
        yield self._deliver("customers/update", self._rng.choice((late, late_old)))
        if self._rng.random() < 0.5:  # may sign up again, under another id
            self._strangers.insert(0, customer.person)

    def _readdress(self) -> Iterator[Delivery]:
        """A new e-mail or number; or the e-mail of another customer, who gives it up."""
        customer, other = self._rng.sample(self._customers, 2)
        choice = self._rng.random()
        if choice < 0.4:
            customer.email = f"new{self._next_id() % 10**7}@example.org"
        elif choice < 0.7:
            customer.phone = customer.person.phone[:-3] + f"{self._rng.randrange(1000):03}"
        else:
            customer.email, other.email = other.email, None
            yield self._seen("customers/update", other)
        yield self._seen("customers/update", customer)

    def _query(self) -> Iterator[Delivery]:
        """Next Gen Events: the same change, in the shape of GraphQL."""
        customer = self._anyone()
        customer.updated_at = self._now
        email: Body | None = None
        if customer.email is not None:
            state, at = customer.consents["email"]
            email = {"emailAddress": customer.email, "marketingState": state.upper()}
            email["marketingUpdatedAt"] = None if at is None else f"{at:%Y-%m-%dT%H:%M:%SZ}"
        data = {
            "id": customer.gid,
            "firstName": customer.person.first_name,
            "lastName": customer.person.last_name,
            "updatedAt": f"{customer.updated_at:%Y-%m-%dT%H:%M:%SZ}",
            "tags": sorted(customer.tags),
            "defaultEmailAddress": email,
        }
        body: Body = {"topic": "Customer", "action": "update", "handle": "contact_sync"}
        body["fields_changed"] = {"added": [], "updated": [f"customer[id: '{customer.gid}'].firstName"], "removed": []}
        body |= {"query_variables": {"customerId": customer.gid}, "data": {"customer": data}}
        classic = self._deliver("Customer", body)
        names = {name: name.lower().removeprefix("x-") for name in classic.headers if name != "X-Shopify-Event-Id"}
        headers = {new: classic.headers[old] for old, new in names.items()}
        headers |= {"shopify-action": "update", "shopify-handle": "contact_sync"}
        if self._rng.random() < 0.5:  # some senders repeat the classic names
            headers |= {name: value for name, value in classic.headers.items() if name in names}
        yield Delivery(topic="Customer/update", headers=headers, body=classic.body)

    def _other(self) -> Iterator[Delivery]:
        """Something that nobody follows, or a customer too large to be sent."""
        if self._rng.random() < 0.5:
            yield self._deliver("products/update", {"id": self._next_id(), "title": "Lamp oil", "variants": []})
        else:
            yield self._deliver("customers/update", {"id": self._anyone().id})

    # --- how it is told ---

    def _decide(self, customer: _Customer, channel: Channel, state: str) -> Iterator[Delivery]:
        customer.consents[channel] = (state, self._now)
        yield self._stated(customer, channel, customer.consents[channel])

    def _stated(self, customer: _Customer, channel: Channel, consent: Consent) -> Delivery:
        if channel == "email":
            body: Body = {"customer_id": customer.id, "email_address": customer.email}
            body["email_marketing_consent"] = self._consent_body(consent)
            return self._deliver("customers_email_marketing_consent/update", body)
        said = None if customer.phone is None else consent  # a customer without a number has no state
        if channel == "sms":
            body = {"id": customer.id, "phone": customer.phone}
            body["sms_marketing_consent"] = self._consent_body(said) | {"consent_collected_from": "OTHER"}
            return self._deliver("customers_marketing_consent/update", body)
        layout = self._consent_body(said)
        layout["updated_at"] = layout.pop("consent_updated_at")
        body = {"customer_id": customer.id, "phone_number": customer.phone}
        body["whats_app_marketing_consent"] = layout | {"collected_from": "shopify"}
        return self._deliver("customers_whats_app_marketing_consent/update", body)

    def _consent_body(self, consent: Consent | None) -> Body:
        state, at = consent or (None, None)
        level = None if consent is None else "single_opt_in"
        return {"state": state, "opt_in_level": level, "consent_updated_at": None if at is None else self._local(at)}

    def _seen(self, topic: str, customer: _Customer, *, at: datetime | None = None) -> Delivery:
        customer.updated_at = at or self._now
        is_old = self._rng.random() < 0.35
        return self._deliver(topic, self._body(customer, is_old=is_old), version="2024-10" if is_old else "2026-10")

    def _body(self, customer: _Customer, *, is_old: bool) -> Body:
        """Write a customer; bodies of before 2025 have tags, consent and totals too."""
        body = self._embedded(customer, is_old=is_old)
        address = self._address(customer.person)
        times = {"created_at": self._local(customer.created_at), "updated_at": self._local(customer.updated_at)}
        return body | times | {"addresses": [address], "default_address": address}

    def _embedded(self, customer: _Customer, *, is_old: bool = False) -> Body:
        person = customer.person
        body: Body = {"id": customer.id, "created_at": None, "updated_at": None, "first_name": person.first_name}
        body |= {"last_name": person.last_name, "state": customer.state, "note": customer.note, "verified_email": True}
        body |= {"multipass_identifier": None, "tax_exempt": False, "email": customer.email, "phone": customer.phone}
        body |= {"currency": "USD", "tax_exemptions": [], "admin_graphql_api_id": customer.gid}
        if is_old:
            body |= {"tags": ", ".join(sorted(customer.tags)), "orders_count": customer.orders}
            body |= {"total_spent": f"{customer.cents / 100:.2f}", "last_order_id": customer.last_order}
            body["email_marketing_consent"] = self._consent_body(customer.consents["email"])
            sms = self._consent_body(customer.consents["sms"]) | {"consent_collected_from": "OTHER"}
            body["sms_marketing_consent"] = None if customer.phone is None else sms
        return body

    def _order_body(self, email: str | None, phone: str | None, person: Person) -> Body:
        id_, at = self._next_id(), self._local(self._now)
        body: Body = {"id": id_, "admin_graphql_api_id": f"gid://shopify/Order/{id_}", "name": f"#{id_ % 10**4}"}
        body |= {"email": email, "contact_email": email, "phone": phone, "created_at": at, "updated_at": at}
        body |= {"processed_at": at, "buyer_accepts_marketing": False, "financial_status": "pending", "test": False}
        body |= {"currency": "USD", "tags": "", "line_items": [{"id": 1, "title": "Lamp oil", "price": "8.00"}]}
        return body | {"billing_address": self._address(person), "shipping_address": self._address(person)}

    def _address(self, person: Person) -> Body:
        name = {"first_name": person.first_name, "last_name": person.last_name}
        place = {"company": None, "address1": "14 Lantern Row", "address2": "", "city": "Harbour", "zip": "40202"}
        return name | place | {"province_code": None, "country_code": person.country, "phone": "555-555-SHIP"}

    def _deliver(self, topic: str, body: Body, *, version: str = "2026-10", advance: bool = True) -> Delivery:
        if advance:
            self._now += timedelta(milliseconds=self._rng.randrange(1, 40))
        return signed(
            body,
            self._shop.secret,
            topic=topic,
            domain=self._shop.domain,
            api_version=version,
            webhook_id=self._uuid(),
            event_id=self._event_id,
            sent_at=f"{self._now:%Y-%m-%dT%H:%M:%S.%f}{self._rng.randrange(1000):03}Z",  # nine digits, as seen
        )

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

    def _pass(self, least_s: int, most_s: int) -> None:
        self._now += timedelta(seconds=self._rng.randint(least_s, most_s))

    def _local(self, at: datetime) -> str:
        """Write a time as bodies in REST shape do: the shop's offset, whole seconds."""
        return at.astimezone(self._zone).isoformat(timespec="seconds")

    def _zulu(self) -> str:
        return f"{self._now:%Y-%m-%dT%H:%M:%S}.{self._now.microsecond // 1000:03}Z"


_ACTIONS: tuple[tuple[int, Callable[[_Life], Iterator[Delivery]]], ...] = (
    (22, _Life._join),  # noqa: SLF001 - the table of this very class, here and below
)
