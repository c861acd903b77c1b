"""Marketing consent of a Shopify customer by e-mail, SMS and WhatsApp.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07#customers_email_marketing_consent-update

Quirk: ``customers_marketing_consent/update`` is about SMS. The three topics name the
customer, the address and the times in three ways.
Quirk: a customer who was never asked is ``not_subscribed``, for WhatsApp
``never_subscribed``. A null state means that there is no number; it says nothing
about consent.
Quirk: the opt-in level alone is no consent: customers who never agreed carry
``single_opt_in`` too. It is kept as evidence only.
Quirk: Shopify itself sets ``redacted`` and ``invalid``; they are no decision of a person.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors import json_values
from connectors.contract import (
    Account,
    Channel,
    ConsentStated,
    ConsentStatus,
    Event,
    Scope,
    SuppressionReason,
    SuppressionStated,
)
from connectors.json_values import Payload
from connectors.shopify import gid


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Where one kind of consent object keeps its parts."""

    channel: Channel
    state: str = "state"
    opt_in_level: str = "opt_in_level"
    updated_at: str = "consent_updated_at"
    collected_from: str = "consent_collected_from"


EMAIL = Layout(channel="email")
SMS = Layout(channel="sms")
WHATSAPP = Layout(channel="whatsapp", updated_at="updated_at", collected_from="collected_from")


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What a state means: a consent, a reason not to use the address, or both."""

    status: ConsentStatus | None
    reason: SuppressionReason | None = None
    scope: Scope = "all"


_STATES: Mapping[str, _Meaning] = {
    "subscribed": _Meaning("opted_in"),
    "unsubscribed": _Meaning("opted_out", "unsubscribed", "marketing"),
    "pending": _Meaning("pending"),
    "not_subscribed": _Meaning("unknown"),
    "never_subscribed": _Meaning("unknown"),
    # The address is bad; that does not change the person's consent.
    "invalid": _Meaning(None, "invalid_address"),
    "redacted": _Meaning("opted_out", "erasure_request"),
}


def email_changed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers_email_marketing_consent/update``."""
    yield from _changed(body, EMAIL, "email_marketing_consent", "customer_id", email(body, "email_address"))


def sms_changed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers_marketing_consent/update``."""
    yield from _changed(body, SMS, "sms_marketing_consent", "id", json_values.text(body, "phone"))


def whatsapp_changed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customers_whats_app_marketing_consent/update``."""
    address = json_values.text(body, "phone_number")
    yield from _changed(body, WHATSAPP, "whats_app_marketing_consent", "customer_id", address)


def email(payload: Payload, key: str, at: str = "") -> str | None:
    """Read an e-mail address without white space; Shopify drops it too, even inside the address."""
    address = json_values.text(payload, key, at)
    return address and "".join(address.split())


def stated(
    consent: Payload,
    layout: Layout,
    *,
    external_id: str,
    address: str | None,
    at: str,
    region: str | None = None,
    may_open: bool = True,
) -> list[Event]:
    """Return the events in a consent object; they are about the address, or without one about the customer.

    With ``may_open`` False only a "no" counts, because the address that a "yes" would be for cannot be read.

    A "no" also suppresses the address, if there is one. A "yes" lifts no suppression
    here: the rule for that is the same for all sources.
    """
    written = consent.get(layout.state)
    meaning = _STATES.get(written) if type(written) is str else None
    if meaning is None:
        state = json_values.choice(consent, layout.state, _STATES, at)
        if state is None:
            return []
        meaning = _STATES[state]
    if meaning.status == "opted_in" and not may_open:
        return []
    occurred_at = json_values.moment(consent, layout.updated_at, at)
    level = _noted(consent, layout.opt_in_level, at)
    collected_from = _noted(consent, layout.collected_from, at)
    events: list[Event] = []
    if meaning.status is not None:
        evidence = {}
        if level is not None:
            evidence["opt_in_level"] = level
        if collected_from is not None:
            evidence["collected_from"] = collected_from
        is_confirmed = meaning.status == "opted_in" and level == "confirmed_opt_in"
        statement = ConsentStated(
            external_id=external_id,
            channel=layout.channel,
            status=meaning.status,
            address=address,
            occurred_at=occurred_at,
            method="double_opt_in" if is_confirmed else None,
            evidence=evidence,
            region=region,
        )
        events.append(statement)
    if meaning.reason is not None and address is not None:
        suppression = SuppressionStated(
            external_id=external_id,
            channel=layout.channel,
            address=address,
            reason=meaning.reason,
            occurred_at=occurred_at,
            scope=meaning.scope,
            region=region,
        )
        events.append(suppression)
    return events


def _noted(consent: Payload, key: str, at: str) -> str | None:
    word = json_values.dispensable_text(consent, key, at)
    return word and word.lower()


def _changed(body: Payload, layout: Layout, key: str, id_key: str, address: str | None) -> Iterator[Event]:
    external_id = json_values.required(gid.number_id(body, id_key, kind="Customer"), "the id of a customer", id_key)
    if key not in body:
        raise json_values.unexpected("an object", None, key)
    consent = json_values.nested(body, key)
    if consent is not None:
        yield from stated(consent, layout, external_id=external_id, address=address, at=key)
