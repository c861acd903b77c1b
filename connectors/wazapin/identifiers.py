"""What a caller knows of a contact, to find it by."""

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
    """Something that is known of a contact: ``Identifier.phone("+6281234567890")``, ``Identifier("line", "U4af…")``."""

    type: IdentifierType
    value: str
    source: str | None = None  #: of an external_id: the system that gave it

    @classmethod
    def contact(cls, contact_id: str) -> Self:
        """The API's own id, also of a contact that was merged away."""
        return cls("contact_id", contact_id)

    @classmethod
    def phone(cls, number: str) -> Self:
        """A number in international form, with or without its plus."""
        return cls("phone", number)

    @classmethod
    def whatsapp(cls, number: str) -> Self:
        """A number as WhatsApp writes it, without plus, or a business-scoped user id."""
        return cls("whatsapp", number)

    @classmethod
    def email(cls, address: str) -> Self:
        """An e-mail address, in any case."""
        return cls("email", address)

    @classmethod
    def external(cls, source: str, external_id: str) -> Self:
        """The id that another system has given, such as ``("shopify", "cust_123")``."""
        return cls("external_id", external_id, source)
