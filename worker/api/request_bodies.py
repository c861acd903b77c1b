"""What is asked: bodies and queries of the Contacts API, checked field by field before anything is touched.

A field that is absent says nothing, ``null`` clears. Unknown fields of a body are ignored, as the hosted
API does; unknown parameters of a query are refused, because a filter that is ignored answers the wrong people.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from connectors.contract import Channel, ConsentStatus, Scope, SuppressionReason
from worker.domain import identifiers
from worker.domain.terms import API_SOURCE, GUEST

MAX_IDENTIFIERS = 20
MAX_CUSTOM_FIELDS_BYTES = 64 * 1024
MAX_CUSTOM_FIELDS = 200
MAX_DEPTH = 8
MAX_TAGS = 100
MAX_NOTE = 10_000
MAX_EVIDENCE = 20

JsonSchema = dict[str, Any]
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
Purpose = Literal["marketing", "transactional", "conversational"]
LegalBasis = Literal[
    "consent_with_notice",
    "legitimate_interest_client",
    "legitimate_interest_pql",
    "legitimate_interest_other",
    "performance_of_contract",
    "process_and_store",
    "non_gdpr",
]
#: how other systems spell the four states (Klaviyo, Twilio, HubSpot, Intercom)
_STATUSES = {
    "subscribed": "opted_in",
    "opt_in": "opted_in",
    "unsubscribed": "opted_out",
    "opt_out": "opted_out",
    "never_subscribed": "unknown",
    "not_specified": "unknown",
}


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


_PLAIN = AfterValidator(_without_nul)
#: what the document says of a text that is stripped: something must be left (ECMA does not count NEL as space)
_SOME = Field(json_schema_extra={"pattern": r"[^\s\u0085]"})
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True), _PLAIN, _SOME]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True), _PLAIN, _SOME]
Remark = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True), _PLAIN, _SOME]
NoteText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NOTE, strip_whitespace=True), _PLAIN, _SOME]
Proof = Annotated[str, StringConstraints(max_length=2048), _PLAIN]
#: names that are not words are refused, which patterns of names alone do not say
Evidence = Annotated[
    dict[Word, Proof], Field(max_length=MAX_EVIDENCE, json_schema_extra={"additionalProperties": False})
]
#: a value that may name something in the store
Value = Annotated[str, StringConstraints(min_length=1, max_length=512), _PLAIN]


def _checked(what: Callable[[str], object], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if what(value) is None:
            raise ValueError(expected)
        return value

    return AfterValidator(check)


#: numbers are read again with the organization's default region, which is not known here
Phone = Annotated[Value, WithJsonSchema({"type": "string", "format": "phone", "examples": ["+6281234567890"]})]
Email = Annotated[
    Value,
    _checked(identifiers.email, "not an e-mail address"),
    WithJsonSchema({"type": "string", "format": "email", "examples": ["ujang@example.com"]}),
]


def _in_the_past(at: datetime) -> datetime:
    """Bring a time to UTC; PostgreSQL ends in the year 294276, Python in 9999, and microseconds before 1970 are odd."""
    if not datetime(1970, 1, 2, tzinfo=UTC) <= at <= datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("expected a time between 1970 and 2200")
    return at.astimezone(UTC)  # which the first and last hours of Python's calendar would not survive


def _is_text(value: object) -> object:
    """Refuse numbers: seconds and milliseconds would be guessed."""
    if value is not None and not isinstance(value, str):
        raise ValueError("expected a time as text, like 2026-10-01T12:00:00Z")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_is_text), AfterValidator(_in_the_past)]


def _depth(value: object, levels: int = 0) -> int:
    if levels > MAX_DEPTH or not isinstance(value, dict | list):
        return levels
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(one, levels + 1) for one in inner), default=levels + 1)


def _custom_fields(fields: dict[str, Any]) -> dict[str, Any]:
    if len(fields) > MAX_CUSTOM_FIELDS:
        raise ValueError(f"expected at most {MAX_CUSTOM_FIELDS} fields")
    if _depth(fields) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if any(not 0 < len(name) <= 255 for name in fields):
        raise ValueError("expected names of 1 to 255 characters")
    written = orjson.dumps(fields)
    if len(written) > MAX_CUSTOM_FIELDS_BYTES:
        raise ValueError(f"larger than {MAX_CUSTOM_FIELDS_BYTES} bytes")
    if b"\\u0000" in written and _has_nul(fields):
        raise ValueError("must not contain NUL")
    return fields


def _has_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any(_has_nul(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return any(map(_has_nul, value))
    return isinstance(value, str) and "\x00" in value


CustomFields = Annotated[
    dict[str, Any],
    AfterValidator(_custom_fields),
    Field(
        description=f"Merged field by field; `null` removes one. At most {MAX_DEPTH} levels and 64 KiB",
        examples=[{"tier": "premium"}],
        json_schema_extra={"maxProperties": MAX_CUSTOM_FIELDS, "propertyNames": {"minLength": 1, "maxLength": 255}},
    ),
]


def _not_reserved_source(source: str | None) -> str | None:
    if source == API_SOURCE:
        raise ValueError(f"{API_SOURCE!r} is the name of this API itself; leave both fields out to use it")
    return source


def _not_reserved_id(external_id: str | None) -> str | None:
    if external_id is not None and external_id.startswith(GUEST):
        raise ValueError(f"ids that begin with {GUEST!r} stand for guests of a shop")
    return external_id


ExternalSource = Annotated[Word, AfterValidator(_not_reserved_source), Field(examples=["shopify"])]
ExternalId = Annotated[Value, AfterValidator(_not_reserved_id), Field(examples=["cust_123"])]


def _given(*names: str) -> JsonSchema:
    """What the document says of fields that have to be there, and not null."""
    return {"required": list(names), "properties": {name: {"not": {"type": "null"}} for name in names}}


def _left_out(*names: str) -> JsonSchema:
    return {"properties": {name: {"type": "null"} for name in names}}


def _together(*names: str) -> JsonSchema:
    return {"oneOf": [_given(*names), _left_out(*names)]}


def _one_of(*names: str) -> JsonSchema:
    options = []
    for name in names:
        given, others = _given(name), _left_out(*(other for other in names if other != name))
        options.append({**given, "properties": given["properties"] | others["properties"]})
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
        """The customer that the request names."""
        if self.external_source is None or self.external_id is None:
            return None
        return (self.external_source, self.external_id)


class ContactIn(Profile):
    """A contact to create, or to update where one of its identifiers is known."""

    tags: list[Line] | None = Field(None, max_length=MAX_TAGS, description="Added to those it has")

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [_given("phone_number"), _given("email"), _given("external_source")],
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
            "then": _given("source"),
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


def _status(given: object) -> object:
    if not isinstance(given, str):
        return given
    word = given.strip().lower().replace("-", "_")
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
            "then": _given("expires_at"),
        }
    )

    @field_validator("expires_at")
    @classmethod
    def _ends(cls, expires_at: datetime | None, info: ValidationInfo) -> datetime | None:
        if expires_at is None and info.data.get("reason") == "soft_bounce" and info.data.get("active"):
            raise ValueError("required for soft_bounce")
        return expires_at
