"""Terms: the words that every rule uses."""

from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

#: an identifier as (type, key), e.g. ("phone", "+6281234567890")
Ident = tuple[str, str]
#: a record as (source, external_id)
Ref = tuple[str, str]
#: a guest bought without being a customer
Kind = Literal["customer", "guest"]

#: The source of an API request that names no other source. Its records are edits of a person, not customers of a
#: shop: they join the person that they are about, and rank as the oldest record only where no other record is left.
API_SOURCE = "api"
#: prefix of a guest's external id
GUEST = "guest:"


class Stamp(NamedTuple):
    """When and where a statement was made. Stamps are compared as a whole; the time of arrival is no part of them.

    Times are microseconds since 1970. 0 is an unknown time: a baseline, which beats no statement that has a time.
    """

    occurred: int
    sent: int
    delivery_id: str
    position: int
    envelope_id: str  #: hex; each delivery has one envelope, and the change log names it as the cause


class Claim(NamedTuple):
    """An identifier that a record claims, in its normal form."""

    type: str
    key: str
    value: str
    is_verified: bool  #: the source has proof of it


@dataclass(frozen=True, slots=True)
class Decision:
    """A statement that two records are one person (link, source_merge), or are two people (apart).

    In a source_merge the source kept ``a`` and gave up ``b``.
    """

    kind: Literal["link", "apart", "source_merge"]
    a: Ref
    b: Ref
    occurred: int  #: microseconds, 0 for unknown
    tie: str  #: decides between two decisions of one time

    @property
    def strength(self) -> tuple[bool, int, str, str, Ref, Ref]:
        """Rank a decision: an operator's beats a source's, then the newest beats the older."""
        return (self.kind != "source_merge", self.occurred, self.tie, self.kind, self.a, self.b)


def envelope_of(stamp: Stamp) -> UUID:
    """Return the id of the envelope that a statement came in."""
    return UUID(hex=stamp.envelope_id)
