"""Explanations: why a contact is this person, and why others who share something with it are not in it."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from worker import api_schemas, ids
from worker.domain.terms import Ref
from worker.domain.times import moment
from worker.pipeline import explain


class RecordName(BaseModel):
    """What a source calls one of its customers."""

    source: str
    external_id: str


class JoinedBy(BaseModel):
    """An identifier that several records of the contact claim, so that they are one person."""

    type: str
    value: str
    records: list[RecordName]


class DecidedBy(BaseModel):
    """An operator or a source decided that two records are one person, or that they are not."""

    kind: str  #: link, apart or source_merge; a newer one about the same two replaces an older one
    records: list[RecordName]
    occurred_at: datetime | None


class NotJoined(BaseModel):
    """An identifier that others have too. It did not make them one person with the contact."""

    type: str
    value: str
    #: kept_apart, two_customers_of_one_source, names_disagree, component_too_large, identifies_nobody,
    #: evidence (a guest typed it), no_longer_claimed, contested (a stronger claim was in the way)
    reason: str
    contact_id: str | None  #: the others; null if the value identifies nobody


class Given(BaseModel):
    """What an identifier of the request leads to."""

    field: str
    standing: str  #: found, identifies_nobody, evidence, no_longer_claimed, unknown, not_valid


class FullRecord(BaseModel):
    """A record of the contact that has left something out, because more was stated than a record keeps."""

    record: RecordName
    left_out: list[str]  #: custom_fields, tags, identifiers; what was stated last is kept


class Explanation(BaseModel):
    """Why the contact is this person, and why others are not in it."""

    given: list[Given]  #: the identifiers of the request, in their order
    joined_by: list[JoinedBy]
    decided_by: list[DecidedBy]
    not_joined: list[NotJoined]
    full: list[FullRecord]

    @classmethod
    def of(cls, explanation: explain.Explanation, standings: Sequence[str]) -> "Explanation":
        """Return the JSON of an explanation; ``standings`` are those of the identifiers of the request."""
        return cls(
            given=[
                Given(field=f"identifiers[{position}]", standing=_code(standing))
                for position, standing in enumerate(standings)
            ],
            joined_by=[
                JoinedBy(type=shared.ident[0], value=shared.value, records=_names(shared.refs))
                for shared in explanation.joined
            ],
            decided_by=[
                DecidedBy(kind=made.kind, records=_names((made.a, made.b)), occurred_at=moment(made.occurred))
                for made in explanation.decisions
            ],
            not_joined=[
                NotJoined(
                    type=apart.ident[0],
                    value=apart.value,
                    reason=_code(apart.cause),
                    contact_id=None if apart.contact_id is None else ids.show(ids.CONTACT, apart.contact_id),
                )
                for apart in explanation.apart
            ],
            full=[FullRecord(record=_names([ref])[0], left_out=kinds) for ref, kinds in explanation.full],
        )


class ResolveAnswer(BaseModel):
    """The contact, and with ``explain=true`` why it is this one."""

    data: api_schemas.Contact
    explanation: Explanation | None = None  #: absent unless asked for


def why_apart(explained: Mapping[UUID, explain.Explanation], contact_id: UUID) -> str:
    """Return why this contact is none of the other explained ones, as ``phone: names disagree``."""
    causes = {
        f"{apart.ident[0]}: {apart.cause}"
        for apart in explained[contact_id].apart
        if apart.contact_id is not None and apart.contact_id in explained
    }
    return ", ".join(sorted(causes)) or "nothing ties them"


def _code(cause: str) -> str:
    return cause.replace(" ", "_")


def _names(refs: Iterable[Ref]) -> list[RecordName]:
    return [RecordName(source=source, external_id=external_id) for source, external_id in refs]
