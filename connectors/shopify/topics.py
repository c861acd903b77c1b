"""Topics: what translates each webhook of Shopify, and which ones are skipped, with the reason."""

from collections.abc import Callable, Iterator, Mapping

from connectors.contract import Account, Event
from connectors.json_values import Payload
from connectors.shopify import consent, customers, next_gen_events, orders, privacy, summaries, tags

SKIPPED_TOPICS: Mapping[str, str] = {
    "Product/create": "is about goods",
    "Product/delete": "is about goods",
    "Product/update": "is about goods",
    "app/scopes_update": "says what the app may read, nothing about a customer",
    "bulk_operations/finish": "a backfill asks for its result itself, because this topic is not guaranteed to come",
    "checkouts/delete": "has no customer and no token; that a cart is gone changes nobody",
    "customer_account_settings/update": "is about the shop's login page",
    "customer_groups/create": "a saved search, not its members",
    "customer_groups/delete": "a saved search, not its members",
    "customer_groups/update": "a saved search, not its members",
    "draft_orders/create": "a draft is mostly the merchant's, and may never become an order",
    "draft_orders/delete": "a draft is mostly the merchant's, and may never become an order",
    "draft_orders/update": "a draft is mostly the merchant's, and may never become an order",
    "orders/delete": "that an order is gone changes nobody who bought",
    "products/update": "is about goods",
    "segments/create": "a segment's definition; who joins and leaves has topics of its own",
    "segments/delete": "a segment's definition; who joins and leaves has topics of its own",
    "segments/update": "a segment's definition; who joins and leaves has topics of its own",
}

TRANSLATIONS: Mapping[str, Callable[[Payload, Account], Iterator[Event]]] = {
    "customers/create": customers.changed,
    "customers/update": customers.changed,
    "customers/enable": customers.changed,
    "customers/disable": customers.changed,
    "customers/delete": customers.removed,
    "customers/merge": customers.merged,
    "customers/purchasing_summary": summaries.purchases,
    "customer.tags_added": tags.added,
    "customer.tags_removed": tags.removed,
    "customer.joined_segment": summaries.joined_segment,
    "customer.left_segment": summaries.left_segment,
    "customers_email_marketing_consent/update": consent.email_changed,
    "customers_marketing_consent/update": consent.sms_changed,
    "customers_whats_app_marketing_consent/update": consent.whatsapp_changed,
    # The changelog of 2025-01 spells two topics like this, the reference does not; both spellings are read.
    "customers/email_marketing_consent_update": consent.email_changed,
    "customers/marketing_consent_update": consent.sms_changed,
    "orders/create": orders.order,
    "orders/updated": orders.order,
    "orders/paid": orders.order,
    "orders/cancelled": orders.order,
    "orders/edited": orders.order,
    "orders/fulfilled": orders.order,
    "orders/partially_fulfilled": orders.order,
    "checkouts/create": orders.checkout,
    "checkouts/update": orders.checkout,
    "Customer/create": next_gen_events.changed,
    "Customer/update": next_gen_events.changed,
    "Customer/delete": next_gen_events.removed,
    "app/uninstalled": privacy.uninstalled,
    "customers/data_request": privacy.data_request,
    "customers/redact": privacy.customer_redact,
    "shop/redact": privacy.shop_redact,
}
