"""Identifiers, by which a caller finds a contact."""

from dataclasses import dataclass
from typing import Literal, Self

IdentifierType = Literal[
    "contact_id",
    "phone",
    "whatsapp",
    "wa_id",
    "email",
    "external_id",
    "whatsapp_bsuid",
    "telegram",
    "messenger",
    "instagram",
    "line",
    "viber",
]


@dataclass(frozen=True, slots=True)
class Identifier:
    """One identifier of a contact: ``Identifier.phone("+6281234567890")``, ``Identifier("line", "U4af…")``."""

    type: IdentifierType
    value: str
    source: str | None = None  #: for an external_id: the system that issued it

    @classmethod
    def contact(cls, contact_id: str) -> Self:
        """Return the API's own id of a contact; the id of a merged contact works too."""
        return cls("contact_id", contact_id)

    @classmethod
    def phone(cls, number: str) -> Self:
        """Return a number, which is in international form, with or without plus."""
        return cls("phone", number)

    @classmethod
    def whatsapp(cls, number: str) -> Self:
        """Return a number as WhatsApp writes it, without plus, or a business-scoped user id."""
        return cls("whatsapp", number)

    @classmethod
    def email(cls, address: str) -> Self:
        """Return an e-mail address; upper and lower case do not matter."""
        return cls("email", address)

    @classmethod
    def external(cls, source: str, external_id: str) -> Self:
        """Return an id that another system issued, such as ``("shopify", "cust_123")``."""
        return cls("external_id", external_id, source)
