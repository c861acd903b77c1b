"""WhatsApp (Cloud API), which has no look-up of profiles.

Reference: https://developers.facebook.com/docs/whatsapp/cloud-api
The Cloud API shows only ``contacts[].profile.name``, in incoming messages. (Since v2.43 the on-premises
``/v1/contacts`` answered ``valid`` for every number; it is discontinued.)
"""

from collections.abc import Mapping
from datetime import timedelta

from connectors.channels.contract import Ask, Identity, LookupNotSupportedError, Profile

name = "whatsapp"

API_URL = "https://graph.facebook.com"
IDENTITY_TYPES: tuple[str, ...] = ("phone", "whatsapp", "wa_id", "whatsapp_bsuid")
TOKEN: str | None = None
HAS_LOOKUP = False
ASK_AGAIN_AFTER = timedelta(0)


def identity(type_: str, value: str) -> Identity | None:
    """Return any id as it is, because it is never looked up."""
    return Identity(type=type_, value=value.strip())


def ask(_identity: Identity, _token: str, _options: Mapping[str, str]) -> Ask:
    """Raise LookupNotSupportedError."""
    raise LookupNotSupportedError("WhatsApp shows nobody's profile")


def read(_status: int, _headers: Mapping[str, str], _body: bytes, _identity: Identity) -> Profile:
    """Raise LookupNotSupportedError."""
    raise LookupNotSupportedError("WhatsApp shows nobody's profile")
