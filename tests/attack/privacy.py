"""Privacy: who asked to be forgotten is looked for in every read, and sent again in every way."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from connectors.shopify.simulator.shop import signed
from tests.attack.finding import Finding
from tests.flows.stack import RunningStack, wait_until

_SECRET, _DOMAIN = "a secret of the forgotten", "forgotten.myshopify.com"
_MARK = "Zephyrine"  #: a name that nobody else has


class _Shop:
    """A shop that sends signed webhooks, and a caller of the API."""

    def __init__(self, stack: RunningStack, organization: str) -> None:
        self.stack, self.organization = stack, organization
        self.url = stack.connect(_DOMAIN, secret=_SECRET, source="shop", organization=organization)
        self.client = stack.client(organization)
        self._sent = 0

    def send(self, topic: str, body: dict[str, Any], at: datetime) -> None:
        self._sent += 1
        sent_at = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        delivery = signed(
            body, _SECRET, topic=topic, domain=_DOMAIN, sent_at=sent_at, webhook_id=f"forgotten-{self._sent}"
        )
        assert httpx.post(self.url, content=delivery.body, headers=delivery.headers, trust_env=False).is_success

    def customer(self, number: int, at: datetime, **more: Any) -> dict[str, Any]:
        person = {
            "id": number,
            "created_at": at.isoformat(),
            "updated_at": at.isoformat(),
            "first_name": _MARK,
            "last_name": f"Moreau{number}",
            "email": email(number),
            "phone": phone(number),
            "email_marketing_consent": {"state": "subscribed", "consent_updated_at": at.isoformat()},
        }
        return {**person, **more}

    def order(self, number: int, at: datetime) -> dict[str, Any]:
        return {
            "created_at": at.isoformat(),
            "updated_at": at.isoformat(),
            "customer": None,
            "email": email(number),
            "phone": None,
            "billing_address": {"first_name": _MARK, "last_name": f"Moreau{number}"},
        }

    def settled(self) -> None:
        self.stack.settled(self.organization)


def email(number: int) -> str:
    return f"zephyrine.{number}@forgotten.example"


def phone(number: int) -> str:
    return f"+62812735{number:05d}"


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Redact people, and look for them everywhere."""
    people = 15 if full else 3
    shop = _Shop(stack, f"forgotten-{time.monotonic_ns()}")
    with shop.client:
        yield from _redacts(shop, people)
        yield _of_a_shop(shop, 5_000 if full else 200)


def _redacts(shop: _Shop, people: int) -> Iterator[Finding]:
    before, numbers = datetime.now(UTC) - timedelta(hours=2), range(1, people + 1)
    for number in numbers:
        shop.send("customers/create", shop.customer(number, before), before)
        shop.send("orders/create", shop.order(number, before), before)
    shop.settled()
    ids = {number: _id_of(shop, number) for number in numbers}
    posts = {number: _posts(shop, number, ids[number]) for number in numbers}
    assert all(answer.is_success for number in numbers for answer in (post() for post in posts[number]))

    asked = datetime.now(UTC)
    for number in numbers:
        subject = {"id": number, "email": email(number), "phone": phone(number)}
        body = {"shop_id": 1, "shop_domain": _DOMAIN, "customer": subject, "orders_to_redact": []}
        shop.send("customers/redact", body, asked)
    shop.settled()
    found = [hit for number in numbers for hit in _found(shop, number, ids[number])]
    yield _finding("every read after a customer's redact", found, people)

    answers = [post() for number in numbers for post in posts[number]]
    told = [answer.text for answer in answers if answer.is_success or _MARK in answer.text]
    found = told + [hit for number in numbers for hit in _found(shop, number, ids[number])]
    yield _finding("requests again under their Idempotency-Key", found, people)

    for number in numbers:
        shop.send("customers/update", shop.customer(number, before + timedelta(hours=1)), before)
        shop.send("orders/create", shop.order(number, before + timedelta(hours=1)), before)
    shop.settled()
    rows = "SELECT id FROM envelopes WHERE organization_id = :organization_id AND topic LIKE 'customers/%'"
    for (envelope_id,) in shop.stack.rows(rows, shop.organization)[: 2 * people]:
        shop.stack.replay(shop.organization, f"env_{envelope_id.hex}")
    found = [hit for number in numbers for hit in _found(shop, number, ids[number])]
    yield _finding("late webhooks and replays of what was said before", found, people)

    after = datetime.now(UTC)
    for number in numbers:
        anew = shop.customer(number, after, created_at=before.isoformat(), first_name="New", phone=None)
        shop.send("customers/update", anew, after)
    shop.settled()
    wrong = [text for number in numbers if (text := _anew(shop, number)) is not None]
    yield _finding("a purchase afterwards", wrong, people, "starts anew, and is suppressed")


def _of_a_shop(shop: _Shop, people: int) -> Finding:
    before = datetime.now(UTC) - timedelta(hours=1)
    with httpx.Client(trust_env=False) as client:
        for number in range(1_000, 1_000 + people):
            body = shop.customer(number, before)
            sent_at = before.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            delivery = signed(body, _SECRET, topic="customers/create", domain=_DOMAIN, sent_at=sent_at)
            assert client.post(shop.url, content=delivery.body, headers=delivery.headers).is_success
    shop.stack.settled(shop.organization, 120)
    began = time.monotonic()
    shop.send("shop/redact", {"shop_id": 1, "shop_domain": _DOMAIN}, datetime.now(UTC) + timedelta(seconds=1))
    wait_until(lambda: shop.stack.status(shop.organization)["contacts"] == 0, 300)
    took = time.monotonic() - began
    bound = 10 + people / 100
    measured = f"{people} customers gone after {took:.1f} s"
    return Finding("a shop's redact", f"all are gone within {bound:.0f} s", measured, took < bound)


def _posts(shop: _Shop, number: int, id_: str) -> list[Callable[[], httpx.Response]]:
    def post(path: str, **body: Any) -> Callable[[], httpx.Response]:
        headers = {"Idempotency-Key": f"{path}-{number}-{len(body)}"}
        return lambda: shop.client.post(f"/v1/contacts{path}", json=body, headers=headers)

    pair = {"external_source": "shop", "external_id": str(number)}
    return [
        post("", email=email(number), name=f"{_MARK} Edited"),
        post("", **pair, phone_number=phone(number), custom_fields={"nickname": _MARK}),
        post(f"/{id_}/notes", body=f"{_MARK} called"),
        post(f"/{id_}/tags", name=f"friend of {_MARK}"),
    ]


def _id_of(shop: _Shop, number: int) -> str:
    (row,) = shop.client.get("/v1/contacts", params={"email": email(number)}).json()["data"]
    return row["id"]


def _found(shop: _Shop, number: int, id_: str) -> Iterator[str]:
    """Yield the reads that tell of a person."""
    get = shop.client.get
    for rest in ("", "/identities", "/tags", "/notes", "/timeline", "/consents", "/suppressions", "/explanation"):
        if get(f"/v1/contacts/{id_}{rest}").status_code != 404:
            yield f"{id_}{rest}"
    if get(f"/v1/contacts/{id_}/sendability", params={"channel": "email"}).status_code != 404:
        yield "sendability"
    yield from _resolved(shop, number)
    lists: list[dict[str, str]] = [{"email": email(number)}, {"phone_number": phone(number)}, {"search": _MARK}]
    lists += [{"external_source": "shop", "external_id": str(number)}, {"tag": f"friend of {_MARK}"}, {}]
    for query in lists:
        if id_ in get("/v1/contacts", params=query).text:
            yield f"list {sorted(query)}"
    feed = get("/v1/contacts", params={"updated_after": "2020-01-01T00:00:00Z", "include": "removed", "limit": 100})
    rows = [row for row in feed.json()["data"] if row["id"] == id_]
    if _MARK in feed.text or [row.get("removed") for row in rows] != [True]:
        yield "feed"
    if _MARK.encode() in shop.stack.export(shop.organization):
        yield "export"


def _resolved(shop: _Shop, number: int) -> Iterator[str]:
    """Yield the identifiers that lead to a person."""
    get, resolve = shop.client.get, "/v1/contacts/resolve"
    for kind, value in (("phone", phone(number)), ("email", email(number))):
        if get(f"/v1/contacts/{kind}/{value}").status_code != 404:
            yield f"by {kind}"
        named = [{"type": kind, "value": value}]
        for query in ("", "?explain=true"):
            if shop.client.post(resolve + query, json={"identifiers": named}).status_code != 404:
                yield f"resolve by {kind}{query}"
    named = [{"type": "external_id", "source": "shop", "value": str(number)}]
    if shop.client.post(resolve, json={"identifiers": named}).status_code != 404:
        yield "resolve by external_id"


def _anew(shop: _Shop, number: int) -> str | None:
    """Return what is wrong with a person who bought something after the redact; None if nothing is."""
    id_ = _id_of(shop, number)
    told = "".join(
        shop.client.get(f"/v1/contacts/{id_}{rest}").text
        for rest in ("", "/identities", "/tags", "/notes", "/timeline", "/consents")
    )
    if _MARK in told or phone(number) in told:
        return "something from before shows"
    query = {"channel": "email", "purpose": "transactional"}
    verdict = shop.client.get(f"/v1/contacts/{id_}/sendability", params=query).json()["data"]
    return None if (verdict["sendable"], verdict["reason"]) == (False, "suppressed") else "not suppressed"


def _finding(what: str, found: list[str], people: int, bound: str = "finds nobody") -> Finding:
    measured = f"{people} people: " + (", ".join(sorted(set(found))[:5]) or "held for all")
    return Finding(what, bound, measured, not found)
