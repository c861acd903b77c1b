"""WhatsApp profiles (Cloud API): there are none to look up.

Reference: https://developers.facebook.com/docs/whatsapp/cloud-api
The one profile that the Cloud API shows is ``contacts[].profile.name`` of messages that came in. (The
on-premises ``/v1/contacts`` answered ``valid`` for every number since v2.43, and is at its end.)
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
    """Take any id: nobody is asked about it."""
    return Identity(type=type_, value=value.strip())


def ask(_identity: Identity, _token: str, _options: Mapping[str, str]) -> Ask:
    """Raise LookupNotSupportedError."""
    raise LookupNotSupportedError("WhatsApp shows nobody's profile")


def read(_status: int, _headers: Mapping[str, str], _body: bytes, _identity: Identity) -> Profile:
    """Raise LookupNotSupportedError."""
    raise LookupNotSupportedError("WhatsApp shows nobody's profile")
