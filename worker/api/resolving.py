"""Resolving: from what a caller knows of somebody to the one contact that it leads to."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from worker import ids
from worker.api.contact_writes import CONFLICT
from worker.api.errors import ApiError, Detail, contact_not_found
from worker.api.explanation import why_apart
from worker.api.request_bodies import IdentifierIn
from worker.domain import identifiers
from worker.domain.rows import ContactRow
from worker.pipeline import explain as explaining
from worker.store import contacts
from worker.store.db import Tx

IMPOSSIBLE = "not a value of its type, so it leads to nobody"
_ITS_CONTACT = "belongs to this contact"


class Wanted(NamedTuple):
    """What one identifier asks for: a contact by its id, or by a key. Both are None if the value is not of its type."""

    id: UUID | None
    key: contacts.Key | None


def wanted(given: Sequence[IdentifierIn], region: str | None) -> list[Wanted]:
    """Return what identifiers ask for, in their order."""
    return [Wanted(_contact_id(identifier), stored_key(identifier, region)) for identifier in given]


def load(tx: Tx, asked: Collection[Sequence[Wanted]]) -> list[list[ContactRow | None]]:
    """Load the contact that each identifier of many look-ups leads to; None if it leads to nobody."""
    by_id = contacts.by_any_ids(tx, {one.id for look_up in asked for one in look_up if one.id is not None})
    by_key = contacts.by_keys(tx, {one.key for look_up in asked for one in look_up if one.key is not None})
    return [
        [
            by_id.get(one.id) if one.id is not None else by_key.get(one.key) if one.key is not None else None
            for one in look_up
        ]
        for look_up in asked
    ]


def the_one(
    given: Sequence[IdentifierIn],
    asked: Sequence[Wanted],
    matches: Sequence[ContactRow | None],
    *,
    unmatched: Sequence[Detail] | None = None,
    explained: Mapping[UUID, explaining.Explanation] | None = None,
) -> ContactRow:
    """Return the contact that all identifiers lead to that lead to anybody.

    Raises ApiError: 404 if none does, with ``unmatched`` as its details if they are given; 409 if they lead to several.
    """
    found = {row.id: row for row in matches if row is not None}
    if not found:
        raise contact_not_found(_impossible_values(asked) if unmatched is None else unmatched)
    if len(found) > 1:
        raise ApiError(409, CONFLICT, details=_conflicting(given, matches, explained or {}))
    (row,) = found.values()
    return row


def _contact_id(identifier: IdentifierIn) -> UUID | None:
    return ids.parse(ids.CONTACT, identifier.value) if identifier.type == "contact_id" else None


def stored_key(identifier: IdentifierIn, region: str | None) -> contacts.Key | None:
    """Return the (type, source, key) that an identifier is stored under; None if the value is not of the type."""
    kind, value = identifier.type, identifier.value
    if kind == "external_id":
        return ("external_id", identifier.source or "", value)
    if kind == "phone":
        phone = identifiers.given_phone(value, region)
        return None if phone is None else ("phone", "", phone.key)
    if kind in ("whatsapp", "wa_id"):
        return _stored_key_of_whatsapp(value, region)
    if kind == "contact_id":
        return None
    address = identifiers.given_email(value) if kind == "email" else identifiers.normal_form(kind, value, None)
    return None if address is None else (kind, "", address.key)


def _stored_key_of_whatsapp(value: str, region: str | None) -> contacts.Key | None:
    """Take a value for a phone number, which WhatsApp writes without the plus, else for a business-scoped user id."""
    text = value.strip()
    phone = identifiers.given_phone(text, region) if any(map(str.isdigit, text[:2])) else None
    if phone is not None:
        return ("phone", "", phone.key)
    address = identifiers.normal_form("whatsapp_bsuid", text, None)
    return None if address is None else ("whatsapp_bsuid", "", address.key)


def _impossible_values(asked: Sequence[Wanted]) -> list[Detail]:
    """Name the values that are not of their type, so that the caller does not conclude that the contact is missing."""
    return [
        {"field": f"identifiers[{position}].value", "reason": IMPOSSIBLE}
        for position, one in enumerate(asked)
        if one.id is None and one.key is None
    ]


def _conflicting(
    given: Sequence[IdentifierIn],
    matches: Sequence[ContactRow | None],
    explained: Mapping[UUID, explaining.Explanation],
) -> list[Detail]:
    return [
        {
            "field": f"identifiers[{position}]",
            "reason": _ITS_CONTACT + (f" ({why_apart(explained, row.id)})" if explained else ""),
            "type": identifier.type,
            "contact_id": ids.show(ids.CONTACT, row.id),
        }
        for position, (identifier, row) in enumerate(zip(given, matches, strict=True))
        if row is not None
    ]
