"""Client: sends a reader's requests to its provider; owns HTTP, retries, waits and credentials.

A request to the connection's own API carries the connection's credentials. A request to a download host that the
reader lists carries none. Errors and logs quote neither requests nor answers, because both hold tokens and
personal data.
"""

import email.utils
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Protocol

import httpx
import stamina

from connectors.channels.contract import retry_after
from connectors.reader import AccessRefusedError, Answer, Credentials, Reader, Request, TryAgainError, UnreadableError
from worker.errors import ConfigError
from worker.providers.allowed_origins import origin
from worker.providers.deadline import DeadlineTransport

_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
#: a request and its answer take at most this long as a whole, however the provider spreads its bytes
REQUEST_S = 25.0
_ATTEMPTS = 5
#: The client itself waits up to this long. If the provider demands more, the run is postponed.
_PATIENCE = timedelta(seconds=3)
#: a page of 250 customers is below 1 MB
_MAX_BYTES = 32 * 1024 * 1024
_MAX_LINE = 8 * 1024 * 1024
_CHUNK = 256 * 1024


class CredentialStore(Protocol):
    """Holds the credentials of one connection. Another process may renew them at any time."""

    def load(self, *, fresh: bool = False) -> Credentials:
        """Return the credentials; with ``fresh``, look them up again instead of trusting what is in memory."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold the right to renew: other processes wait until the block ends."""

    def save(self, credentials: Credentials) -> None:
        """Store renewed credentials."""


class ProviderClient:
    """Sends the requests of one reader to one account; call it like a function, and close it at the end.

    All its requests, attempts and waits are over at ``until`` (of ``time.monotonic``); a download, which is read for
    longer than other answers, has that limit only. ``on_wait`` is called with the seconds before each wait that the
    provider demands; ``before`` is called before each attempt, and may raise.
    """

    def __init__(
        self,
        reader: Reader,
        api_url: str,
        store: CredentialStore,
        *,
        until: float,
        transport: httpx.BaseTransport | None = None,
        on_wait: Callable[[float], None] = lambda _: None,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        self._reader = reader
        self._root = origin(api_url, may_have_path=True)
        self._store = store
        self._until = until
        self._on_wait = on_wait
        self._before = before
        self._client = httpx.Client(
            transport=transport or DeadlineTransport(),
            timeout=_TIMEOUT,
            follow_redirects=False,
            trust_env=False,
            # No compression: the offsets of a download count bytes on the wire, and a small compressed body can
            # unpack to a huge one.
            headers={"User-Agent": "contactsync", "Accept-Encoding": "identity"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        )

    def close(self) -> None:
        """Close the connections to the provider."""
        self._client.close()

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        """Send a request and return the answer; make up to 5 attempts, with short waits between them.

        ``check`` may raise a ReadingError for an answer of no use, such as that to a throttled GraphQL query. Raises a
        ReadingError; TryAgainError carries the provider's wait if that is longer than 3 seconds.
        """

        def wait(error: Exception) -> bool | float:
            left = self._until - time.monotonic()
            if not isinstance(error, TryAgainError) or left <= 0:
                return False
            if error.after is None:
                return True
            seconds = max(0.0, error.after.total_seconds())
            if error.after > _PATIENCE or seconds >= left:
                return False
            self._on_wait(seconds)
            return seconds

        for attempt in stamina.retry_context(
            on=wait, attempts=_ATTEMPTS, timeout=None, wait_initial=0.1, wait_max=2.0, wait_jitter=0.2
        ):
            with attempt:
                return self._attempt(request, check)
        raise AssertionError("unreachable")

    def _attempt(self, request: Request, check: Callable[[Answer], None] | None) -> Answer:
        url, is_own = self._url(request)
        credentials = self._store.load() if is_own else {}
        answer = self._send(request, url, self._reader.authorize(credentials) if is_own else {})
        if answer.status == 401 and is_own and self._renew(credentials):
            answer = self._send(request, url, self._reader.authorize(self._store.load()))
        if check is not None:
            check(answer)
        return answer

    def _renew(self, used: Credentials) -> bool:
        """Renew credentials that the provider refused; return False if this provider has no renewal.

        If another process has renewed them already, its credentials are used and no request is sent.
        """
        with self._store.exclusive():
            present = self._store.load(fresh=True)
            if present != used:
                return True
            request = self._reader.renewal(present)
            if request is None:
                return False
            answer = self._send(request, self._url(request)[0], {})
            self._store.save(self._reader.renewed(present, answer))
            return True

    def _url(self, request: Request) -> tuple[httpx.URL, bool]:
        """Return the URL, and whether it belongs to the connection's own API."""
        if request.url.startswith("/"):
            return httpx.URL(self._root + request.url), True
        try:
            url = httpx.URL(request.url)
            root = origin(f"{url.scheme}://{url.netloc.decode()}")
        except (httpx.InvalidURL, ConfigError):
            raise UnreadableError("the provider named a URL that we cannot send a request to") from None
        is_listed = url.scheme == "https" and url.host in self._reader.DOWNLOAD_HOSTS and url.port is None
        if not is_listed and root != origin(str(httpx.URL(self._root).copy_with(path="/"))):
            raise UnreadableError("the provider named a host that its connector does not list")
        return url, False

    def _send(self, request: Request, url: httpx.URL, authorization: "Credentials") -> Answer:
        headers = {**request.headers, **authorization}
        if request.offset:
            headers["Range"] = f"bytes={request.offset}-"
        self._before()
        began, began_s = datetime.now(UTC), time.monotonic()
        deadline = self._until if request.offset is not None else min(self._until, began_s + REQUEST_S)
        if deadline <= began_s:
            raise TryAgainError("the provider took all the time that there was for its requests")
        try:
            sent = self._client.build_request(
                request.method,
                url,
                headers=headers,
                json=request.json,
                data=dict(request.form or {}) or None,
                extensions={"deadline": deadline},
            )
            response = self._client.send(sent, stream=True)
            if request.offset is None or response.status_code >= 300:
                try:
                    body = _body(response)
                finally:
                    response.close()
                lines: Iterator[tuple[int, bytes]] = iter(())
            else:
                body, lines = b"", _lines(response, request.offset)
        # "from None": these errors hold the request, and the request holds the token.
        except httpx.TransportError as error:
            raise TryAgainError(f"the provider could not be reached ({type(error).__name__})") from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise UnreadableError(f"the request to the provider failed ({type(error).__name__})") from None
        status, by_name = response.status_code, dict(response.headers)
        if status >= 500 or status == 429:
            raise TryAgainError(f"the provider answered with status {status}", retry_after(by_name))
        if 300 <= status < 400:  # following it would carry the token to a host that no operator chose
            raise AccessRefusedError(f"the provider redirects (status {status}): check the connection's --api-url")
        not_before, not_after = _times(by_name.get("date"), began, time.monotonic() - began_s)
        return Answer(
            status=status, headers=by_name, body=body, not_before=not_before, not_after=not_after, lines=lines
        )


def _times(date: str | None, began: datetime, took_s: float) -> tuple[datetime, datetime]:
    """Return the earliest and the latest time at which the provider can have read its data.

    By the provider's clock if the answer has a ``Date`` header, else by ours. ``Date`` is cut to whole seconds, and
    the provider may have read its data at any time since the request began.
    """
    try:
        shown = email.utils.parsedate_to_datetime(date or "").astimezone(UTC)
    except (TypeError, ValueError):
        return began, began + timedelta(seconds=took_s)
    return shown - timedelta(seconds=math.ceil(took_s)), shown + timedelta(seconds=1 + math.ceil(took_s))


def _body(response: httpx.Response) -> bytes:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise UnreadableError("the provider's answer is compressed, which we did not accept")
    body = bytearray()
    for chunk in response.iter_raw(_CHUNK):
        body += chunk
        if len(body) > _MAX_BYTES:
            raise UnreadableError(f"the provider's answer is larger than {_MAX_BYTES} bytes")
    return bytes(body)


def _lines(response: httpx.Response, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a download, each with the offset of its end.

    Memory holds one chunk and one line at most. The response is closed at the end, and also after an error.
    """
    try:
        at = offset if response.status_code == 206 else 0
        rest = b""
        for chunk in response.iter_raw(_CHUNK):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                at += len(line) + 1
                if at > offset:  # a server without range support sends the whole file again
                    yield at, line
            if len(rest) > _MAX_LINE:
                raise UnreadableError(f"a line of the download is longer than {_MAX_LINE} bytes")
        if rest:
            yield at + len(rest), rest
    except httpx.TransportError as error:
        raise TryAgainError(f"the download broke off ({type(error).__name__})") from None
    finally:
        response.close()
