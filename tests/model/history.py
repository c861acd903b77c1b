"""History: everything that can happen, in the model's own words.

A history is a list of envelopes, and each envelope says a few things. Times are whole minutes, and 0 is the baseline:
older than everything. Values are in their normal form already (the adapters give them to the product as text).
"""

from dataclasses import dataclass

#: (source, external_id)
Ref = tuple[str, str]
#: (type, key): ("email", "ayu@example.com")
Ident = tuple[str, str]

#: the field is not in the payload; None says that the customer has no such value
ABSENT = ""
API = "api"
GUEST = "guest:"
EDIT = "edit:"
#: minutes after its arrival up to which an envelope may date what it says
GRACE = 5

#: the type of identifier that a channel reaches
TYPE_OF_CHANNEL = {"email": "email", "sms": "phone", "whatsapp": "phone"}
PURPOSES = ("marketing", "transactional")
YES, NO, PENDING, UNKNOWN = "opted_in", "opted_out", "pending", "unknown"


@dataclass(frozen=True)
class Seen:
    """A source shows a customer. With the source ``api`` it is a contact that the API created without a pair."""

    source: str
    id: str
    t: int | None
    email: str | None = ABSENT
    phone: str | None = ABSENT
    name: str | None = ABSENT
    created: int | None = None
    verified: bool = False  #: the e-mail is


@dataclass(frozen=True)
class GuestOrder:
    """Somebody who is no customer bought at ``t``; an order has at least an e-mail or a number."""

    source: str
    t: int
    email: str | None = None
    phone: str | None = None
    name: str | None = None

    @property
    def id(self) -> str:
        return guest_id(self.email, self.phone)


@dataclass(frozen=True)
class Removed:
    """A source deleted a customer."""

    source: str
    id: str
    t: int | None


@dataclass(frozen=True)
class Merged:
    """A source merged two of its customers."""

    source: str
    kept: str
    lost: str
    t: int | None


@dataclass(frozen=True)
class Consent:
    """A source says what somebody decided. ``who`` is a customer, a guest (``guest_id``), or None: an address only."""

    source: str
    who: str | None
    channel: str
    status: str
    t: int | None
    address: str | None = None
    purpose: str = "marketing"


@dataclass(frozen=True)
class Suppression:
    """An address must not be used, or with ``lift`` may be used again; the API says it with the source ``api``."""

    source: str
    channel: str
    address: str
    reason: str
    t: int | None
    lift: bool = False
    expires: int | None = None
    scope: str = "all"


@dataclass(frozen=True)
class TagsChanged:
    """Tags were put on a customer, or taken off."""

    source: str
    id: str
    tags: tuple[str, ...]
    present: bool
    t: int | None


@dataclass(frozen=True)
class TagsRead:
    """A customer has exactly these tags."""

    source: str
    id: str
    tags: tuple[str, ...]
    t: int | None


@dataclass(frozen=True)
class ApiEdit:
    """An operator edits a contact. ``records`` are those that the contact had when the request was accepted."""

    records: tuple[Ref, ...]
    email: str | None = ABSENT
    phone: str | None = ABSENT
    name: str | None = ABSENT
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiConsent:
    """An operator states a contact's consent. ``addresses`` are what the contact held then, the one shown first."""

    records: tuple[Ref, ...]
    channel: str
    status: str
    addresses: tuple[str, ...] = ()
    purpose: str = "marketing"
    t: int | None = None  #: None: the time of the request

    @property
    def subjects(self) -> tuple[str | None, ...]:
        """The addresses that it is about: of a "no" all of them and none, of all else the address shown."""
        return (*self.addresses, None) if self.status == NO else self.addresses[:1] or (None,)


@dataclass(frozen=True)
class ApiDelete:
    """An operator deletes a contact. The request names its records, edits too, and the addresses that only it held."""

    records: tuple[Ref, ...]
    addresses: tuple[Ident, ...] = ()


@dataclass(frozen=True)
class Link:
    """An operator says that two records are one person."""

    a: Ref
    b: Ref


@dataclass(frozen=True)
class Apart:
    """An operator says that two records are two people."""

    a: Ref
    b: Ref


Saying = (
    Seen
    | GuestOrder
    | Removed
    | Merged
    | Consent
    | Suppression
    | TagsChanged
    | TagsRead
    | ApiEdit
    | ApiConsent
    | ApiDelete
    | Link
    | Apart
)


@dataclass(frozen=True)
class Envelope:
    """One delivery. The same ``key`` again is the same delivery again."""

    key: str
    arrived: int
    sent: int | None
    says: tuple[Saying, ...]

    @property
    def ceiling(self) -> int:
        """The latest time that anything in the envelope counts at."""
        return self.arrived + GRACE

    def time_of(self, t: int | None) -> int:
        """Return when a statement counts: its own time, at most the sending time; without it, the sending time.

        Nothing counts later than the ceiling. With neither time a statement is a baseline.
        """
        if t is None:
            t = self.sent or 0
        elif self.sent is not None:
            t = min(t, self.sent)
        return min(t, self.ceiling)

    def is_clamped(self, t: int | None) -> bool:
        """Whether a statement's time is beyond the ceiling: the clock behind it is wrong."""
        time = self.sent if t is None else t
        return time is not None and time > self.ceiling


def guest_id(email: str | None, phone: str | None) -> str:
    """Return the external id of a guest: after its e-mail, else after its number."""
    return f"{GUEST}email:{email}" if email else f"{GUEST}phone:{phone}"


def edit_of(records: tuple[Ref, ...]) -> Ref:
    """Return the record that holds the edits of a contact: one for each first frozen record."""
    source, external_id = records[0]
    return (API, f"{EDIT}{source}:{external_id}")


def is_edit(ref: Ref) -> bool:
    return ref[0] == API and ref[1].startswith(EDIT)


def is_guest(ref: Ref) -> bool:
    """Whether a record is a guest's: by its id alone, whichever envelope mentions it first."""
    return ref[0] != API and ref[1].startswith(GUEST)
