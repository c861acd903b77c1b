"""Routes of channels: the connected accounts, and the profile that a provider shows of a person.

A look-up writes nothing and implies no consent. The Contacts API answers what is stored about a person.
"""

from datetime import datetime
from typing import Annotated, Literal

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from connectors.channels import CHANNELS
from connectors.channels.contract import (
    ConsentRequiredError,
    Identity,
    LookupNotSupportedError,
    NoSuchProfileError,
    Platform,
    ProfileError,
    ProviderLimitError,
    TokenRefusedError,
)
from worker import ids
from worker.api.auth import Caller, LookupKey
from worker.api.errors import ApiError
from worker.api.field_types import JsonSchema, Value
from worker.api.json_route import JsonRoute
from worker.api.loaded_contact import load_view
from worker.domain import identifiers
from worker.providers import profile_lookup
from worker.providers.profile_lookup import Found, ProviderTimeoutError
from worker.store import channels, contacts, db
from worker.store.channels import ChannelRow
from worker.store.db import Tx

log = structlog.get_logger()

router = APIRouter(prefix="/v1/channels", tags=["channels"], route_class=JsonRoute)

#: The answer to each error of a look-up: status, code, text.
_REFUSALS: dict[type[ProfileError], tuple[int, str, str]] = {
    NoSuchProfileError: (404, "profile_not_found", "no such profile"),
    ConsentRequiredError: (403, "consent_required", "the person has not agreed to be shown"),
    LookupNotSupportedError: (422, "lookup_not_supported", "this channel has no profile look-up"),
    ProviderLimitError: (429, "rate_limited", "the provider was asked too often, try again later"),
    ProviderTimeoutError: (504, "provider_timeout", "the provider did not answer in time"),
}
_FAILED = (502, "provider_error", "the provider failed")

Type = Annotated[
    Value, Field(description="A type of identifier that the channel's platform takes", examples=["telegram"])
]
ProviderId = Annotated[Value, Field(description="The provider's id of the person", examples=["5550001111"])]


class ChannelIdentity(BaseModel):
    """Who a provider is asked about."""

    type: Type
    value: ProviderId


#: The three ways to name a person.
_WAYS = (("type", "value"), ("identifier",), ("contact_id",))


def _exactly(*names: str) -> JsonSchema:
    """Schema: these fields are present and not null, and the fields of the other ways are absent or null."""
    others = [name for way in _WAYS for name in way if name not in names]
    fields: JsonSchema = {name: {"not": {"type": "null"}} for name in names}
    return {"required": list(names), "properties": fields | {name: {"type": "null"} for name in others}}


class ProfileLookupIn(BaseModel):
    """Who to ask the provider about: `type` and `value`, the same as `identifier`, or a `contact_id`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_exactly(*names) for names in _WAYS]})

    type: Type | None = None
    value: ProviderId | None = None
    identifier: ChannelIdentity | None = None
    contact_id: Value | None = Field(None, description="Use this contact's identity on the channel")
    refresh: bool = Field(default=False, description="Ask the provider again, where its own rules allow it")


class ChannelProfile(BaseModel):
    """What the provider shows; `null` for what it does not. Nothing of it is stored."""

    id: str
    name: str | None
    first_name: str | None
    last_name: str | None
    username: str | None
    avatar_url: str | None = Field(description="The provider's URL, which expires: copy the picture or drop it")
    avatar_expires_at: datetime | None
    locale: str | None
    country: str | None


class ProfileLookup(BaseModel):
    """A profile as a channel's provider shows it."""

    channel_id: str
    platform: str
    identity: ChannelIdentity
    profile: ChannelProfile
    contact_id: str | None = Field(description="The stored contact that this identity belongs to")
    fetched_at: datetime
    cached: bool


class ProfileAnswer(BaseModel):
    """One profile."""

    data: ProfileLookup


class Channel(BaseModel):
    """A connected account on a messaging platform."""

    id: str
    platform: str
    name: str
    status: Literal["connected"]


class ChannelList(BaseModel):
    """All connected channels, oldest first."""

    data: list[Channel]


@router.get("")
def list_channels(key: Caller) -> ChannelList:
    """List the connected channels."""
    with db.tenant_snapshot(key.organization_id) as tx:
        rows = channels.of_organization(tx)
    return ChannelList(
        data=[
            Channel(id=ids.show(ids.CHANNEL, row.id), platform=row.platform, name=row.name, status="connected")
            for row in rows
        ]
    )


@router.post("/{channel_id}/contacts/lookup")
def look_up_profile(key: LookupKey, channel_id: str, lookup: ProfileLookupIn) -> ProfileAnswer:
    """Ask the channel's provider what it shows of a person; reads only, and stores nothing."""
    _check_one_way(lookup)
    with db.tenant_snapshot(key.organization_id) as tx:
        channel = _load_channel(tx, channel_id)
        try:
            platform = _platform(channel)
        except LookupNotSupportedError as error:
            raise _refusal(channel, error) from None
        identity = _identity(tx, platform, lookup)
        contact_id = _load_contact_id(tx, identity)
    # The connection to Postgres is given back here, before the wait for the network.
    try:
        found = profile_lookup.lookups().look_up(channel, platform, identity, refresh=lookup.refresh)
    except ProfileError as error:
        raise _refusal(channel, error) from None
    return ProfileAnswer(data=_shown(channel, identity, found, contact_id))


def _check_one_way(lookup: ProfileLookupIn) -> None:
    """Raise ApiError (422) unless the request names the person in exactly one way."""
    has_pair = lookup.type is not None or lookup.value is not None
    given = [
        field
        for field, is_given in (
            ("type", has_pair),
            ("identifier", lookup.identifier is not None),
            ("contact_id", lookup.contact_id is not None),
        )
        if is_given
    ]
    if len(given) != 1:
        reason = "give one of: type and value, identifier, contact_id"
        raise _not_valid(*(given[1:] or ("type",)), reason=reason)
    if has_pair and lookup.type is None:
        raise _not_valid("type", reason="required with value")
    if has_pair and lookup.value is None:
        raise _not_valid("value", reason="required with type")


def _load_channel(tx: Tx, channel_id: str) -> ChannelRow:
    id_ = ids.parse(ids.CHANNEL, channel_id)
    row = None if id_ is None else channels.by_id(tx, id_)
    if row is None:
        raise ApiError(404, "channel not found")
    return row


def _platform(channel: ChannelRow) -> Platform:
    """Return the channel's platform.

    Raises LookupNotSupportedError if the platform shows no profiles, or if this release does not know the platform.
    """
    platform = CHANNELS.get(channel.platform)
    if platform is None or not platform.HAS_LOOKUP:
        raise LookupNotSupportedError("the platform shows nobody's profile")
    return platform


def _identity(tx: Tx, platform: Platform, lookup: ProfileLookupIn) -> Identity:
    if lookup.contact_id is not None:
        return _load_identity(tx, platform, lookup.contact_id)
    if lookup.identifier is not None:
        type_, value, within = lookup.identifier.type, lookup.identifier.value, "identifier."
    else:
        type_, value, within = lookup.type or "", lookup.value or "", ""
    if type_ not in platform.IDENTITY_TYPES:
        raise _not_valid(f"{within}type", reason=f"this channel takes {', '.join(platform.IDENTITY_TYPES)}")
    identity = platform.identity(type_, value)
    if identity is None:
        raise _not_valid(f"{within}value", reason=f"not the id of a person on {platform.name}")
    return identity


def _load_identity(tx: Tx, platform: Platform, contact_id: str) -> Identity:
    """Load the contact's identity on the channel: of the type that the platform prefers, the primary one first.

    Raises ApiError: 404 if there is no such contact, 422 if the contact has no identity on the platform.
    """
    identities = load_view(tx, contact_id).identities
    for type_ in platform.IDENTITY_TYPES:
        for stored in identities:
            if stored.type == type_ and (identity := platform.identity(type_, stored.value)) is not None:
                return identity
    raise _not_valid("contact_id", reason=f"the contact has no identity on {platform.name}")


def _load_contact_id(tx: Tx, identity: Identity) -> str | None:
    """Return the id of the contact that owns the identity; None if nobody does."""
    address = identifiers.normal_form(identity.type, identity.value, None)
    if address is None:
        return None
    stored_key = (identity.type, "", address.key)
    id_ = contacts.ids_by_keys(tx, [stored_key]).get(stored_key)
    return None if id_ is None else ids.show(ids.CONTACT, id_)


def _shown(channel: ChannelRow, identity: Identity, found: Found, contact_id: str | None) -> ProfileLookup:
    profile = found.profile
    return ProfileLookup(
        channel_id=ids.show(ids.CHANNEL, channel.id),
        platform=channel.platform,
        identity=ChannelIdentity(type=identity.type, value=identity.value),
        profile=ChannelProfile(
            id=profile.id,
            name=profile.name,
            first_name=profile.first_name,
            last_name=profile.last_name,
            username=profile.username,
            avatar_url=profile.avatar_url,
            avatar_expires_at=profile.avatar_expires_at,
            locale=profile.locale,
            country=profile.country,
        ),
        contact_id=contact_id,
        fetched_at=found.fetched_at,
        cached=found.is_cached,
    )


def _refusal(channel: ChannelRow, error: ProfileError) -> ApiError:
    """Return the answer to an error of a look-up, and log the details, because the operator may have to act on them."""
    status, code, text = _REFUSALS.get(type(error), _FAILED)
    headers = None
    about = {"channel_id": ids.show(ids.CHANNEL, channel.id), "platform": channel.platform}
    if isinstance(error, ProviderLimitError):
        headers = {"Retry-After": str(profile_lookup.seconds(error.retry_after))}
        log.warning("channel_limited", **about)
    elif isinstance(error, TokenRefusedError):
        log.error("channel_token_refused", **about, reason=str(error))
    elif status >= 500:
        log.warning("channel_lookup_failed", **about, code=code, reason=str(error))
    return ApiError(status, text, code=code, headers=headers)


def _not_valid(*fields: str, reason: str) -> ApiError:
    details = [{"field": field, "reason": reason} for field in fields]
    return ApiError(422, "the request is not valid", details=details)
