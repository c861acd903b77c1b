"""What a connector offers in addition if its provider can be read, not only listened to.

A reader is part of a connector module. It says which requests to send and what the answers mean, page by page, and
does nothing else. The worker owns HTTP, retries, waiting, cursors and transactions. It hands the reader the function
``fetch`` and keeps the rows that the reader yields. Each row becomes an envelope, which ``parse`` translates like a
webhook's.

A reader must be able to go on from any cursor that it has given, in another process, after any delay. A page that is
read twice does no harm: the second row with the same content counts as a duplicate.

ReadingError
├── TryAgainError        the provider cannot answer now; the worker waits and repeats the request
├── NotYetError          the provider still prepares the answer; the worker comes back with this cursor
├── AccessRefusedError   the token is not accepted, or lacks a permission; the operator must act
└── UnreadableError      the answer is not what the provider documents; the run fails with this text
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, Protocol

from connectors.contract import Account, Envelope, fixed

#: a JSON object whose keys are the reader's own business; the worker keeps it and does not look into it
Cursor = Mapping[str, Any]
#: ``full``: every customer; ``increment``: those who changed since a time; ``ids``: id and time of every customer
Kind = Literal["full", "increment", "ids"]
#: of a connection, by name: ``access_token``, ``refresh_token``, ``consumer_key`` …; secret, kept encrypted
Credentials = Mapping[str, str]
#: mark of a row's envelope, which ``parse`` finds among the headers: its ``not_before``, ISO 8601. No request from
#: outside keeps a header of this name
NOT_BEFORE = "read-not-before"
#: topics that begin so are those of our own rows. Under such a topic a request from outside states nothing. So a reader
#: whose rows differ from the provider's webhooks gives them a topic such as ``read/customer``
OWN_TOPICS = ("read/", "file/")


class ReadingError(Exception):
    """A provider could not be read; ``str(error)`` quotes neither persons nor tokens."""


class TryAgainError(ReadingError):
    """The provider cannot answer now: it throttles us, or fails. The worker repeats the request.

    ``after`` is how long to wait first; None leaves that to the worker.
    """

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class NotYetError(ReadingError):
    """The provider still prepares the answer. The worker comes back with ``cursor`` after the time ``after``."""

    def __init__(self, cursor: Cursor, after: timedelta) -> None:
        super().__init__("the provider is still at work")
        self.cursor = cursor
        self.after = after


class AccessRefusedError(ReadingError):
    """The provider does not accept the token, or does not let it read customers."""


class UnreadableError(ReadingError):
    """The answer is not what the provider documents, or cannot be trusted to be whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request to the provider."""

    method: Literal["GET", "POST", "PUT"] = "GET"
    #: a path below the connection's ``api_url``, query included; or a whole URL, which is requested without
    #: credentials and whose host must be that of ``api_url`` or one of the reader's DOWNLOAD_HOSTS
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    #: for a download: the byte to start at; the answer then has ``lines`` instead of a body
    offset: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What the provider answered. The status is below 500 and not 429: the worker repeats requests after those."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  #: names in lower case
    body: bytes = field(repr=False, default=b"")
    #: by the provider's clock, if its answers show one: the provider read the content between these two times
    not_before: datetime
    not_after: datetime
    #: of a download: (offset of the byte after the line, the line without its end); the last line may be cut short
    lines: Iterator[tuple[int, bytes]] = field(repr=False, default_factory=lambda: iter(()))


class Fetch(Protocol):
    """The function that the worker hands a reader to send requests with."""

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        """Send the request and return the answer.

        ``check`` looks at each answer first. If it raises TryAgainError, the worker waits and repeats the request;
        other errors pass. After a 401 the worker renews the credentials, if the reader can, and repeats.
        """


@fixed
class Row:
    """One customer as read. It becomes an envelope."""

    external_id: str
    updated_at: datetime | None  #: when the customer last changed, by the provider's clock
    topic: str = ""  #: for ``parse``; empty in a run of the kind ``ids``, which needs only id and time
    body: bytes = field(default=b"", repr=False)
    #: by the provider's clock: the row was read between these two times. ``not_before`` dates a set of tags, because
    #: tags may change without moving ``updated_at``; ``not_after`` is the envelope's sending time
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows, perhaps none, and where to go on after them."""

    rows: Sequence[Row]
    cursor: Cursor  #: after these rows
    expected: int | None = None  #: rows of the whole run, if the provider tells
    #: set once, as soon as it is known: this run reads every change up to this time, and the next increment begins here
    watermark: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What to read, and with which credentials."""

    kind: Kind
    account: Account
    credentials: Credentials = field(repr=False)
    since: datetime | None = None  #: where an increment begins, by the provider's clock


class Reader(Protocol):
    """The names that a connector offers in addition to those of ``Connector`` if it can be read."""

    #: hosts, other than the connection's, that downloads may come from
    DOWNLOAD_HOSTS: frozenset[str]
    #: names of the credentials that ``connections add`` must be given
    CREDENTIALS: tuple[str, ...]

    def api_url(self, options: Mapping[str, str], /) -> str:
        """Return the origin of the provider's API, for a connection that was added without it."""

    def authorize(self, credentials: Credentials, /) -> Mapping[str, str]:
        """Return the headers that carry the credentials."""

    def renewal(self, credentials: Credentials, /) -> Request | None:
        """Return the request that renews expired credentials; None if they cannot be renewed."""

    def renewed(self, credentials: Credentials, answer: Answer, /) -> Credentials:
        """Read the renewed credentials from the answer; raises AccessRefusedError if the provider refuses."""

    def read(self, job: Job, cursor: Cursor | None, fetch: Fetch, /) -> Iterator[Page]:
        """Yield pages from the cursor on (None: from the start) to the end.

        Raises a ReadingError, or MalformedPayloadError if an answer is not in the documented shape. Content that is
        not a customer is yielded as a row too: ``parse`` refuses it, and a person sees it parked.
        """

    def read_some(self, job: Job, external_ids: Sequence[str], fetch: Fetch, /) -> Iterator[Row]:
        """Yield these customers, at most 100, as they are now; leaves out those that the provider does not have."""

    def gone(self, external_id: str, at: datetime, /) -> Row:
        """Return a row that says: at the time ``at`` the provider no longer has the customer."""

    def wanted(self, topic: str, body: bytes, /) -> str | None:
        """Return the id of the customer to read back after this webhook; None if the webhook is complete.

        Never raises.
        """


def read_from(envelope: Envelope) -> datetime | None:
    """Return ``Row.not_before`` of the row in this envelope; None for the envelope of a webhook."""
    written = envelope.headers.get(NOT_BEFORE)
    return None if written is None else _moment(written)


@lru_cache(maxsize=64)
def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written)  # the same for all rows of a run


class Subscriber(Protocol):
    """What a reader offers in addition if webhooks can be registered through the provider's API."""

    def subscribe(self, job: Job, webhook_url: str, fetch: Fetch, /) -> Mapping[str, str]:
        """Register and repair the webhooks; return what was done, by topic. May be repeated.

        The words are ``kept``, ``added``, ``repaired``, and ``refused`` if the provider does not let us have the topic.
        """
