"""Profile lookup: ask a messaging platform what it shows of a person, within the time of one API request.

Nothing is stored, and no error quotes a person, a token or a URL. Each process caches answers for a minute, so
that a caller in a loop does not flood the provider.
"""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from threading import BoundedSemaphore, Lock
from typing import NamedTuple
from unicodedata import category
from uuid import UUID

import httpx
import stamina

from connectors import json_values
from connectors.channels.contract import (
    Ask,
    ConsentRequiredError,
    Identity,
    NoSuchProfileError,
    Platform,
    Profile,
    ProviderError,
    ProviderLimitError,
    TokenRefusedError,
)
from connectors.cleaning import is_normalisable, normalised
from connectors.contract import MalformedPayloadError
from worker.errors import ConfigError, TransientError
from worker.providers.allowed_origins import origin
from worker.store.channels import ChannelRow

#: The longest that a caller waits, retries included.
BUDGET_S = 8.0
_CONNECT_S, _READ_S = 2.0, 3.0
_ATTEMPTS = 3
#: If a provider demands a longer wait, the same request does not try again.
_PATIENCE = timedelta(seconds=2)
#: a profile is below 2 KB
_MAX_BYTES = 256 * 1024
#: Lookups at once in a process. The API works on 16 requests at once, and a slow provider must not take them all.
_AT_ONCE = 8
_CACHE_FOR, _CACHE_NOTHING_FOR = timedelta(seconds=60), timedelta(seconds=10)
_MAX_CACHED = 10_000
_DECOMPOSED = 4  #: characters that become one in NFC, at most
_MAX_NAME, _MAX_WORD, _MAX_URL = 255, 35, 2048
#: control characters, halves of surrogate pairs, line and paragraph separators
_UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
#: marks of text direction: after a name they would turn around the text that follows it
_DIRECTION_MARKS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class ProviderTimeoutError(ProviderError):
    """The provider did not answer in time."""


class ProviderUnavailableError(ProviderError):
    """The provider could not be reached, or it failed. A later attempt may succeed."""


class Found(NamedTuple):
    """A profile, and when the provider showed it."""

    profile: Profile
    fetched_at: datetime
    is_cached: bool


class _Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


_Key = tuple[UUID, str, str]
_Outcome = Profile | type[NoSuchProfileError | ConsentRequiredError]


@dataclass(frozen=True, slots=True)
class _Cached:
    """A provider's answer about one person; both times are of ``time.monotonic``."""

    outcome: _Outcome
    fetched_at: datetime
    binding_until: float  #: until then even ``refresh`` gets this answer, because the platform says so
    until: float


class Lookups:
    """Looks profiles up, and caches the answers in this process."""

    def __init__(self, transport: httpx.BaseTransport | None = None, *, budget_s: float = BUDGET_S) -> None:
        for chatty in ("httpx", "httpcore"):  # they log URLs, and Telegram's URLs hold the token
            logging.getLogger(chatty).setLevel(logging.WARNING)
        self._client = httpx.Client(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            # No compression, because a small compressed body can unpack to a huge one.
            headers={"User-Agent": "contactsync", "Accept": "application/json", "Accept-Encoding": "identity"},
            # No cookies, because one tenant's would travel with another tenant's requests.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )
        self._budget_s = budget_s
        self._slots = BoundedSemaphore(_AT_ONCE)
        # httpx limits each single wait on the network, but neither their sum nor a DNS lookup. So the request runs
        # in a thread, and the caller leaves when its time is over. There are more threads than slots, because
        # threads that were left behind are still busy.
        self._threads = ThreadPoolExecutor(2 * _AT_ONCE, thread_name_prefix="lookup")
        self._cache: OrderedDict[_Key, _Cached] = OrderedDict()
        self._lock = Lock()

    def look_up(self, channel: ChannelRow, platform: Platform, identity: Identity, *, refresh: bool) -> Found:
        """Return the profile that the channel's provider shows; from the cache if it is there.

        ``refresh`` asks the provider again, unless the platform's own pause (``ASK_AGAIN_AFTER``) still runs. Raises
        a ProfileError; the same error again while the cache holds it. Raises TransientError while the process
        already runs as many lookups as it may.
        """
        key = (channel.id, identity.type, identity.value)
        cached = self._from_cache(key, refresh=refresh)
        is_cached = cached is not None
        if cached is None:
            if not self._slots.acquire(blocking=False):
                raise TransientError("too many profiles are being looked up at once")
            try:
                cached = self._ask(channel, platform, identity)
            finally:
                self._slots.release()
            self._put_in_cache(key, cached)
        if not isinstance(cached.outcome, Profile):
            raise cached.outcome
        return Found(cached.outcome, cached.fetched_at, is_cached)

    def close(self) -> None:
        """Close the connections; do not wait for lookups that are still running."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _ask(self, channel: ChannelRow, platform: Platform, identity: Identity) -> _Cached:
        cache_for = _CACHE_FOR
        outcome: _Outcome
        try:
            outcome = _bounded(self._ask_with_retries(channel, platform, identity), identity)
        except (NoSuchProfileError, ConsentRequiredError) as error:
            cache_for, outcome = _CACHE_NOTHING_FOR, type(error)
        now, again = time.monotonic(), platform.ASK_AGAIN_AFTER
        return _Cached(
            outcome=outcome,
            fetched_at=datetime.now(UTC),
            binding_until=now + again.total_seconds(),
            until=now + max(cache_for, again).total_seconds(),
        )

    def _ask_with_retries(self, channel: ChannelRow, platform: Platform, identity: Identity) -> Profile:
        try:
            base = origin(channel.api_url)
            ask = platform.ask(identity, channel.secret(), channel.options)
        except ConfigError as error:  # no key of the vault fits the token
            raise TokenRefusedError(str(error)) from None
        deadline = time.monotonic() + self._budget_s

        def wait(error: Exception) -> bool | float:
            """Return the seconds before the next attempt, True for stamina's own wait, or False for no attempt."""
            left = deadline - time.monotonic()
            if isinstance(error, ProviderLimitError):
                after = error.retry_after
                if after is None or after > _PATIENCE or after.total_seconds() >= left:
                    return False
                return after.total_seconds()
            return isinstance(error, (ProviderUnavailableError, ProviderTimeoutError)) and left > 0

        for attempt in stamina.retry_context(
            on=wait, attempts=_ATTEMPTS, timeout=self._budget_s, wait_initial=0.2, wait_max=1.0, wait_jitter=0.2
        ):
            with attempt:
                answer = self._ask_once(ask, base, deadline)
                return _read(platform, answer, identity)
        raise AssertionError("unreachable")

    def _ask_once(self, ask: Ask, base: str, deadline: float) -> _Answer:
        """Send one request; return when the time is over, whatever the provider does."""
        answer = self._threads.submit(self._fetch, ask, base, deadline)
        try:
            return answer.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            answer.cancel()
            raise ProviderTimeoutError("no answer in time") from None

    def _fetch(self, ask: Ask, base: str, deadline: float) -> _Answer:
        left = max(0.001, deadline - time.monotonic())
        timeout = httpx.Timeout(min(_READ_S, left), connect=min(_CONNECT_S, left))
        try:
            request = self._client.build_request(
                ask.method, _join(base, ask.path), headers=ask.headers, json=ask.json, timeout=timeout
            )
            response = self._client.send(request, stream=True)
            try:
                return _Answer(response.status_code, response.headers, _body(response, deadline))
            finally:
                response.close()
        # "from None": these errors hold the request, and the request holds the token.
        except httpx.TimeoutException:
            raise ProviderTimeoutError("no answer in time") from None
        except httpx.TransportError as error:
            raise ProviderUnavailableError(f"not reached ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise ProviderError(f"request failed ({type(error).__name__})") from None

    def _from_cache(self, key: _Key, *, refresh: bool) -> _Cached | None:
        now = time.monotonic()
        with self._lock:
            cached = self._cache.get(key)
        if cached is None or now >= cached.until or (refresh and now >= cached.binding_until):
            return None
        return cached

    def _put_in_cache(self, key: _Key, cached: _Cached) -> None:
        with self._lock:
            self._cache[key] = cached
            self._cache.move_to_end(key)
            while len(self._cache) > _MAX_CACHED:
                self._cache.popitem(last=False)


@lru_cache
def lookups() -> Lookups:
    """Return the Lookups of this process, created on first use."""
    return Lookups()


def _join(base: str, path: str) -> httpx.URL:
    if not path.startswith("/"):
        raise ProviderError("the path does not start at the root")
    return httpx.URL(base).copy_with(raw_path=path.encode())


def _body(response: httpx.Response, deadline: float) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ProviderError("the answer is compressed", response.status_code)
    body = bytearray()
    for chunk in response.iter_raw():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise ProviderError(f"the answer is larger than {_MAX_BYTES} bytes", response.status_code)
        if time.monotonic() > deadline:
            raise ProviderTimeoutError("no answer in time", response.status_code)
    return bytes(body)


def _read(platform: Platform, answer: _Answer, identity: Identity) -> Profile:
    if answer.status >= 500:
        raise ProviderUnavailableError(f"failed with {answer.status}", answer.status)
    if 300 <= answer.status < 400:  # following it would carry the token to a host that no operator chose
        raise ProviderError(f"redirected with {answer.status}", answer.status)
    try:
        with json_values.malformed(platform.name):
            return platform.read(answer.status, answer.headers, answer.body, identity)
    except MalformedPayloadError as error:  # its text quotes no values of the body
        raise ProviderError(str(error), answer.status) from None


def _bounded(profile: Profile, identity: Identity) -> Profile:
    """Limit the texts of a profile in length and characters, so that they can be shown anywhere."""
    url, country = profile.avatar_url or "", profile.country or ""
    return replace(
        profile,
        id=identity.value,
        name=_one_line(profile.name, _MAX_NAME),
        first_name=_one_line(profile.first_name, _MAX_NAME),
        last_name=_one_line(profile.last_name, _MAX_NAME),
        username=_one_line(profile.username, _MAX_NAME),
        avatar_url=url if url.startswith("https://") and url.isprintable() and len(url) <= _MAX_URL else None,
        locale=_one_line(profile.locale, _MAX_WORD),
        country=country.upper() if len(country) == 2 and country.isascii() and country.isalpha() else None,
    )


def _one_line(text: str | None, limit: int) -> str | None:
    """Return the text as one line without control characters; None if nothing is left."""
    given = (text or "")[: limit * _DECOMPOSED]
    line = " ".join((normalised("NFC", given) if is_normalisable(given) else "").split())
    shown = "".join(char for char in line if category(char) not in _UNPRINTABLE and char not in _DIRECTION_MARKS)
    return shown[:limit].strip() or None


def seconds(after: timedelta | None) -> int:
    """Return the whole seconds for a Retry-After header; ``after`` is the provider's wait, None if it named none."""
    return max(1, math.ceil((_CACHE_NOTHING_FOR if after is None else after).total_seconds()))
