"""What a connector is: the envelope it reads, the events it states, and how it fails.

A connector is a module that translates and does nothing else: no database, no
clock, no worker. It offers ``name``, ``PROTECTED_FIELDS``, ``receive``,
``verify`` and ``parse`` (see :class:`Connector`), and joins through one line in
``connectors.CONNECTORS`` or the entry point ``contactsync.connectors``. It may
say ``WEBHOOKS = False`` if nobody sends it any, and bring along ``EXAMPLES`` and
a ``SIMULATOR`` to be judged by (see ``connectors.conformance``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeVar, dataclass_transform

Channel = Literal["whatsapp", "sms", "email", "voice", "push", "telegram", "messenger", "instagram", "line", "viber"]
ConsentStatus = Literal["opted_in", "opted_out", "pending", "unknown"]
SuppressionReason = Literal[
    "hard_bounce",
    "soft_bounce",
    "spam_complaint",
    "unsubscribed",
    "stop_keyword",
    "invalid_address",
    "blocked",
    "carrier_deactivated",
    "manual",
    "erasure_request",
]
Scope = Literal["all", "marketing", "transactional"]
FieldValue = str | int | float | bool | None | Mapping[str, "FieldValue"] | Sequence["FieldValue"]


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def fixed(cls: type[T]) -> type[T]:
    """Make a dataclass that nobody writes to once it is made, which type checkers see to.

    Python does not: with its own check (``frozen``) making one takes three times as long, and of each customer several
    are made.
    """
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(cls)


class BadSignatureError(Exception):
    """The sender could not prove who it is; the request is refused and nothing is stored."""


class MalformedPayloadError(Exception):
    """The body is not what the provider documents; the envelope is parked with this reason.

    ``str(error)`` is shown to a shop owner: it names the field and what was
    expected, and never quotes a value, because values are personal data.
    """


@fixed
class Account:
    """What a connector may know of the connection an envelope came through."""

    source: str  #: name of the source, unique per organization: ``shopify``, ``shopify-eu``
    region: str | None = None  #: ISO 3166-1 alpha-2; the default for phone numbers in national form
    approved_fields: frozenset[str] = frozenset()  #: protected fields whose null really means empty
    options: Mapping[str, str] = field(default_factory=dict)  #: connector's own settings, e.g. ``shop_domain``


@fixed
class Receipt:
    """What the headers of a request say about it, before its body is read."""

    topic: str  #: the provider's name of what happened; empty when it did not say
    delivery_id: str  #: unique per delivery, the same on every retry; the key against duplicates
    sent_at: datetime | None  #: aware, UTC, the provider's clock; None if it did not say
    #: neither headers nor body have a time, and what is said needs one (a deletion): ``sent_at`` is when it arrived
    arrival_counts: bool = False


@fixed
class Envelope:
    """One request or page as received."""

    topic: str
    delivery_id: str
    sent_at: datetime | None  #: as in :class:`Receipt`
    headers: Mapping[str, str]  #: names in lower case
    body: bytes  #: untouched


@fixed
class Identifier:
    """An identifier as a source states it; it is normalised later, in one place for all sources."""

    type: Literal["phone", "email", "whatsapp_bsuid", "telegram", "messenger", "instagram", "line", "viber"]
    value: str
    verified: bool = False  #: the source has proof that the person controls it


@fixed
class ProfileSeen:
    """A source shows (part of) a customer.

    Absent is not empty: a name missing from ``fields`` or ``identifiers`` says
    nothing, a ``None`` says that the customer has none.
    """

    external_id: str | None  #: None for a guest, who is keyed by e-mail, else by number
    occurred_at: datetime | None  #: aware, UTC, the provider's clock for these values
    created_at: datetime | None = None  #: when the source created the customer
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    identifiers: Mapping[str, Identifier | None] = field(default_factory=dict)  #: by slot: ``email``, ``phone``
    region: str | None = None  #: country of the address, for numbers when the connection has no region
    exists: bool = True  #: False for side facts (a summary, a segment), which revive nobody


@fixed
class ProfileRemoved:
    """The source deleted the customer."""

    external_id: str
    occurred_at: datetime | None


@fixed
class ProfilesMerged:
    """The source made two of its customers one."""

    kept_external_id: str
    lost_external_id: str
    occurred_at: datetime | None


@fixed
class TagsAdded:
    """These tags were put on the customer."""

    external_id: str
    tags: tuple[str, ...]
    occurred_at: datetime | None


@fixed
class TagsRemoved:
    """These tags were taken off the customer."""

    external_id: str
    tags: tuple[str, ...]
    occurred_at: datetime | None


@fixed
class TagsSnapshot:
    """These, and no others, are the customer's tags."""

    external_id: str
    tags: tuple[str, ...]
    occurred_at: datetime | None


@fixed
class ConsentStated:
    """Somebody's will about being contacted, as the source recorded it."""

    external_id: str | None  #: the customer the statement came with
    channel: Channel
    status: ConsentStatus
    address: str | None  #: e-mail or number it is about; None: it belongs to the customer's record
    occurred_at: datetime | None  #: when the person decided; None if the source does not know
    purpose: Literal["marketing", "transactional", "conversational"] = "marketing"
    method: str | None = None  #: ``form``, ``checkout``, ``double_opt_in`` …
    evidence: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None  #: as in :class:`ProfileSeen`
    origin: str | None = None  #: where the statement was made, if not at the source itself
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False  #: says again what counts already; shown as when it was first said


@fixed
class SuppressionStated:
    """An address must not be used (or, with ``lifted``, may be used again)."""

    external_id: str | None
    channel: Channel | Literal["all"]
    address: str
    reason: SuppressionReason
    occurred_at: datetime | None
    scope: Scope = "all"
    lifted: bool = False
    expires_at: datetime | None = None
    region: str | None = None
    origin: str | None = None  #: as in :class:`ConsentStated`
    note: str | None = None


@fixed
class ErasureRequested:
    """The source passes on a person's, or a whole shop's, request to be forgotten."""

    subject: Literal["customer", "shop", "contact"]
    external_id: str | None
    identifiers: tuple[Identifier, ...]
    occurred_at: datetime | None
    customers: tuple[tuple[str, str], ...] = ()  #: of a contact: all it consists of, as (source, external_id)


@fixed
class ExportRequested:
    """The source passes on a person's request to see what is held about them."""

    external_id: str | None
    identifiers: tuple[Identifier, ...]
    occurred_at: datetime | None


@fixed
class NoteAdded:
    """Somebody wrote something down about the customer."""

    external_id: str
    body: str
    occurred_at: datetime | None
    author_type: str = "api_key"
    author_id: str | None = None
    author_name: str | None = None


@fixed
class ConnectionRevoked:
    """The shop took back our access; webhooks may still come, the token is dead."""

    occurred_at: datetime | None


Event = (
    ProfileSeen
    | ProfileRemoved
    | ProfilesMerged
    | TagsAdded
    | TagsRemoved
    | TagsSnapshot
    | ConsentStated
    | SuppressionStated
    | ErasureRequested
    | ExportRequested
    | NoteAdded
    | ConnectionRevoked
)


class Connector(Protocol):
    """The shape of a connector module."""

    name: str
    #: fields that a provider blanks for apps without approval: null there means "not shown to us"
    PROTECTED_FIELDS: frozenset[str]
    #: topics the connector knows and skips, each with the reason
    SKIPPED_TOPICS: Mapping[str, str]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Receipt:
        """Read topic, delivery id and sending time from the headers; never raises for odd values."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
        """Check the signature against every secret; raise BadSignatureError if none fits."""

    def parse(self, envelope: Envelope, account: Account) -> Iterable[Event]:
        """Yield what the envelope says; nothing for a topic that is not followed.

        Raises MalformedPayloadError if the body is not what the provider documents.
        """


class Pinged(Protocol):
    """What a connector offers beside, whose provider tries a new webhook with a request that it does not sign."""

    def is_ping(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the request is such a try: it is answered with 200, and nothing is kept; never raises."""
