"""A stranger types somebody's address into a checkout, an order, a form or a file: that takes over nobody."""

import base64
import hmac
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import orjson

from tests.attack.finding import Finding
from tests.flows.stack import RunningStack

ORGANIZATION = "attack-passengers"
SECRET = "whsec-invented"
EMAIL, PHONE = "vera.arif@example.com", "+6281273509200"
THEIRS_EMAIL, THEIRS_PHONE = "mallory@example.net", "+6281273509999"
AT = "2026-09-14T18:42:07Z"
_numbers = count(1)


class _Shop:
    """A connection, and how to send a signed delivery through it."""

    def __init__(self, stack: RunningStack, connector: str) -> None:
        options = ["--shop-domain", "passengers.myshopify.com"] if connector == "shopify" else []
        arguments = ["--source", connector, "--webhook-secret", SECRET, "--organization", ORGANIZATION, *options]
        self._url = stack.cli("connections", "add", connector, *arguments)["webhook_url"]
        self._connector = connector

    def post(self, topic: str, body: Mapping[str, Any]) -> None:
        content = orjson.dumps(body)
        signed = base64.b64encode(hmac.digest(SECRET.encode(), content, "sha256")).decode()
        number = f"delivery-{next(_numbers)}"
        if self._connector == "shopify":
            headers = {
                "x-shopify-topic": topic,
                "x-shopify-shop-domain": "passengers.myshopify.com",
                "x-shopify-webhook-id": number,
                "x-shopify-triggered-at": AT,
                "x-shopify-hmac-sha256": signed,
            }
        else:
            headers = {
                "x-wc-webhook-topic": topic,
                "x-wc-webhook-delivery-id": number,
                "x-wc-webhook-signature": signed,
            }
        httpx.post(self._url, content=content, headers=headers, trust_env=False).raise_for_status()


def attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Let a stranger act as a guest in every way there is, and look at the person whose address was typed."""
    shopify, woocommerce = _Shop(stack, "shopify"), _Shop(stack, "woocommerce")
    customer = {"id": 1, "email": EMAIL, "phone": PHONE, "first_name": "Vera", "last_name": "Arif", "updated_at": AT}
    agreed = {"state": "subscribed", "consent_updated_at": AT}
    shopify.post("customers/update", {**customer, "created_at": AT, "email_marketing_consent": agreed})
    stack.settled(ORGANIZATION)
    rounds = 20 if full else 2
    with stack.client(ORGANIZATION) as client:
        before = _seen(client)
        for name, typed in (
            ("the e-mail, beside a number of their own", {"email": EMAIL, "phone": THEIRS_PHONE}),
            ("the number, beside an e-mail of their own", {"email": THEIRS_EMAIL, "phone": PHONE}),
            ("both, with another name", {"email": EMAIL, "phone": PHONE}),
        ):
            for _ in range(rounds):
                _shop_as_guest(shopify, woocommerce, typed)
            _import(stack, typed)
            stack.settled(ORGANIZATION)
            after = _seen(client)
            yield Finding(
                f"a stranger's checkouts, orders and rows of a file name {name}",
                "the person stays as they were: name, addresses, id, where messages go",
                _changed(before, after),
                after == before,
            )
        yield _without_a_pair(client, before)


def _shop_as_guest(shopify: _Shop, woocommerce: _Shop, typed: Mapping[str, str]) -> None:
    name = {"first_name": "Mallory", "last_name": "Black"}
    order = {**typed, "customer": None, "created_at": AT, "updated_at": AT, "billing_address": name}
    for topic in ("checkouts/create", "checkouts/update", "orders/create", "orders/updated"):
        shopify.post(topic, order)
    billing = {**name, **typed}
    guest = {"customer_id": 0, "date_created_gmt": AT[:-1], "date_modified_gmt": AT[:-1], "billing": billing}
    woocommerce.post("order.created", {"id": 1, **guest})


def _import(stack: RunningStack, typed: Mapping[str, str]) -> None:
    path = Path(stack.data_dir).parent / "guests.csv"
    path.write_text(f"E-mail,Number,Name\n{typed['email']},{typed['phone']},Mallory Black\n")
    columns = ["--map", "email=E-mail", "--map", "phone=Number", "--map", "name=Name"]
    stack.cli("import", str(path), "--source", "list", "--organization", ORGANIZATION, *columns, "--yes")


def _without_a_pair(client: httpx.Client, before: Mapping[str, Any]) -> Finding:
    """A bot that knows only an address writes through the API: the stranger's own number becomes no one else's."""
    client.post("/v1/contacts", json={"phone_number": THEIRS_PHONE, "name": "Mallory Black"}).raise_for_status()
    after = _seen(client)
    is_other = _id(client, "phone", THEIRS_PHONE) != before["id"]
    return Finding(
        "then a bot writes the stranger's number through the API, without the id of a customer",
        "it is a person of its own, and the other stays as they were",
        _changed(before, after) if is_other else "it leads to the other person",
        is_other and after == before,
    )


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    return ", ".join(sorted(key for key in before if before[key] != after[key])) or "nothing changed"


def _seen(client: httpx.Client) -> dict[str, Any]:
    """Return who the addresses lead to, what is shown, and where messages would go."""
    id_ = _id(client, "email", EMAIL)
    contact = client.get(f"/v1/contacts/{id_}").json()["data"]
    found = {key: contact[key] for key in ("id", "name", "email", "phone_number")}
    found["by number"] = _id(client, "phone", PHONE)
    for channel in ("email", "sms"):
        verdict = client.get(f"/v1/contacts/{id_}/sendability", params={"channel": channel}).json()["data"]
        found[channel] = (verdict["sendable"], verdict["reason"], verdict.get("address"))
    return found


def _id(client: httpx.Client, kind: str, value: str) -> str | None:
    answer = client.post("/v1/contacts/resolve", json={"identifiers": [{"type": kind, "value": value}]})
    return answer.json()["data"]["id"] if answer.status_code == httpx.codes.OK else None
