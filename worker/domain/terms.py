"""Terms: the words that every rule uses."""

from dataclasses import dataclass
from typing import Literal, NamedTuple
from uuid import UUID

#: longer identifiers are refused: the b-tree holds 2,704 bytes, and no real one comes near
MAX_LENGTH = 255
#: normal forms that are remembered: those of some batches, because a batch states the same address several times
CACHED = 8192


class Address(NamedTuple):
    """An identifier in its normal form: ``key`` to compare by, ``value`` to show."""

    key: str
    value: str


#: an identifier as (type, key), e.g. ("phone", "+6281234567890")
Ident = tuple[str, str]
#: a record as (source, external_id)
Ref = tuple[str, str]
#: A guest bought without being a customer. A person was created through the API, and is no customer of a shop. An edit
#: is what the API says about a person whom other records are of.
Kind = Literal["customer", "guest", "person", "edit"]

#: the source of an API request that names no other source: its records are persons and edits
API_SOURCE = "api"
#: prefix of a guest's external id, and of a person's that is named after an identifier
GUEST = "guest:"
#: prefix of an edit's external id; the first of the records that it is about comes behind it
EDIT = "edit:"
#: the same in early releases, with a contact's id behind it
_OLD_EDIT = "cnt_"


class Stamp(NamedTuple):
    """When and where a statement was made. Stamps are compared as a whole; the time of arrival is no part of them.

    Times are microseconds since 1970. 0 is an unknown time: a baseline, which beats no statement that has a time.
    """

    occurred: int
    sent: int
    delivery_id: str
    position: int
    envelope_id: str  #: hex; each delivery has one envelope, and the change log names it as the cause


def kind_of(ref: Ref) -> Kind:
    """Return what a record is of. Its key tells, so that no envelope can say otherwise."""
    source, external_id = ref
    if source == API_SOURCE:
        return "edit" if external_id.startswith((EDIT, _OLD_EDIT)) else "person"
    return "guest" if external_id.startswith(GUEST) else "customer"


def key_of_guest(ref: Ref) -> Ident:
    """Return the identifier that a guest's record is keyed by."""
    kind, _, key = ref[1].removeprefix(GUEST).partition(":")
    return (kind, key)


class Claim(NamedTuple):
    """An identifier that a record claims, in its normal form."""

    type: str
    key: str
    value: str
    is_verified: bool  #: the source has proof of it


#: how an identifier ties a record to others: the record claims it; a guest gave it beside its key; a live record
#: claimed it once; a removed record claimed it last
CLAIM, EVIDENCE, FORMER, LAST = 0, 1, 2, 3


class Tie(NamedTuple):
    """How an identifier ties a record to others."""

    role: int  #: CLAIM, EVIDENCE, FORMER or LAST
    value: str
    is_verified: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """A statement that two records are one person (link, source_merge), or are two people (apart).

    In a source_merge the source kept ``a`` and gave up ``b``. An about decides nothing: it tells that the edit ``b``
    was made of a person of whom ``a`` was a record.
    """

    kind: Literal["link", "apart", "source_merge", "about"]
    a: Ref
    b: Ref
    occurred: int  #: microseconds, 0 for unknown
    tie: str  #: decides between two decisions of one time

    @property
    def strength(self) -> tuple[int, bool, str, str, Ref, Ref]:
        """Rank a decision: the newest first; of two with one time a person's goes before a source's."""
        return (self.occurred, self.kind != "source_merge", self.tie, self.kind, self.a, self.b)


def envelope_of(stamp: Stamp) -> UUID:
    """Return the id of the envelope that a statement came in."""
    return UUID(hex=stamp.envelope_id)
