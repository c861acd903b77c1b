"""Shops that send signed webhooks about invented people. Times are minutes after T0, or times.

Shopify states a customer whole, so what a test leaves out is empty; WooCommerce never says that a field is empty. The
first statement about a customer says since when the customer exists, and later ones repeat that.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

#: Long past, so that no ceiling touches a time of these tests, and every request of the API is newer.
T0 = datetime(2025, 6, 1, tzinfo=UTC)
At = float | datetime


def moment(at: At) -> datetime:
    """Return a time that is given in minutes after T0."""
    return at if isinstance(at, datetime) else T0 + timedelta(minutes=at)


def now(**later: float) -> datetime:
    """Return the time that the API's clock shows, or some time later."""
    return datetime.now(UTC) + timedelta(**later)


def written(at: At) -> str:
    return moment(at).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Shop:
    """What all shops have: a source, a connection, and a memory of when each customer was created."""

    connector: str
    signature: str
    options: dict[str, str] = {}

    def __init__(self, world, source: str) -> None:
        self._world = world
        self._path = world.connect(self.connector, source, self.options)
        self._born: dict[str, At] = {}
        self._sent = 0

    def _send(self, headers: dict[str, str], body: Any) -> None:
        self._sent += 1
        self._world.send(self._path, self.signature, headers, body)

    def _created(self, external_id: str, created: At | None, at: At) -> str:
        born = self._born.setdefault(external_id, at if created is None else created)
        return written(born if created is None else created)


class Shopify(Shop):
    """A shop that says when it sent something."""

    connector = "shopify"
    signature = "x-shopify-hmac-sha256"
    options = {"shop_domain": "lantern-row.myshopify.com"}

    #: channel -> beginning of the topic, keys of the customer and the address, beginning of the consent's key, its time
    _CONSENTS = {
        "email": ("customers_email", "customer_id", "email_address", "email", "consent_updated_at"),
        "sms": ("customers", "id", "phone", "sms", "consent_updated_at"),
        "whatsapp": ("customers_whats_app", "customer_id", "phone_number", "whats_app", "updated_at"),
    }

    def _post(self, topic: str, body: Any, sent: At) -> None:
        headers = {"x-shopify-topic": topic, "x-shopify-triggered-at": written(sent)}
        self._send({**headers, "x-shopify-webhook-id": f"delivery-{self._sent}"}, body)

    def seen(
        self,
        external_id: str,
        *,
        email: str | None = None,
        phone: str | None = None,
        name: str = "",
        at: At,
        created: At | None = None,
    ) -> None:
        """State a customer."""
        first, _, last = name.partition(" ")
        body = {
            "id": int(external_id),
            "created_at": self._created(external_id, created, at),
            "updated_at": written(at),
            "first_name": first or None,
            "last_name": last or None,
            "email": email,
            "phone": phone,
        }
        self._post("customers/update", body, at)

    def consent(self, external_id: str, channel: str, state: str, address: str | None, *, at: At) -> None:
        """State a consent; without an address, the app may not see it."""
        topic, customer, key, kind, time = self._CONSENTS[channel]
        consent = {f"{kind}_marketing_consent": {"state": state, time: written(at)}}
        self._post(f"{topic}_marketing_consent/update", {customer: int(external_id), key: address, **consent}, at)

    def tagged(self, external_id: str, *tags: str, at: At) -> None:
        body = {"customerId": f"gid://shopify/Customer/{external_id}", "tags": tags, "occurredAt": written(at)}
        self._post("customer.tags_added", body, at)

    def deleted(self, external_id: str, *, at: At) -> None:
        gid = f"gid://shopify/Customer/{external_id}"
        self._post("customers/delete", {"id": int(external_id), "tax_exemptions": [], "admin_graphql_api_id": gid}, at)

    def redact(self, external_id: str | None, *, email: str | None = None, phone: str | None = None, at: At) -> None:
        """Ask for a customer to be forgotten."""
        customer = {"id": external_id and int(external_id), "email": email, "phone": phone}
        shop = {"shop_id": 1, "shop_domain": self.options["shop_domain"]}
        self._post("customers/redact", {**shop, "customer": customer, "orders_to_redact": []}, at)

    def redact_shop(self, *, at: At) -> None:
        """Ask for the whole shop to be forgotten."""
        self._post("shop/redact", {"shop_domain": self.options["shop_domain"], "shop_id": 1}, at)

    def merged(self, *, kept: str, lost: str, at: At) -> None:
        """State that the shop has made two customers one."""
        body = {
            "admin_graphql_api_customer_kept_id": f"gid://shopify/Customer/{kept}",
            "admin_graphql_api_customer_deleted_id": f"gid://shopify/Customer/{lost}",
            "status": "completed",
        }
        self._post("customers/merge", body, at)

    def guest(
        self,
        *,
        email: str | None = None,
        phone: str | None = None,
        name: str = "",
        at: At,
        edited: At | None = None,
        topic: str = "orders/create",
    ) -> None:
        """State an order without a customer; ``edited`` is when somebody changed it last."""
        first, _, last = name.partition(" ")
        body = {
            "id": self._sent + 1,
            "token": f"token-{self._sent}",
            "created_at": written(at),
            "updated_at": written(at if edited is None else edited),
            "customer": None,
            "email": email,
            "phone": phone,
            "billing_address": {"first_name": first or None, "last_name": last or None},
        }
        self._post(topic, body, at if edited is None else edited)

    def checkout(self, **what: Any) -> None:
        """State a checkout that nobody has paid, and that may never become an order."""
        self.guest(topic="checkouts/create", **what)


class WooCommerce(Shop):
    """A shop whose deliveries have no time of sending, and whose plugin keeps a box for the newsletter."""

    connector = "woocommerce"
    signature = "x-wc-webhook-signature"
    options = {"consent_meta_key": "newsletter"}

    def _post(self, topic: str, body: Any) -> None:
        self._send({"x-wc-webhook-topic": topic, "x-wc-webhook-delivery-id": f"delivery-{self._sent}"}, body)

    def seen(
        self,
        external_id: str,
        *,
        email: str | None = None,
        billing_email: str | None = None,
        phone: str | None = None,
        name: str = "",
        at: At,
        created: At | None = None,
        newsletter: bool | None = None,
    ) -> None:
        """State a customer; a ticked box for the newsletter counts since the customer was created."""
        first, _, last = name.partition(" ")
        box = [] if newsletter is None else [{"key": "newsletter", "value": "yes" if newsletter else "no"}]
        body = {
            "id": int(external_id),
            "role": "customer",
            "date_created_gmt": self._created(external_id, created, at),
            "date_modified_gmt": written(at),
            "first_name": first,
            "last_name": last,
            "email": email or "",
            "billing": {"email": billing_email or "", "phone": phone or ""},
            "meta_data": box,
        }
        self._post("customer.updated", body)

    def deleted(self, external_id: str) -> None:
        """State that a customer is gone; it counts from the arrival."""
        self._post("customer.deleted", {"id": int(external_id)})

    def guest(
        self, *, email: str | None = None, phone: str | None = None, name: str = "", at: At, edited: At | None = None
    ) -> None:
        """State an order without a customer; ``edited`` is when somebody changed it last."""
        first, _, last = name.partition(" ")
        body = {
            "customer_id": 0,
            "date_created_gmt": written(at),
            "date_modified_gmt": written(at if edited is None else edited),
            "billing": {"first_name": first, "last_name": last, "email": email or "", "phone": phone or ""},
        }
        self._post("order.created", body)
