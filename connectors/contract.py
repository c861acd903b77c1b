"""What a connector is: the envelope it reads, the events it states, and how it fails.

A connector is a module that translates and does nothing else: no database, no
clock, no worker. It offers the names of :class:`Connector`, and joins through one
line in ``connectors.CONNECTORS`` or the entry point ``contactsync.connectors``.

Three more names are optional. ``WEBHOOKS = False`` says that its provider sends no
webhooks. ``EXAMPLES`` and ``SIMULATOR`` are what ``connectors.conformance`` checks
it with.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeVar, dataclass_transform

# Connectors import the words of consent from here, too.
from connectors.consent_terms import Channel as Channel  # noqa: PLC0414 - exported on purpose
from connectors.consent_terms import ConsentStatus as ConsentStatus  # noqa: PLC0414 - exported on purpose
from connectors.consent_terms import Purpose as Purpose  # noqa: PLC0414 - exported on purpose
from connectors.consent_terms import Scope as Scope  # noqa: PLC0414 - exported on purpose
from connectors.consent_terms import SuppressionReason as SuppressionReason  # noqa: PLC0414 - exported on purpose

FieldValue = str | int | float | bool | None | Mapping[str, "FieldValue"] | Sequence["FieldValue"]


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def fixed(cls: type[T]) -> type[T]:
    """Make a dataclass whose instances never change; type checkers hold code to that, Python does not.

    With Python's own check (``frozen=True``) an instance takes three times as long to build, and each customer needs
    several.
    """
    return dataclass(kw_only=True, slots=True, unsafe_hash=True)(cls)


class BadSignatureError(Exception):
    """The sender could not prove who it is. The request is refused and nothing is stored."""


class MalformedPayloadError(Exception):
    """The body is not what the provider documents. The envelope is parked with this reason.

    ``str(error)`` is shown to a shop owner. It names the field and what was
    expected, and never quotes a value, because values are personal data.
    """


class UnusableTextError(MalformedPayloadError):
    """A text is too long, or takes too long to normalise.

    A text that the envelope can do without (a name, a line of an address) is left out, so that it takes nothing else
    in the same body with it.
    """


@fixed
class Account:
    """What a connector may know about the connection that an envelope came through."""

    source: str  #: name of the source, unique per organization: ``shopify``, ``shopify-eu``
    region: str | None = None  #: ISO 3166-1 alpha-2; the default for phone numbers in national form
    approved_fields: frozenset[str] = frozenset()  #: protected fields that the app may see, so that null means empty
    options: Mapping[str, str] = field(default_factory=dict)  #: the connector's own settings, e.g. ``shop_domain``


@fixed
class Receipt:
    """What the headers of a request say about it, before its body is read."""

    topic: str  #: the provider's name for what happened; empty if the headers do not name it
    delivery_id: str  #: unique per delivery, the same on every retry; the key against duplicates
    sent_at: datetime | None  #: aware, UTC, the provider's clock; None if the headers hold no time
    #: True: neither headers nor body hold a time, and the event needs one (a deletion). Then ingest keeps the time
    #: of arrival as ``sent_at``
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
    """An identifier as the source writes it. The worker normalises it later, in one place for all sources."""

    type: Literal["phone", "email", "whatsapp_bsuid", "telegram", "messenger", "instagram", "line", "viber"]
    value: str
    verified: bool = False  #: the source has proof that the person controls it


@fixed
class ProfileSeen:
    """The source shows a customer, or a part of one.

    Absent is not empty: a name missing from ``fields`` or ``identifiers`` says
    nothing, a ``None`` says that the customer has no such value.
    """

    external_id: str | None  #: None for a guest; the worker knows guests by their e-mail, else by their number
    occurred_at: datetime | None  #: aware, UTC, the provider's clock; when these values were true
    #: when somebody last edited the values, if ``occurred_at`` is older (an order, edited later): of two events with
    #: one ``occurred_at`` the one that was edited later counts
    edited_at: datetime | None = None
    created_at: datetime | None = None  #: when the source created the customer
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    identifiers: Mapping[str, Identifier | None] = field(default_factory=dict)  #: by slot: ``email``, ``phone``
    region: str | None = None  #: country of the address; reads national numbers if the connection has no region
    exists: bool = True  #: False for a side fact (a summary, a segment): it does not bring back a removed customer


@fixed
class ProfileRemoved:
    """The source deleted the customer."""

    external_id: str
    occurred_at: datetime | None


@fixed
class ProfilesMerged:
    """The source merged two of its customers."""

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
    """The customer has exactly these tags."""

    external_id: str
    tags: tuple[str, ...]
    occurred_at: datetime | None


@fixed
class ConsentStated:
    """A person agreed to be contacted, or refused, as the source recorded it."""

    external_id: str | None  #: the customer the statement came with
    channel: Channel
    status: ConsentStatus
    address: str | None  #: e-mail or number that the consent is for; None: it is for the customer as a whole
    occurred_at: datetime | None  #: when the person decided; None if the source does not know
    purpose: Purpose = "marketing"
    method: str | None = None  #: ``form``, ``checkout``, ``double_opt_in`` …
    evidence: Mapping[str, str] = field(default_factory=dict)
    region: str | None = None  #: as in :class:`ProfileSeen`
    origin: str | None = None  #: where the person decided, if not at the source itself
    legal_basis: str | None = None
    expires_at: datetime | None = None
    is_repeat: bool = False  #: True: repeats the consent that counts already; the first time and method stay shown


@fixed
class SuppressionStated:
    """An address must not be used. With ``lifted`` it may be used again."""

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
    customers: tuple[tuple[str, str], ...] = ()  #: of a contact: all its source records, as (source, external_id)


@fixed
class ExportRequested:
    """The source passes on a person's request to see what is held about them."""

    external_id: str | None
    identifiers: tuple[Identifier, ...]
    occurred_at: datetime | None


@fixed
class NoteAdded:
    """Somebody wrote a note about the customer."""

    external_id: str
    body: str
    occurred_at: datetime | None
    author_type: str = "api_key"
    author_id: str | None = None
    author_name: str | None = None


@fixed
class ConnectionRevoked:
    """The shop took back our access. The token is dead; webhooks may still come."""

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
    #: fields that the provider blanks for apps without approval: there null means "not shown to us"
    PROTECTED_FIELDS: frozenset[str]
    #: topics that the connector knows and skips, each with the reason
    SKIPPED_TOPICS: Mapping[str, str]

    def receive(self, headers: Mapping[str, str], body: bytes) -> Receipt:
        """Read topic, delivery id and sending time from the headers; never raises for odd values."""

    def verify(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str]) -> None:
        """Check the signature against every secret; raises BadSignatureError if no secret fits."""

    def parse(self, envelope: Envelope, account: Account) -> Iterable[Event]:
        """Return what the envelope says, the same every time; nothing for a topic that is not followed.

        Raises MalformedPayloadError if the body is not what the provider documents.
        """


class Pinged(Protocol):
    """What a connector offers in addition if its provider tries a new webhook with an unsigned request."""

    def is_ping(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the request is such a try; never raises. It is answered with 200 and nothing is kept."""
