"""Tags of a Shopify customer, as changes and as the whole set.

Payload reference: https://shopify.dev/docs/api/webhooks/2026-07#customer.tags_added

Quirk: since 2025-01 webhooks bring changes only; ``occurredAt`` orders them for each
tag. Older bodies have the whole set as one string, GraphQL has it as a list.
Quirk: a comma inside an entry splits it. Two spellings that differ in case are one
tag, and the first spelling stays.
"""

from collections.abc import Iterator

from connectors import json_values, left_out
from connectors.contract import Account, Event, TagsAdded, TagsRemoved, UnusableTextError
from connectors.json_values import Payload
from connectors.shopify import gid

MAX_TAGS = 250  #: of one customer; Shopify's own limit
MAX_TAG = 255  #: characters; Shopify's own limit


def added(body: Payload, _account: Account) -> Iterator[Event]:
    """``customer.tags_added``."""
    external_id = _customer_of(body)
    if tags := _delta(body):
        yield TagsAdded(external_id=external_id, tags=tags, occurred_at=json_values.moment(body, "occurredAt"))


def removed(body: Payload, _account: Account) -> Iterator[Event]:
    """``customer.tags_removed``."""
    external_id = _customer_of(body)
    if tags := _delta(body):
        yield TagsRemoved(external_id=external_id, tags=tags, occurred_at=json_values.moment(body, "occurredAt"))


def read(payload: Payload, key: str, at: str = "") -> tuple[str, ...] | None:
    """Read tags from a comma-separated string or a list; None if the key is absent or null."""
    value = payload.get(key)
    if value is None:
        return None
    if type(value) is str:
        entries = [value if value.isascii() and "\0" not in value else json_values.cleaned(value, key, at)]
    elif type(value) is list:
        entries = json_values.texts(payload, key, at) or []
    else:
        raise json_values.unexpected("a list of text", value, key, at)
    spellings: dict[str, str] = {}
    for entry in entries:
        for part in entry.split(",") if "," in entry else (entry,):
            if tag := part.strip():
                if len(tag) > MAX_TAG:
                    raise UnusableTextError(
                        f"{json_values.path_of(key, at)}: a tag is longer than {MAX_TAG} characters"
                    )
                spellings.setdefault(tag.casefold(), tag)
    if len(spellings) > MAX_TAGS:
        raise UnusableTextError(f"{json_values.path_of(key, at)}: more than {MAX_TAGS} tags")
    return tuple(spellings.values())


def read_dispensable(payload: Payload, key: str, at: str = "") -> tuple[str, ...] | None:
    """Read tags as ``read`` does; tags that cannot be used are left out, as if none were given."""
    try:
        return read(payload, key, at)
    except UnusableTextError as error:
        left_out.note(error)
        return None


def _customer_of(body: Payload) -> str:
    external_id = gid.number_id(body, "customerId", kind="Customer")
    return json_values.required(external_id, "the gid of a Customer", "customerId")


def _delta(body: Payload) -> tuple[str, ...]:
    return json_values.required(read(body, "tags"), "a list of text", "tags")
