"""Identifiers: the one normal form of numbers, e-mails and ids, and values that identify nobody."""

from collections.abc import Sequence
from functools import lru_cache

import phonenumbers

from connectors.cleaning import is_normalisable, normalised
from worker.domain.emails import email, given_email
from worker.domain.phone_numbers import EXTENSION, given_phone, has_extension, phone, phone_key
from worker.domain.terms import CACHED, MAX_LENGTH, Address

__all__ = [
    "MACHINE_MAILBOXES",
    "MAX_LENGTH",
    "Address",
    "email",
    "given_email",
    "given_phone",
    "identifies_nobody",
    "normal_form",
    "of_address",
    "phone",
    "phone_key",
    "readings",
    "type_of_address",
]

#: local parts of mailboxes that belong to a machine
MACHINE_MAILBOXES = frozenset({"noreply", "no-reply", "no_reply", "donotreply", "do-not-reply", "mailer-daemon"})

_MOST_GIVEN = 4 * MAX_LENGTH  #: characters before normalising: a letter and three marks become one
_SHORT = 8  #: characters of a number whose national part may have fewer than four digits
#: channels whose addresses are numbers
_PHONE_CHANNELS = frozenset({"sms", "whatsapp", "voice"})


def normal_form(kind: str, value: str, region: str | None) -> Address | None:
    """Return the normal form of an identifier of any type; None if the value cannot be one.

    ``region`` is as in ``phone``.
    """
    if kind == "email":
        return email(value)
    if kind == "phone":
        return phone(value, region)
    given = value.strip()
    if len(given) > _MOST_GIVEN or not is_normalisable(given):
        return None
    text = normalised("NFC", given)
    return Address(text, text) if 0 < len(text) <= MAX_LENGTH else None


def readings(kind: str, value: str, own: str | None, home: str | None) -> Sequence[Address]:
    """Return what a value can mean, the likelier first: nothing, one identifier, or a number of two countries.

    ``own`` is the country of the person's address and goes before ``home``, the country of the connection. Both are as
    ``region`` in ``phone``.
    """
    first = normal_form(kind, value, own or home)
    if kind != "phone" or own is None or home is None or own == home or value.startswith("+"):
        return () if first is None else (first,)
    second = phone(value, home)
    return tuple(dict.fromkeys(one for one in (first, second) if one is not None))


def type_of_address(channel: str, address: str) -> str:
    """Return which type of identifier an address of a channel is. The channel ``all`` has e-mails and numbers.

    The answer is the same for an address as it was given and for its normal form.
    """
    if channel == "whatsapp" and any(map(str.isalpha, address)) and not has_extension(address):
        return "whatsapp_bsuid"  # WhatsApp's business-scoped user id, which is no number
    if channel in _PHONE_CHANNELS:
        return "phone"
    if channel == "all":
        return "email" if "@" in address else "phone"
    return channel


def of_address(channel: str, address: str) -> tuple[str, str]:
    """Return the identifier that an address in its normal form is.

    It ties a row of a ledger to the records that claim the address.
    """
    return (type_of_address(channel, address), address)


@lru_cache(maxsize=CACHED)
def identifies_nobody(kind: str, key: str) -> bool:
    """Whether a value is a placeholder: the mailbox of a machine, or a number that repeats one digit.

    The extension of a number does not matter.
    """
    if kind == "email":
        return key.partition("@")[0] in MACHINE_MAILBOXES
    if kind == "phone":
        number = key.partition(EXTENSION)[0]
        if len(number) > _SHORT and len({*number[-4:]} - {"0"}) > 1:
            # The last four digits belong to the national number. Two of them differ, so it does not repeat one digit.
            return False
        return len(set(str(phonenumbers.parse(number, None).national_number))) == 1
    return False
