"""Types of single fields in requests: texts, addresses, times, custom fields, each with its checks and its schema.

Errors name the field and never quote the value, because it may be a person's.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints, WithJsonSchema

from connectors.cleaning import is_damaged, is_nobodys_id
from worker.domain import identifiers
from worker.domain.terms import API_SOURCE, GUEST

MAX_CUSTOM_FIELDS_BYTES = 64 * 1024
MAX_CUSTOM_FIELDS = 200
MAX_DEPTH = 8
MAX_NOTE = 10_000
MAX_EVIDENCE = 20

JsonSchema = dict[str, Any]


def _without_nul(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain NUL")
    return text


_PLAIN = AfterValidator(_without_nul)
#: A text is stripped, and some of it must be left. NEL is named because ECMA's \s does not include it.
_NOT_BLANK = Field(json_schema_extra={"pattern": r"[^\s\u0085]"})
Word = Annotated[str, StringConstraints(min_length=1, max_length=64, strip_whitespace=True), _PLAIN, _NOT_BLANK]
Line = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True), _PLAIN, _NOT_BLANK]
Remark = Annotated[str, StringConstraints(min_length=1, max_length=1000, strip_whitespace=True), _PLAIN, _NOT_BLANK]
NoteText = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_NOTE, strip_whitespace=True), _PLAIN, _NOT_BLANK
]
Proof = Annotated[str, StringConstraints(max_length=2048), _PLAIN]
#: ``additionalProperties`` is needed, because patterns of names alone would allow every other name.
Evidence = Annotated[
    dict[Word, Proof], Field(max_length=MAX_EVIDENCE, json_schema_extra={"additionalProperties": False})
]
#: An id, an address or a name to search the store for.
Value = Annotated[str, StringConstraints(min_length=1, max_length=512), _PLAIN]


def _checked(normal_form: Callable[[str], object], expected: str) -> AfterValidator:
    def check(value: str) -> str:
        if normal_form(value) is None:
            raise ValueError(expected)
        return value

    return AfterValidator(check)


#: Checked later, because a number in national form needs the organization's default region.
Phone = Annotated[Value, WithJsonSchema({"type": "string", "format": "phone", "examples": ["+6281234567890"]})]
Email = Annotated[
    Value,
    _checked(identifiers.given_email, "not an e-mail address"),
    WithJsonSchema({"type": "string", "format": "email", "examples": ["ujang@example.com"]}),
]


def _in_range(at: datetime) -> datetime:
    """Bring a time to UTC.

    The range stays clear of what cannot be stored: microseconds before 1970 are negative, and Python's calendar ends
    in 9999.
    """
    if not datetime(1970, 1, 2, tzinfo=UTC) <= at <= datetime(2200, 1, 1, tzinfo=UTC):
        raise ValueError("expected a time between 1970 and 2200")
    return at.astimezone(UTC)  # Checked first: it overflows in the first and last hours of Python's calendar.


def _is_text(value: object) -> object:
    """Refuse numbers, because we would have to guess between seconds and milliseconds."""
    if value is not None and not isinstance(value, str):
        raise ValueError("expected a time as text, like 2026-10-01T12:00:00Z")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_is_text), AfterValidator(_in_range)]


def _depth(value: object, levels: int = 0) -> int:
    if levels > MAX_DEPTH or not isinstance(value, dict | list):
        return levels
    inner = value.values() if isinstance(value, dict) else value
    return max((_depth(part, levels + 1) for part in inner), default=levels + 1)


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
    if external_id is not None and is_nobodys_id(external_id):
        raise ValueError("expected the id of a customer, got a word or sign for none")
    if external_id is not None and is_damaged(external_id):
        raise ValueError("expected all characters of the id, got a number that a spreadsheet has rounded")
    return external_id


ExternalSource = Annotated[Word, AfterValidator(_not_reserved_source), Field(examples=["shopify"])]
ExternalId = Annotated[Value, AfterValidator(_not_reserved_id), Field(examples=["cust_123"])]
