"""The query of the list of contacts. An unknown filter is refused: ignored, it would let other contacts through."""

from collections import Counter
from typing import Annotated, Literal

from fastapi import Request
from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from worker.api.errors import not_valid
from worker.api.field_types import Email, Line, Phone, Time, Value
from worker.api.paging import Change, Paging, Place
from worker.domain import identifiers
from worker.store.contact_lists import MIN_WORD
from worker.store.contact_terms import words

#: fields that some contacts fit and others do not
_FILTERS = ("search", "phone_number", "email", "external_source", "external_id", "tag", "created_after")
_SEARCHABLE = Field(json_schema_extra={"pattern": r"\w\w"})


def given_once(request: Request) -> None:
    """Refuse a parameter that is given twice, because only one of its values would count."""
    counts = Counter(name for name, _ in request.query_params.multi_items())
    if (name := next((name for name, count in counts.items() if count > 1), None)) is not None:
        raise not_valid(name, "given more than once")


class Filters(Paging):
    """Which contacts to list, and which page of them. A contact is listed if every given filter fits."""

    model_config = ConfigDict(extra="forbid")
    _orders = (Place, Change)

    search: Annotated[str, StringConstraints(min_length=MIN_WORD, max_length=255), _SEARCHABLE] | None = Field(
        None, description="Beginnings of words of the name, or of an e-mail address or phone number"
    )
    phone_number: Phone | None = None
    email: Email | None = None
    external_source: Value | None = Field(None, description="Goes together with `external_id`")
    external_id: Value | None = Field(None, validate_default=True)
    tag: Line | None = None
    updated_after: Time | None = Field(
        None, description="Changed since then, oldest change first: a feed to keep another system in step with"
    )
    created_after: Time | None = None
    include: Literal["removed"] | None = Field(
        None,
        description=(
            "`removed`: the feed also has a row for each contact that was removed, merged or erased. "
            "Goes together with `updated_after`, or a cursor that it led to, and with no filter"
        ),
    )

    @field_validator("search")
    @classmethod
    def _has_words(cls, search: str | None) -> str | None:
        if search is not None and ("\x00" in search or all(len(word) < MIN_WORD for word in words(search))):
            raise ValueError(f"expected words of at least {MIN_WORD} letters or digits")
        return search

    @field_validator("external_id")
    @classmethod
    def _is_whole_pair(cls, external_id: str | None, info: ValidationInfo) -> str | None:
        if "external_source" in info.data and (info.data["external_source"] is None) != (external_id is None):
            raise ValueError("external_source and external_id go together")
        return external_id

    def includes_removed(self) -> bool:
        """Return whether the page also shows contacts that are gone.

        Raises ApiError (422) if the page is none of the feed, or if there is a filter, which no removed contact fits.
        """
        if self.include is None:
            return False
        if self.updated_after is None and self.after is None:
            raise not_valid("include", "goes together with updated_after, or with a cursor that it led to")
        if (name := next((name for name in _FILTERS if getattr(self, name) is not None), None)) is not None:
            raise not_valid(name, "does not go together with include=removed, because a removed contact fits no filter")
        return True

    def keys(self, region: str | None) -> list[tuple[str, str, str]]:
        """Return the identifiers that a contact must claim, as (type, source, key).

        Raises ApiError (422) if the phone number is not a number in the region.
        """
        keys = []
        if self.phone_number is not None:
            phone = identifiers.given_phone(self.phone_number, region)
            if phone is None:
                raise not_valid("phone_number", "not a phone number in international form")
            keys.append(("phone", "", phone.key))
        if self.email is not None and (email := identifiers.given_email(self.email)):
            keys.append(("email", "", email.key))
        if self.external_source is not None and self.external_id is not None:
            keys.append(("external_id", self.external_source, self.external_id))
        return keys
