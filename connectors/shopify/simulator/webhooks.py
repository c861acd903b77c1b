"""The webhooks of a simulated shop about its customers, as Shopify sends them since 2025-01.

https://shopify.dev/docs/api/webhooks/2026-07
"""

from collections.abc import Collection

from connectors.shopify.simulator.customers import Body


def deliveries_about(before: Body, after: Body, changed: Collection[str]) -> list[tuple[str, Body]]:
    """Return topic and body of each webhook about a change; ``changed`` is from ``altered``, or has "create"."""
    at, number = after["updatedAt"], _number(after)
    if "create" in changed:
        return [("customers/create", _body(after))]
    webhooks: list[tuple[str, Body]] = [("customers/update", _body(after))]
    tags = {"added": {*after["tags"]} - {*before["tags"]}, "removed": {*before["tags"]} - {*after["tags"]}}
    webhooks += [
        (f"customer.tags_{word}", {"customerId": after["id"], "tags": sorted(names), "occurredAt": at})
        for word, names in tags.items()
        if names
    ]
    if "email consent" in changed:
        email = after["defaultEmailAddress"]
        consent = {"state": email["marketingState"].lower(), "opt_in_level": email["marketingOptInLevel"].lower()}
        consent["consent_updated_at"] = email["marketingUpdatedAt"]
        body = {"customer_id": number, "email_address": email["emailAddress"], "email_marketing_consent": consent}
        webhooks.append(("customers_email_marketing_consent/update", body))
    if "phone consent" in changed:
        phone = after["defaultPhoneNumber"]
        consent = {"state": phone["marketingState"].lower(), "opt_in_level": phone["marketingOptInLevel"].lower()}
        consent |= {"consent_updated_at": phone["marketingUpdatedAt"], "consent_collected_from": "OTHER"}
        body = {"id": number, "phone": phone["phoneNumber"], "sms_marketing_consent": consent}
        webhooks.append(("customers_marketing_consent/update", body))
    return webhooks


def deletion(customer: Body) -> tuple[str, Body]:
    """Return topic and body of the webhook about a deleted customer."""
    return "customers/delete", {
        "id": _number(customer),
        "tax_exemptions": [],
        "admin_graphql_api_id": customer["id"],
    }


def _number(customer: Body) -> int:
    return int(customer["id"].rpartition("/")[2])


def _body(customer: Body) -> Body:
    email, phone, address = (
        customer[key] or {} for key in ("defaultEmailAddress", "defaultPhoneNumber", "defaultAddress")
    )
    return {
        "id": _number(customer),
        "created_at": customer["createdAt"],
        "updated_at": customer["updatedAt"],
        "first_name": customer["firstName"],
        "last_name": customer["lastName"],
        "state": customer["state"].lower(),
        "note": customer["note"],
        "verified_email": customer["verifiedEmail"],
        "tax_exempt": customer["taxExempt"],
        "email": email.get("emailAddress"),
        "phone": phone.get("phoneNumber"),
        "currency": customer["amountSpent"]["currencyCode"],
        "admin_graphql_api_id": customer["id"],
        "default_address": {
            "address1": address.get("address1"),
            "city": address.get("city"),
            "country_code": address.get("countryCodeV2"),
            "zip": address.get("zip"),
            "phone": address.get("phone"),
        },
    }
