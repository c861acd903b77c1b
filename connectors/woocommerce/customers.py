"""The customer of WooCommerce, in a webhook as in the REST API.

Payload reference: https://woocommerce.github.io/woocommerce-rest-api-docs/#customer-properties

Quirk: every WordPress user is a "customer" here, editors and administrators too. The role tells them apart.
Quirk: ``date_modified_gmt`` is null for a user who never changed since registration. Only names and addresses move
it: a consent box, which a plugin keeps in ``meta_data``, changes without it.
Quirk: dates have no offset. Those in ``…_gmt`` are UTC, the others are the shop's own time. MySQL's unset date comes
as the year -1.
Quirk: an empty string is a field that was never filled in, not a field that somebody cleared.
Quirk: the billing e-mail often differs from the account's, and the phone number is free text.
Quirk: WooCommerce has no consent. Plugins put a box into ``meta_data``, each under a key of its own.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache

from connectors import consent_terms, json_values
from connectors.contract import (
    Account,
    ConsentStated,
    ConsentStatus,
    Event,
    FieldValue,
    Identifier,
    MalformedPayloadError,
    ProfileSeen,
    UnusableTextError,
)
from connectors.countries import code_of
from connectors.json_values import Payload

#: option of a connection: the key in ``meta_data`` of a box that allows marketing by e-mail
CONSENT_META_KEY = "consent_meta_key"
#: option of a connection: roles of customers, with commas, for shops that have others than ``_ROLES``
CUSTOMER_ROLES = "customer_roles"
_ROLES = "customer,subscriber"
#: option of a connection: words of the box that the vocabulary does not have, as ``word=yes, other word=no``
CONSENT_WORDS = "consent_words"
_MAX_WORD = 64

_ADDRESS = (
    ("company", "company"),
    ("address1", "address_1"),
    ("address2", "address_2"),
    ("city", "city"),
    ("province", "state"),
    ("zip", "postcode"),
    ("country_code", "country"),
)
_UNSET = re.compile(r"(?:0000|-\d{4})-")


def changed(body: Payload, account: Account) -> Iterator[Event]:
    """``customer.created``, ``customer.updated`` and rows of a reading; nothing about the shop's own people."""
    external_id = json_values.required(json_values.number_id(body, "id"), "the id of a customer", "id")
    role = json_values.word(body, "role")
    if not is_customers_role(role, account):
        return
    addresses = [(key, json_values.nested(body, key) or {}) for key in ("billing", "shipping")]
    billing = addresses[0][1]
    created_at = gmt(body, "date_created_gmt")
    occurred_at = gmt(body, "date_modified_gmt") or created_at
    fields = name_of(("", body), *addresses)
    if address := _address_of(billing):
        fields["address"] = address
    is_paying = json_values.boolean(body, "is_paying_customer")
    if is_paying is not None:
        fields["is_paying_customer"] = is_paying
    identifiers: dict[str, Identifier | None] = {}
    email = email_of(body)
    if email is not None:
        identifiers["email"] = Identifier(type="email", value=email)
    # The account's e-mail is the one to show, so the slot of this one sorts after it.
    if (second := email_of(billing, "billing")) is not None:
        identifiers["email_billing"] = Identifier(type="email", value=second)
    # A number in national form belongs to the country of its own address, so that address comes first.
    addresses.sort(key=lambda address: not address[1].get("phone"))
    if (number := phone_of(*addresses)) is not None:
        identifiers["phone"] = number
    yield ProfileSeen(
        external_id=external_id,
        occurred_at=occurred_at,
        created_at=created_at,
        fields=fields,
        identifiers=identifiers,
        region=region_of(*addresses),
    )
    status, evidence = _consent_of(body, account.options)
    # A "yes" is for the account's e-mail. If that is there and cannot be used, it is for no other.
    is_unusable = email is None and _is_given(body, "email")
    if status is not None and not (is_unusable and status == "opted_in"):
        yield ConsentStated(
            external_id=external_id,
            channel="email",
            status=status,
            address=None if is_unusable else email or second,
            # Every change of an address brings the ticked box again, and nobody knows since when it is ticked. So a
            # "yes" counts from the registration, and never overrules a later "no" from elsewhere.
            occurred_at=occurred_at if status == "opted_out" else created_at,
            method="form",
            evidence=evidence,
        )


def is_customers_role(role: str | None, account: Account) -> bool:
    """Whether a user of that role is a customer; a user without a role is one for WooCommerce, too."""
    allowed = account.options.get(CUSTOMER_ROLES) or _ROLES
    return role is None or role in (name.strip().lower() for name in allowed.split(","))


def gmt(payload: Payload, key: str, at: str = "") -> datetime | None:
    """Read a date and time of a ``…_gmt`` field, which is UTC without saying so; None if it is unset."""
    written = json_values.text(payload, key, at)
    if written is None or _UNSET.match(written):
        return None
    try:
        return json_values.as_utc(written if written.endswith(("Z", "z")) else f"{written}Z")
    except ValueError:
        expected = "a date and time such as 2026-01-31T23:59:59"
        raise MalformedPayloadError(f"{json_values.path_of(key, at)}: expected {expected}, got other text") from None


def name_of(*holders: tuple[str, Payload]) -> dict[str, FieldValue]:
    """Read the name of the first holder that has one; names of two holders are never mixed."""
    for at, holder in holders:
        parts = ((part, json_values.dispensable_text(holder, part, at)) for part in ("first_name", "last_name"))
        name: dict[str, FieldValue] = {part: value for part, value in parts if value is not None}
        if name:
            return name
    return {}


def email_of(holder: Payload, at: str = "") -> str | None:
    """Read an e-mail address; one that cannot be used is left out."""
    return json_values.dispensable_text(holder, "email", at)


def _is_given(holder: Payload, key: str) -> bool:
    value = holder.get(key)
    return type(value) is str and bool(value.strip())


def phone_of(*holders: tuple[str, Payload]) -> Identifier | None:
    """Read the number of the first address that has one."""
    numbers = [json_values.dispensable_text(holder, "phone", at) for at, holder in holders]
    return next((Identifier(type="phone", value=number) for number in numbers if number is not None), None)


def region_of(*holders: tuple[str, Payload]) -> str | None:
    """Return the country of the first address that has one, as a code of two letters."""
    for at, holder in holders:
        if (code := code_of(json_values.dispensable_text(holder, "country", at))) is not None:
            return code
    return None


def _address_of(billing: Payload) -> dict[str, FieldValue]:
    parts = ((name, json_values.dispensable_text(billing, key, "billing")) for name, key in _ADDRESS)
    return {name: value for name, value in parts if value is not None}


def _consent_of(body: Payload, options: Mapping[str, str]) -> tuple[ConsentStatus | None, Mapping[str, str]]:
    """Read the consent box under the key that the connection names, and what is noted of it.

    If the box is there twice, a "no" wins. A word that nobody knows counts as "no" until somebody decides.
    """
    meta_key = options.get(CONSENT_META_KEY, "")
    entries = body.get("meta_data")
    if not meta_key or entries is None:
        return None, {}
    if type(entries) is not list:
        raise json_values.unexpected("a list", entries, "meta_data")
    decided = _decided(options.get(CONSENT_WORDS, ""))
    found: dict[ConsentStatus, Mapping[str, str]] = {}
    for entry in entries:
        if type(entry) is not dict or entry.get("key") != meta_key:
            continue
        status, evidence = _status_of(entry.get("value"), decided)
        if status is None and evidence:
            found["opted_out"] = evidence | {consent_terms.UNKNOWN_AT: f"meta_data.{meta_key}"}
        elif status is not None:
            found.setdefault(status, {})
    for status in ("opted_out", "pending", "opted_in"):
        if status in found:
            return status, found[status]
    return None, {}


def _status_of(
    value: object, decided: Mapping[str, ConsentStatus | None]
) -> tuple[ConsentStatus | None, dict[str, str]]:
    """Return what a box says; for a word that nobody knows None and what is noted of it."""
    # WordPress stores PHP's false as an empty text, and true as true, "1" or 1, depending on the plugin.
    if value is None:
        return None, {}
    if value == "":
        return "opted_out", {}
    word = consent_terms.word_of(str(value)) if isinstance(value, str | int) else ""
    if word in decided:
        return decided[word], {}
    if word in consent_terms.WORDS:
        return consent_terms.WORDS[word], {}
    return None, {consent_terms.UNKNOWN: _storable(word[:_MAX_WORD]) or json_values.kind_of(value)}


def _storable(word: str) -> str | None:
    try:
        return json_values.clean(word)
    except UnusableTextError:
        return None


@lru_cache(maxsize=64)
def _decided(option: str) -> Mapping[str, ConsentStatus | None]:
    """Read the option ``consent_words``: ``word=yes, other word=no``; what cannot be read is left out."""
    pairs = (entry.partition("=") for entry in option.split(","))
    known = consent_terms.WORDS
    return {
        consent_terms.word_of(word): known[meaning]
        for word, equals, means in pairs
        if equals and (meaning := consent_terms.word_of(means)) in known
    }
