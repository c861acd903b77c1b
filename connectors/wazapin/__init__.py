"""A client of the Contacts API: Wazapin's hosted one, or the one that contactsync serves.

It is no connector. It reads no source and translates nothing; it stands in no list of connectors, and the worker
does not use it. It is for programs that work with contacts:

    with Contacts("https://api.wazapin.id", api_key) as contacts:
        contact = contacts.upsert(phone_number="+6281234567890", name="Ujang")
        contacts.add_tags(contact.id, "vip")

Reference: https://docsx.wazapin.com/api/reference-contacts
Quirk: Wazapin publishes few of its answers, so every field but an id may be missing.
"""

from connectors.wazapin.async_client import AsyncContacts
from connectors.wazapin.batches import Outcome
from connectors.wazapin.client import Contacts
from connectors.wazapin.errors import (
    ApiError,
    ConflictError,
    DeniedError,
    Detail,
    InvalidError,
    NotFoundError,
    OutdatedError,
    TryLaterError,
    UnexpectedAnswerError,
)
from connectors.wazapin.identifiers import Identifier
from connectors.wazapin.models import (
    Author,
    Cause,
    Change,
    Consent,
    Contact,
    FieldChange,
    Identity,
    Note,
    Page,
    Profile,
    ProfileLookup,
    Sendability,
    Suppression,
    Tag,
)

__all__ = [
    "ApiError",
    "AsyncContacts",
    "Author",
    "Cause",
    "Change",
    "ConflictError",
    "Consent",
    "Contact",
    "Contacts",
    "DeniedError",
    "Detail",
    "FieldChange",
    "Identifier",
    "Identity",
    "InvalidError",
    "NotFoundError",
    "Note",
    "Outcome",
    "OutdatedError",
    "Page",
    "Profile",
    "ProfileLookup",
    "Sendability",
    "Suppression",
    "Tag",
    "TryLaterError",
    "UnexpectedAnswerError",
]
