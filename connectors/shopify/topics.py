"""Topics: what translates each webhook of Shopify, and which ones are skipped, with the reason."""

from collections.abc import Mapping

from connectors.shopify import bodies, consent, customers, next_gen_events, orders, privacy, summaries, tags

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

_CUSTOMER = bodies.customer(customers.changed)
_ORDER = bodies.sale(bodies.ORDER, orders.order)
_CHECKOUT = bodies.sale(bodies.CHECKOUT, orders.checkout)
_EMAIL = bodies.checked(bodies.CONSENT, consent.email_changed)
_SMS = bodies.checked(bodies.SMS_CONSENT, consent.sms_changed)
_WHATSAPP = bodies.checked(bodies.CONSENT, consent.whatsapp_changed)

TRANSLATIONS: Mapping[str, bodies.Translate] = {
    "customers/create": _CUSTOMER,
    "customers/update": _CUSTOMER,
    "customers/enable": _CUSTOMER,
    "customers/disable": _CUSTOMER,
    "customers/delete": customers.removed,
    "customers/merge": customers.merged,
    "customers/purchasing_summary": bodies.checked(bodies.SUMMARY, summaries.purchases),
    "customer.tags_added": bodies.checked(bodies.TAGS, tags.added),
    "customer.tags_removed": bodies.checked(bodies.TAGS, tags.removed),
    "customer.joined_segment": bodies.checked(bodies.SEGMENT, summaries.joined_segment),
    "customer.left_segment": bodies.checked(bodies.SEGMENT, summaries.left_segment),
    "customers_email_marketing_consent/update": _EMAIL,
    "customers_marketing_consent/update": _SMS,
    "customers_whats_app_marketing_consent/update": _WHATSAPP,
    # The changelog of 2025-01 spells two topics like this, the reference does not; both spellings are read.
    "customers/email_marketing_consent_update": _EMAIL,
    "customers/marketing_consent_update": _SMS,
    "orders/create": _ORDER,
    "orders/updated": _ORDER,
    "orders/paid": _ORDER,
    "orders/cancelled": _ORDER,
    "orders/edited": _ORDER,
    "orders/fulfilled": _ORDER,
    "orders/partially_fulfilled": _ORDER,
    "checkouts/create": _CHECKOUT,
    "checkouts/update": _CHECKOUT,
    "Customer/create": bodies.next_gen("create", next_gen_events.changed),
    "Customer/update": bodies.next_gen("update", next_gen_events.changed),
    "Customer/delete": bodies.next_gen("delete", next_gen_events.removed),
    "app/uninstalled": bodies.checked(bodies.UNINSTALLED, privacy.uninstalled),
    "customers/data_request": bodies.checked(bodies.DATA_REQUEST, privacy.data_request),
    "customers/redact": bodies.checked(bodies.CUSTOMER_REDACT, privacy.customer_redact),
    "shop/redact": privacy.shop_redact,
}
