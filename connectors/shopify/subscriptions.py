"""Registers a shop's webhooks through the Admin API, and repairs those that somebody changed.

https://shopify.dev/docs/api/admin-graphql/latest/mutations/webhookSubscriptionCreate
Quirk: Shopify deletes a webhook that was registered here after eight failed deliveries in a row.
https://shopify.dev/changelog/updates-to-webhook-retry-mechanism
Quirk: a webhook whose filter does not fit delivers nothing, and a webhook with chosen fields lacks some that we read.
Quirk: the API version of a webhook is the app's, or that of the request; pages of the documentation disagree. We can
only save the webhook again.
Quirk: compliance topics and Next Gen Events cannot be registered here, but in the app's configuration.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from connectors import json_values
from connectors.json_values import Payload
from connectors.reader import AccessRefusedError, Fetch, Job, UnreadableError
from connectors.shopify.graphql import API_VERSION, QueryRefusedError, ask

#: https://shopify.dev/docs/api/admin-graphql/latest/enums/WebhookSubscriptionTopic
TOPICS: Mapping[str, str] = {
    "customers/create": "CUSTOMERS_CREATE",
    "customers/update": "CUSTOMERS_UPDATE",
    "customers/enable": "CUSTOMERS_ENABLE",
    "customers/disable": "CUSTOMERS_DISABLE",
    "customers/delete": "CUSTOMERS_DELETE",
    "customers/merge": "CUSTOMERS_MERGE",
    "customers/purchasing_summary": "CUSTOMERS_PURCHASING_SUMMARY",
    "customer.tags_added": "CUSTOMER_TAGS_ADDED",
    "customer.tags_removed": "CUSTOMER_TAGS_REMOVED",
    "customer.joined_segment": "CUSTOMER_JOINED_SEGMENT",
    "customer.left_segment": "CUSTOMER_LEFT_SEGMENT",
    "customers_email_marketing_consent/update": "CUSTOMERS_EMAIL_MARKETING_CONSENT_UPDATE",
    "customers_marketing_consent/update": "CUSTOMERS_MARKETING_CONSENT_UPDATE",
    "customers_whats_app_marketing_consent/update": "CUSTOMERS_WHATS_APP_MARKETING_CONSENT_UPDATE",
    "orders/create": "ORDERS_CREATE",
    "orders/updated": "ORDERS_UPDATED",
    "orders/paid": "ORDERS_PAID",
    "orders/cancelled": "ORDERS_CANCELLED",
    "orders/edited": "ORDERS_EDITED",
    "orders/fulfilled": "ORDERS_FULFILLED",
    "orders/partially_fulfilled": "ORDERS_PARTIALLY_FULFILLED",
    "checkouts/create": "CHECKOUTS_CREATE",
    "checkouts/update": "CHECKOUTS_UPDATE",
    "app/uninstalled": "APP_UNINSTALLED",
}

_PAGE = 100
_MOST_PAGES = 50
_LIST = """query Webhooks($first: Int!, $after: String) {
  webhookSubscriptions(first: $first, after: $after) {
    nodes { id topic uri format includeFields filter apiVersion { handle } }
    pageInfo { hasNextPage endCursor }
  }
}"""
_SAVED = "{ webhookSubscription { id } userErrors { field message } }"
_CREATE = f"""mutation WebhookCreate($topic: WebhookSubscriptionTopic!, $subscription: WebhookSubscriptionInput!) {{
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $subscription) {_SAVED}
}}"""
_UPDATE = f"""mutation WebhookUpdate($id: ID!, $subscription: WebhookSubscriptionInput!) {{
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $subscription) {_SAVED}
}}"""
_DELETE = """mutation WebhookDelete($id: ID!) {
  webhookSubscriptionDelete(id: $id) { deletedWebhookSubscriptionId userErrors { field message } }
}"""


def subscribe(_job: Job, webhook_url: str, fetch: Fetch) -> Mapping[str, str]:
    """Register and repair the webhooks; a topic is ``refused`` mostly because a scope is missing."""
    known: dict[str, list[Payload]] = {}
    for webhook in _webhooks(fetch):
        if webhook.get("uri") == webhook_url:
            known.setdefault(str(webhook.get("topic")), []).append(webhook)
    return {topic: _settled(known.get(name, []), name, webhook_url, fetch) for topic, name in TOPICS.items()}


def _settled(known: list[Payload], name: str, webhook_url: str, fetch: Fetch) -> str:
    """Leave one good webhook of the topic; return the word for what was done."""
    subscription = {"uri": webhook_url, "format": "JSON"}
    if not known:
        return (
            "added"
            if _does(fetch, "WebhookCreate", _CREATE, {"topic": name, "subscription": subscription})
            else "refused"
        )
    kept, *doubles = sorted(known, key=_faults)
    done = [_does(fetch, "WebhookDelete", _DELETE, {"id": double["id"]}) for double in doubles]
    if _faults(kept):
        whole = {**subscription, "includeFields": [], "filter": ""}
        done.append(_does(fetch, "WebhookUpdate", _UPDATE, {"id": kept["id"], "subscription": whole}))
    if not all(done):
        return "refused"
    return "repaired" if done else "kept"


def _faults(webhook: Payload) -> int:
    """Count what is wrong with a webhook of ours."""
    version = (json_values.nested(webhook, "apiVersion") or {}).get("handle")
    is_whole = not webhook.get("includeFields") and not webhook.get("filter")
    return (webhook.get("format") != "JSON") + (version != API_VERSION) + (not is_whole)


def _does(fetch: Fetch, operation: str, document: str, variables: Mapping[str, Any]) -> bool:
    """Run one mutation; False if Shopify refuses it for this topic."""
    try:
        reply = ask(fetch, operation, document, variables)
    except (AccessRefusedError, QueryRefusedError):
        return False
    return all(type(done) is dict and not done.get("userErrors") for done in reply.data.values())


def _webhooks(fetch: Fetch) -> Iterator[Payload]:
    after = None
    for _ in range(_MOST_PAGES):
        reply = ask(fetch, "Webhooks", _LIST, {"first": _PAGE, "after": after})
        listing = json_values.nested(reply.data, "webhookSubscriptions") or {}
        yield from (node for node in listing.get("nodes") or () if type(node) is dict)
        info = json_values.nested(listing, "pageInfo") or {}
        if not json_values.boolean(info, "hasNextPage"):
            return
        after = json_values.text(info, "endCursor", limit=10_000)
    raise UnreadableError("Shopify's list of webhooks has no end")
