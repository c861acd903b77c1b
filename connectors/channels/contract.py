"""What a channel platform is: how a person's profile is asked for, and what the answer says.

A platform is a module that translates and does nothing else: no HTTP, no clock, no worker. It offers the
names of :class:`Platform` and joins through one line in ``connectors.channels.CHANNELS``. It names a path, never a
host: the worker joins the origin that the channel was added with.

ProfileError
├── NoSuchProfileError        the provider knows nobody of that id, or does not say why it shows none
├── ConsentRequiredError      the provider says that the person did not agree to be shown
├── LookupNotSupportedError   the platform shows nobody
├── ProviderLimitError        asked too often
└── ProviderError             the provider failed, or its answer is not what it documents
    └── TokenRefusedError     the operator must act: the channel's token is not accepted
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

#: characters of a text that is read; the worker bounds answers, and cuts names to what is stored elsewhere
MAX_TEXT = 256 * 1024
#: digits of a Retry-After in seconds; more than eleven days was never meant
_MAX_SECONDS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Who is asked about: a type of identifier that the platform takes, and the provider's own id."""

    type: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What a provider shows of a person; None for what it does not show."""

    id: str
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    username: str | None = None
    avatar_url: str | None = None  #: never one that holds a token
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
    """A provider shows no profile; ``str(error)`` quotes neither ids nor tokens."""


class NoSuchProfileError(ProfileError):
    """The provider knows nobody of that id, or does not say why it shows none."""


class ConsentRequiredError(ProfileError):
    """The provider says that the person blocked us, or never agreed to be shown."""


class LookupNotSupportedError(ProfileError):
    """The platform shows nobody's profile."""


class ProviderLimitError(ProfileError):
    """We asked too often; ``retry_after`` is how long the provider wants to be left alone, if it says."""

    def __init__(self, retry_after: timedelta | None = None) -> None:
        super().__init__("asked too often")
        self.retry_after = retry_after


class ProviderError(ProfileError):
    """The provider failed, or its answer is not what it documents."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TokenRefusedError(ProviderError):
    """The provider does not accept the channel's token: the operator must add the channel again."""


class Platform(Protocol):
    """The shape of a platform module."""

    name: str
    #: origin that a channel asks unless it was added with another
    API_URL: str
    #: types of identifier that it takes, the one to prefer first
    IDENTITY_TYPES: tuple[str, ...]
    #: what ``contactsync channels add <platform> --token`` wants; None: no token is taken
    TOKEN: str | None
    #: whether it shows profiles at all
    HAS_LOOKUP: bool
    #: nobody is asked about again sooner, however much the caller wants it
    ASK_AGAIN_AFTER: timedelta

    def identity(self, type_: str, value: str, /) -> Identity | None:
        """Read an id, for one of ``IDENTITY_TYPES``, as the provider writes it; None if it cannot be one."""

    def ask(self, identity: Identity, token: str, options: Mapping[str, str], /) -> Ask:
        """Say what to ask. Raises LookupNotSupportedError if the platform shows nobody."""

    def read(self, status: int, headers: Mapping[str, str], body: bytes, identity: Identity, /) -> Profile:
        """Read the answer; names of ``headers`` are in lower case.

        Redirects and 5xx never come here: the worker refuses the ones and asks again after the others.
        Raises a ProfileError, or MalformedPayloadError if the body is not what the provider documents.
        """


def failed(status: int, headers: Mapping[str, str]) -> ProfileError:
    """Build the error for a status that says the same on every platform."""
    if status == 401:
        return TokenRefusedError("the token was refused", status)
    if status == 429:
        return ProviderLimitError(retry_after(headers))
    return ProviderError(f"unexpected status {status}", status)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Read Retry-After in seconds; None for a date, which takes a clock, and for anything else."""
    given = headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit() and len(given) <= _MAX_SECONDS:
        return timedelta(seconds=int(given))
    return None
