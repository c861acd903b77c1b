"""Readings: what an identifier or an address that an event gives can stand for.

A number without a country code can be one number in the country of its address and another at home (ADR 19). What can
be read in no way is told, never passed over.
"""

from collections.abc import Mapping, Sequence

from connectors.contract import Account, Identifier, MalformedPayloadError
from worker.domain import identifiers
from worker.domain.terms import GUEST

#: A claim as it is written into a register: type, key, value, and whether its source has verified it.
Claimed = tuple[str, str, str, bool]


def claim(identifier: Identifier | None, region: str | None) -> tuple[Claimed | None, str | None]:
    """Return the claim of an identifier; of a value that is none, return it as it was given."""
    if identifier is None:
        return None, None
    address = identifiers.normal_form(identifier.type, identifier.value, region)
    if address is None:
        return None, identifier.value
    return (identifier.type, address.key, address.value, identifier.verified), None


def has_two_readings(identifier: Identifier | None, account: Account, own: str | None) -> bool:
    """Return whether the text is one number in the country of its address and another in the connection's (ADR 19)."""
    if identifier is None or identifier.verified or own is None or account.region in (None, own):
        return False
    if identifier.value.startswith("+"):
        return False
    return len(identifiers.readings(identifier.type, identifier.value, own, account.region)) > 1


def unread(what: str) -> MalformedPayloadError:
    """Return the error for what cannot be read; it quotes nothing."""
    return MalformedPayloadError(f"cannot read {what}")


def guest_key(claims: Mapping[str, Claimed | None], uncertain: Claimed | None) -> str | None:
    """Return a guest's external id: its e-mail, else its number; None for a guest with neither, who is nobody.

    A number with two readings names the guest, too, but in a way that claims nothing.
    """
    for slot in ("email", "phone"):
        claim = claims.get(slot)
        if claim is not None:
            return f"{GUEST}{claim[0]}:{claim[1]}"
    return None if uncertain is None else f"{GUEST}{uncertain[0]}?:{uncertain[1]}"


def addresses(channel: str, value: str | None, home: str | None, own: str | None) -> Sequence[str]:
    """Return the readings of an address of a channel, the likelier first; none if it is missing.

    Raises MalformedPayloadError if it cannot be read.
    """
    if value is None:
        return ()
    kind = identifiers.type_of_address(channel, value)
    if kind == "phone" and own is not None and home not in (None, own) and not value.startswith("+"):
        read = [reading.key for reading in identifiers.readings(kind, value, own, home)]
    else:
        found = identifiers.normal_form(kind, value, own or home)
        read = [] if found is None else [found.key]
    if not read:
        raise unread(f"the address ({kind}) that a statement about {channel} is for")
    return read
