"""Terms: the words that every rule uses."""

from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

#: (type, key), e.g. ("phone", "+6281234567890")
Ident = tuple[str, str]


#: (source, external_id)
Ref = tuple[str, str]


#: the source of what is entered through the API without naming another. Its records are edits of a person, not
#: customers of a shop: they join whomever they are about, and are nobody's oldest record while another stands
API_SOURCE = "api"


#: leads the external id of somebody who bought without being a customer
GUEST = "guest:"


#: registers beside the profile fields
CREATED = "#created"  #: the record's creation at its source, microseconds


IDENTIFIER = "@"  #: prefix of an identifier's slot: ``@email``


Kind = Literal["customer", "guest"]


class Stamp(NamedTuple):
    """When and where something was said; compared as a whole, never by arrival.

    Times are microseconds since 1970, 0 for unknown (a baseline that beats nothing timed).
    """

    occurred: int
    sent: int
    delivery_id: str
    position: int
    envelope_id: str  #: hex; one to one with the delivery id, kept to explain the value


class Claim(NamedTuple):
    """An identifier in its normal form, with the proof the source has of it."""

    type: str
    key: str
    value: str
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """Two records are one person (link, source_merge: ``a`` was kept, ``b`` lost) or are not (apart)."""

    kind: Literal["link", "apart", "source_merge"]
    a: Ref
    b: Ref
    occurred: int  #: microseconds, 0 for unknown
    tie: str

    @property
    def strength(self) -> tuple[bool, int, str, str, Ref, Ref]:
        """An operator's word beats a source's; then the newest counts."""
        return (self.kind != "source_merge", self.occurred, self.tie, self.kind, self.a, self.b)


def envelope_of(stamp: Stamp) -> UUID:
    """Return the envelope that made a statement."""
    return UUID(hex=stamp.envelope_id)
