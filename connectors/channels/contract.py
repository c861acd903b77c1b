"""What a channel platform is: the request for a person's profile, and the profile in the answer.

A platform is a module that translates and does nothing else: no HTTP, no clock, no worker. It offers the names of
:class:`Platform` and joins through one line in ``connectors.channels.CHANNELS``. It returns a path, never a host: the
worker adds the origin that the channel was added with.

ProfileError
├── NoSuchProfileError        the provider knows no such id, or gives no reason for showing no profile
├── ConsentRequiredError      the person did not agree to be shown, or blocked us
├── LookupNotSupportedError   the platform shows no profiles
├── ProviderLimitError        we asked too often
└── ProviderError             the provider failed, or its answer is not what it documents
    └── TokenRefusedError     the channel's token is not accepted; the operator must act
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

#: characters of a text in an answer; the worker cuts names to the lengths that are stored elsewhere
MAX_TEXT = 256 * 1024
#: digits of a Retry-After in seconds, up to eleven days; a longer wait is an error of the provider
_MAX_SECONDS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """The person to look up: a type of identifier that the platform takes, and the provider's own id."""

    type: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A person's profile as the provider shows it; None for a field that it does not show."""

    id: str
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    avatar_url: str | None = None  #: never a URL that holds a token
    avatar_expires_at: datetime | None = None
    locale: str | None = None  #: BCP 47, as the provider writes it
    country: str | None = None  #: ISO 3166-1 alpha-2


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """One request to the provider."""

    method: str
    path: str = field(repr=False)  #: from the root, query included; may hold the token
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, object] | None = field(default=None, repr=False)


class ProfileError(Exception):
    """The provider shows no profile; ``str(error)`` quotes neither ids nor tokens."""


class NoSuchProfileError(ProfileError):
    """The provider knows no such id, or gives no reason for showing no profile."""


class ConsentRequiredError(ProfileError):
    """The person blocked us, or never agreed to be shown."""


class LookupNotSupportedError(ProfileError):
    """The platform shows no profiles."""


class ProviderLimitError(ProfileError):
    """We asked too often; ``retry_after`` is how long to wait, None if the provider does not say."""

    def __init__(self, retry_after: timedelta | None = None) -> None:
        super().__init__("asked too often")
        self.retry_after = retry_after


class ProviderError(ProfileError):
    """The provider failed, or its answer is not what it documents."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TokenRefusedError(ProviderError):
    """The provider does not accept the channel's token. The operator must add the channel again."""


class Platform(Protocol):
    """The shape of a platform module."""

    name: str
    #: the origin of the API, unless the channel was added with another
    API_URL: str
    #: types of identifier that the platform takes, the preferred type first
    IDENTITY_TYPES: tuple[str, ...]
    #: a description of ``--token`` in ``contactsync channels add <platform>``; None: the platform takes no token
    TOKEN: str | None
    #: whether the platform shows profiles at all
    HAS_LOOKUP: bool
    #: for so long the worker does not ask about a person again, even if the caller wants a fresh answer
    ASK_AGAIN_AFTER: timedelta

    def identity(self, type_: str, value: str, /) -> Identity | None:
        """Return an id of one of ``IDENTITY_TYPES`` as the provider writes it; None if it cannot be an id."""

    def ask(self, identity: Identity, token: str, options: Mapping[str, str], /) -> Ask:
        """Return the request for a profile; raises LookupNotSupportedError if the platform shows no profiles."""

    def read(self, status: int, headers: Mapping[str, str], body: bytes, identity: Identity, /) -> Profile:
        """Read the profile in the answer; names of ``headers`` are in lower case.

        Redirects and 5xx never come here: the worker refuses redirects, and repeats the request after a 5xx.
        Raises a ProfileError, or MalformedPayloadError if the body is not what the provider documents.
        """


def failed(status: int, headers: Mapping[str, str]) -> ProfileError:
    """Return the error for a status that has the same meaning on every platform."""
    if status == 401:
        return TokenRefusedError("the token was refused", status)
    if status == 429:
        return ProviderLimitError(retry_after(headers))
    return ProviderError(f"unexpected status {status}", status)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read Retry-After in seconds; None for anything else, also for a date, because there is no clock here."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit() and len(given) <= _MAX_SECONDS:
        return timedelta(seconds=int(given))
    return None
