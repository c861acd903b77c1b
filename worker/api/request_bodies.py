"""Bodies of requests to the Contacts API. Each field is checked before the request touches the store.

An absent field changes nothing, and ``null`` clears the field. Unknown fields are ignored, as the hosted API does.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from connectors.contract import Channel, ConsentStatus, Purpose, Scope, SuppressionReason
from worker.api.field_types import (
    CustomFields,
    Email,
    Evidence,
    ExternalId,
    ExternalSource,
    JsonSchema,
    Line,
    NoteText,
    Phone,
    Remark,
    Time,
    Value,
    Word,
)

MAX_IDENTIFIERS = 20
MAX_TAGS = 100
MAX_ROWS = 1000

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
LegalBasis = Literal[
    "consent_with_notice",
    "legitimate_interest_client",
    "legitimate_interest_pql",
    "legitimate_interest_other",
    "performance_of_contract",
    "process_and_store",
    "non_gdpr",
]
#: How Klaviyo, Twilio, HubSpot and Intercom spell the four states.
_STATUSES = {
    "subscribed": "opted_in",
    "opt_in": "opted_in",
    "unsubscribed": "opted_out",
    "opt_out": "opted_out",
    "never_subscribed": "unknown",
    "not_specified": "unknown",
}


def _present(*names: str) -> JsonSchema:
    """Schema: these fields are present and not null."""
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


def _absent(*names: str) -> JsonSchema:
    """Schema: these fields are absent or null."""
    return {"properties": {name: {"type": "null"} for name in names}}


def _together(*names: str) -> JsonSchema:
    return {"oneOf": [_present(*names), _absent(*names)]}


def _one_of(*names: str) -> JsonSchema:
    options = []
    for name in names:
        present, others = _present(name), _absent(*(other for other in names if other != name))
        options.append({**present, "properties": present["properties"] | others["properties"]})
    return {"oneOf": options}


class Profile(BaseModel):
    """Fields of a contact that can be written."""

    phone_number: Phone | None = Field(None, description="E.164, or in national form where a default region is set")
    name: Line | None = Field(None, examples=["Ujang"])
    email: Email | None = None
    external_source: ExternalSource | None = Field(None, description="Goes together with `external_id`")
    external_id: ExternalId | None = Field(None, validate_default=True)
    custom_fields: CustomFields | None = None

    @field_validator("external_id")
    @classmethod
    def _is_whole_pair(cls, external_id: str | None, info: ValidationInfo) -> str | None:
        if "external_source" in info.data and (info.data["external_source"] is None) != (external_id is None):
            raise ValueError("external_source and external_id go together")
        return external_id

    @property
    def pair(self) -> tuple[str, str] | None:
        """The customer that the request names, as (external_source, external_id); None if it names none."""
        if self.external_source is None or self.external_id is None:
            return None
        return (self.external_source, self.external_id)


class ContactIn(Profile):
    """A contact to create, or to update where one of its identifiers is known."""

    tags: list[Line] | None = Field(None, max_length=MAX_TAGS, description="Added to those it has")

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [_present("phone_number"), _present("email"), _present("external_source")],
            **_together("external_source", "external_id"),
        }
    )

    @model_validator(mode="after")
    def _is_somebody(self) -> "ContactIn":
        if self.phone_number is None and self.email is None and self.pair is None:
            raise ValueError("expected at least one of phone_number, email, external_source with external_id")
        return self


class ContactPatch(Profile):
    """Fields to set; ``null`` lets the sources' value show again."""

    model_config = ConfigDict(json_schema_extra=_together("external_source", "external_id"))


class IdentifierIn(BaseModel):
    """Something that a caller knows of a contact."""

    type: IdentifierType
    value: Value
    source: Value | None = Field(None, description="Required for `external_id`", validate_default=True)

    model_config = ConfigDict(
        json_schema_extra={
            "if": {"properties": {"type": {"const": "external_id"}}},
            "then": _present("source"),
        }
    )

    @field_validator("source")
    @classmethod
    def _is_complete(cls, source: str | None, info: ValidationInfo) -> str | None:
        if source is None and info.data.get("type") == "external_id":
            raise ValueError("required for external_id")
        return source


class ResolveIn(BaseModel):
    """Identifiers of one contact; those that nobody has are ignored."""

    identifiers: list[IdentifierIn] = Field(min_length=1, max_length=MAX_IDENTIFIERS)


def _rows(of: str) -> JsonSchema:
    """Schema: rows of a known form. Each is checked by itself, so a row of another form does not refuse the others."""
    return {"items": {"anyOf": [{"$ref": f"#/components/schemas/{of}"}, {}]}}


class ContactsIn(BaseModel):
    """Contacts to create or to update; rows about one person apply in their order."""

    contacts: list[Any] = Field(
        min_length=1,
        max_length=MAX_ROWS,
        description="Each as in `POST /v1/contacts`",
        json_schema_extra=_rows("ContactIn"),
    )


class ResolvesIn(BaseModel):
    """Contacts to find, each by what is known of it."""

    contacts: list[Any] = Field(
        min_length=1,
        max_length=MAX_ROWS,
        description="Each as in `POST /v1/contacts/resolve`",
        json_schema_extra=_rows("ResolveIn"),
    )


class NoteIn(BaseModel):
    """A note; ``content`` is another name for ``body``."""

    body: NoteText | None = None
    content: NoteText | None = None
    author_name: Line | None = None

    model_config = ConfigDict(json_schema_extra=_one_of("body", "content"))

    @model_validator(mode="after")
    def _says_something(self) -> "NoteIn":
        if (self.body is None) == (self.content is None):
            raise ValueError("expected body (or its other name, content)")
        return self


class TagsIn(BaseModel):
    """Tags to assign: one by name, one by id, or several by name."""

    name: Line | None = None
    tag_id: Value | None = None
    tags: Annotated[list[Line], Field(min_length=1, max_length=MAX_TAGS)] | None = None

    model_config = ConfigDict(json_schema_extra=_one_of("name", "tag_id", "tags"))

    @model_validator(mode="after")
    def _is_one_of_them(self) -> "TagsIn":
        if [self.name, self.tag_id, self.tags].count(None) != 2:
            raise ValueError("expected exactly one of name, tag_id, tags")
        return self


def _status(value: object) -> object:
    if not isinstance(value, str):
        return value
    word = value.strip().lower().replace("-", "_")
    return _STATUSES.get(word, word)


class ConsentIn(BaseModel):
    """What the person wants on a channel."""

    status: Annotated[ConsentStatus, BeforeValidator(_status)]
    purpose: Purpose = "marketing"
    source: Word | None = Field(None, description="Where the person said so; `api` by default")
    method: Word | None = Field(None, examples=["form"])
    occurred_at: Time | None = Field(None, description="When the person decided; the time of the request by default")
    evidence: Evidence | None = None
    legal_basis: LegalBasis | None = None
    expires_at: Time | None = None


class SuppressionIn(BaseModel):
    """An address that must not be used, or (``active: false``) may be again."""

    channel: Channel | Literal["all"]
    reason: SuppressionReason
    scope: Scope = "all"
    address: Value | None = Field(None, description="The contact's own on this channel by default")
    source: Word | None = Field(None, description="Who says so; `api` by default")
    note: Remark | None = None
    occurred_at: Time | None = None
    active: bool = True
    expires_at: Time | None = Field(
        None, description="`null`: for good. Required for `soft_bounce`", validate_default=True
    )

    model_config = ConfigDict(
        json_schema_extra={
            "if": {
                "properties": {"reason": {"const": "soft_bounce"}, "active": {"const": True}},
                "required": ["reason"],
            },
            "then": _present("expires_at"),
        }
    )

    @field_validator("expires_at")
    @classmethod
    def _ends(cls, expires_at: datetime | None, info: ValidationInfo) -> datetime | None:
        if expires_at is None and info.data.get("reason") == "soft_bounce" and info.data.get("active"):
            raise ValueError("required for soft_bounce")
        return expires_at
