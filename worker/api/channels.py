"""Channels: what is connected, and what a provider shows of a person.

The look-up reads: no contact is made or changed by it, and no consent is implied. What is stored about a
person is asked of the Contacts API.
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

#: error -> (status, code, text)
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


_WAYS = (("type", "value"), ("identifier",), ("contact_id",))


def _only(*given: str) -> JsonSchema:
    """One way to ask, as the document says it: these fields, and none of the other ways."""
    others = [name for way in _WAYS for name in way if name not in given]
    fields: JsonSchema = {name: {"not": {"type": "null"}} for name in given}
    return {"required": list(given), "properties": fields | {name: {"type": "null"} for name in others}}


class ProfileLookupIn(BaseModel):
    """Who to ask the provider about: `type` and `value`, the same as `identifier`, or a `contact_id`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_only(*names) for names in _WAYS]})

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
def look_up_profile(key: LookupKey, channel_id: str, asked: ProfileLookupIn) -> ProfileAnswer:
    """Ask the channel's provider what it shows of a person; reads only, and stores nothing."""
    _check_that_one_is_given(asked)
    with db.tenant_snapshot(key.organization_id) as tx:
        channel = _channel(tx, channel_id)
        try:
            platform = _platform(channel)
        except LookupNotSupportedError as error:
            raise _refusal(channel, error) from None
        identity = _identity(tx, platform, asked)
        holder = _holder(tx, identity)
    # The network is waited for without a connection to Postgres.
    try:
        found = profile_lookup.lookups().look_up(channel, platform, identity, refresh=asked.refresh)
    except ProfileError as error:
        raise _refusal(channel, error) from None
    return ProfileAnswer(data=_shown(channel, identity, found, holder))


def _check_that_one_is_given(asked: ProfileLookupIn) -> None:
    has_pair = asked.type is not None or asked.value is not None
    given = [
        field
        for field, is_given in (
            ("type", has_pair),
            ("identifier", asked.identifier is not None),
            ("contact_id", asked.contact_id is not None),
        )
        if is_given
    ]
    if len(given) != 1:
        reason = "give one of: type and value, identifier, contact_id"
        raise _not_valid(*(given[1:] or ("type",)), reason=reason)
    if has_pair and asked.type is None:
        raise _not_valid("type", reason="required with value")
    if has_pair and asked.value is None:
        raise _not_valid("value", reason="required with type")


def _channel(tx: Tx, channel_id: str) -> ChannelRow:
    id_ = ids.parse(ids.CHANNEL, channel_id)
    row = None if id_ is None else channels.by_id(tx, id_)
    if row is None:
        raise ApiError(404, "channel not found")
    return row


def _platform(channel: ChannelRow) -> Platform:
    """The channel's platform; raises LookupNotSupportedError if it shows nobody, or this release knows none."""
    platform = CHANNELS.get(channel.platform)
    if platform is None or not platform.HAS_LOOKUP:
        raise LookupNotSupportedError("the platform shows nobody's profile")
    return platform


def _identity(tx: Tx, platform: Platform, asked: ProfileLookupIn) -> Identity:
    if asked.contact_id is not None:
        return _of_contact(tx, platform, asked.contact_id)
    if asked.identifier is not None:
        type_, value, within = asked.identifier.type, asked.identifier.value, "identifier."
    else:
        type_, value, within = asked.type or "", asked.value or "", ""
    if type_ not in platform.IDENTITY_TYPES:
        raise _not_valid(f"{within}type", reason=f"this channel takes {', '.join(platform.IDENTITY_TYPES)}")
    identity = platform.identity(type_, value)
    if identity is None:
        raise _not_valid(f"{within}value", reason=f"not the id of a person on {platform.name}")
    return identity


def _of_contact(tx: Tx, platform: Platform, contact_id: str) -> Identity:
    """The contact's identity on the channel: of the type that the platform prefers, the primary one first."""
    identities = load_view(tx, contact_id).identities
    for type_ in platform.IDENTITY_TYPES:
        for held in identities:
            if held.type == type_ and (identity := platform.identity(type_, held.value)) is not None:
                return identity
    raise _not_valid("contact_id", reason=f"the contact has no identity on {platform.name}")


def _holder(tx: Tx, identity: Identity) -> str | None:
    address = identifiers.normal_form(identity.type, identity.value, None)
    if address is None:
        return None
    place = (identity.type, "", address.key)
    id_ = contacts.owners(tx, [place]).get(place)
    return None if id_ is None else ids.show(ids.CONTACT, id_)


def _shown(channel: ChannelRow, identity: Identity, found: Found, holder: str | None) -> ProfileLookup:
    shown = found.profile
    return ProfileLookup(
        channel_id=ids.show(ids.CHANNEL, channel.id),
        platform=channel.platform,
        identity=ChannelIdentity(type=identity.type, value=identity.value),
        profile=ChannelProfile(
            id=shown.id,
            name=shown.name,
            first_name=shown.first_name,
            last_name=shown.last_name,
            username=shown.username,
            avatar_url=shown.avatar_url,
            avatar_expires_at=shown.avatar_expires_at,
            locale=shown.locale,
            country=shown.country,
        ),
        contact_id=holder,
        fetched_at=found.fetched_at,
        cached=found.is_cached,
    )


def _refusal(channel: ChannelRow, error: ProfileError) -> ApiError:
    """Answer for a provider; what it says in detail is for the log, because some of it needs the operator."""
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
