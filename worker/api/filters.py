"""The query of the list of contacts."""

from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

from worker import identifiers
from worker.api.asked import Email, Line, Phone, Time, Value
from worker.api.errors import not_valid
from worker.api.paging import Paging
from worker.store.contact_terms import words

#: shorter beginnings of words match so many that their list says nothing
MIN_SEARCH = 2


class Filters(Paging):
    """Which contacts are wanted, and which page of them; all filters given have to fit."""

    model_config = ConfigDict(extra="forbid")

    search: Annotated[str, StringConstraints(min_length=MIN_SEARCH, max_length=255)] | None = Field(
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

    @field_validator("search")
    @classmethod
    def _has_words(cls, search: str | None) -> str | None:
        if search is not None and (not words(search) or "\x00" in search):
            raise ValueError("expected letters or digits")
        return search

    @field_validator("external_id")
    @classmethod
    def _is_whole_pair(cls, external_id: str | None, info: ValidationInfo) -> str | None:
        if "external_source" in info.data and (info.data["external_source"] is None) != (external_id is None):
            raise ValueError("external_source and external_id go together")
        return external_id

    def keys(self, region: str | None) -> list[tuple[str, str, str]]:
        """What the contacts must hold, as (type, source, key)."""
        keys = []
        if self.phone_number is not None:
            phone = identifiers.given_phone(self.phone_number, region)
            if phone is None:
                raise not_valid("phone_number", "not a phone number in international form")
            keys.append(("phone", "", phone.key))
        if self.email is not None and (email := identifiers.email(self.email)):
            keys.append(("email", "", email.key))
        if self.external_source is not None and self.external_id is not None:
            keys.append(("external_id", self.external_source, self.external_id))
        return keys
