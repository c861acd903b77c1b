"""What a connector offers so that its provider can be read, not only listened to.

A reader is part of a connector module: it says what to ask and what the answers mean, page by page, and does
nothing else. The worker owns HTTP, retries, waiting, cursors and transactions; it hands a reader the function
``fetch`` and keeps the rows that it yields. Each row becomes an envelope, which ``parse`` translates like a
webhook's.

A reader must be able to go on from any cursor that it has given, in another process, after any delay; a page
that is read twice does no harm, because its rows are told apart by what they say.

ReadingError
├── TryAgainError        the provider cannot answer now; the worker waits and asks the same again
├── NotYetError          the provider is at work on it; the worker comes back with this cursor
├── AccessRefusedError   the token is not accepted, or not for this; the operator must act
└── UnreadableError      the answer is not what the provider documents; the run fails with this text
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, Protocol

from connectors.contract import Account, Envelope, fixed

#: a cursor is a JSON object of the reader's own; the worker keeps it and does not look into it
Cursor = Mapping[str, Any]
#: ``full``: every customer; ``increment``: those that changed since; ``ids``: every customer's id and time, no more
Kind = Literal["full", "increment", "ids"]
#: of a connection: ``access_token``, ``refresh_token``, ``consumer_key`` …; secret, kept encrypted
Credentials = Mapping[str, str]
#: header of a row's envelope: its ``not_before``, ISO 8601
NOT_BEFORE = "read-not-before"


class ReadingError(Exception):
    """A provider could not be read; ``str(error)`` quotes neither persons nor tokens."""


class TryAgainError(ReadingError):
    """The provider cannot answer now: throttled, or failing. The same request is due again after a while."""

    def __init__(self, message: str, after: timedelta | None = None) -> None:
        super().__init__(message)
        self.after = after


class NotYetError(ReadingError):
    """The provider is at work on what was asked; there is nothing to read before ``after``."""

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
    """One question to the provider."""

    method: Literal["GET", "POST", "PUT"] = "GET"
    #: from the root of the connection's ``api_url``, query included; or a whole URL, whose host must be that of
    #: ``api_url`` or in the reader's DOWNLOAD_HOSTS, and which is asked without the connection's credentials
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = field(default=None, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    #: a download: the answer has ``lines`` instead of a body; start at this byte
    offset: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back, with a status below 500 other than 429; the worker asks again after those."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  #: names in lower case
    body: bytes = field(repr=False, default=b"")
    #: by the provider's clock, as far as it shows it: nothing in the answer was read before, nothing after
    not_before: datetime
    not_after: datetime
    #: of a download: (offset of the byte after the line, the line without its end); the last may be cut short
    lines: Iterator[tuple[int, bytes]] = field(repr=False, default_factory=lambda: iter(()))


class Fetch(Protocol):
    """What the worker hands a reader to ask with."""

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        """Ask and return the answer.

        ``check`` looks at each answer first. A TryAgainError from it makes the worker wait and repeat the request;
        other errors pass. Asked with expired credentials (401), the worker renews them, if the reader can, and
        repeats.
        """


@fixed
class Row:
    """One customer as read, about to be an envelope of its own."""

    external_id: str
    updated_at: datetime | None  #: the customer's own, by the provider's clock
    topic: str = ""  #: for ``parse``; empty in a run of the kind ``ids``, where only id and time count
    body: bytes = field(default=b"", repr=False)
    #: by the provider's clock: the row was read after ``not_before`` (what sets are stamped with: tags may change
    #: without moving ``updated_at``) and before ``not_after`` (the envelope's sending time)
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Some rows, and where to go on after them. A page without rows is as good as any other."""

    rows: Sequence[Row]
    cursor: Cursor  #: after these rows
    expected: int | None = None  #: rows of the whole run, if the provider says
    #: set once, when known: what the provider had changed up to here is read; the next increment goes on from it
    watermark: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What is to be read."""

    kind: Kind
    account: Account
    credentials: Credentials = field(repr=False)
    since: datetime | None = None  #: of an increment; by the provider's clock


class Reader(Protocol):
    """What a connector that can be read offers beside the names of ``Connector``."""

    #: hosts other than the connection's that downloads may come from
    DOWNLOAD_HOSTS: frozenset[str]
    #: credentials that ``connections add`` must be given, by name
    CREDENTIALS: tuple[str, ...]

    def api_url(self, options: Mapping[str, str], /) -> str:
        """Return the origin of the provider's API for a connection that was added without one."""

    def authorize(self, credentials: Credentials, /) -> Mapping[str, str]:
        """Return the headers that carry the credentials."""

    def renewal(self, credentials: Credentials, /) -> Request | None:
        """Say how to renew expired credentials; None if they cannot be renewed."""

    def renewed(self, credentials: Credentials, answer: Answer, /) -> Credentials:
        """Read the renewed ones. Raises AccessRefusedError if the provider refuses."""

    def read(self, job: Job, cursor: Cursor | None, fetch: Fetch, /) -> Iterator[Page]:
        """Yield pages from the cursor on (None: from the start) to the end.

        Raises a ReadingError, or MalformedPayloadError if an answer is not in the documented shape; a row that is
        not a customer is yielded as it is, for ``parse`` to refuse.
        """

    def read_some(self, job: Job, external_ids: Sequence[str], fetch: Fetch, /) -> Iterator[Row]:
        """Yield these customers, at most 100, as they are now; those the provider does not have are left out."""

    def gone(self, external_id: str, at: datetime, /) -> Row:
        """Make the row that says that the provider does not have the customer any more, at ``at``."""

    def wanted(self, topic: str, body: bytes, /) -> str | None:
        """Return the id of the customer to read back after this webhook, if it does not say all; never raises."""


def read_from(envelope: Envelope) -> datetime | None:
    """Return from when on an envelope of a row was read (``Row.not_before``); None for a webhook's."""
    written = envelope.headers.get(NOT_BEFORE)
    return None if written is None else _moment(written)


@lru_cache(maxsize=64)
def _moment(written: str) -> datetime:
    return datetime.fromisoformat(written)  # the same for all rows of a run


class Subscriber(Protocol):
    """What a reader offers whose webhooks can be registered through its API."""

    def subscribe(self, job: Job, webhook_url: str, fetch: Fetch, /) -> Mapping[str, str]:
        """Register and repair the webhooks; return what was done, by topic.

        ``kept``, ``added``, ``repaired``, or ``refused``: the provider does not let us have it.
        """
