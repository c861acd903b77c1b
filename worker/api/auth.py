"""API keys: sent in ``X-Api-Key``, or as a bearer token, which Wazapin's own plugin does.

The gate finds the key of a request before it looks at anything else of it. The routes say which scopes they take.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Annotated, NamedTuple
from uuid import UUID

from fastapi import Depends, Request

from worker.api.errors import ApiError
from worker.api.limits import limiter
from worker.api.lookups import Lookups
from worker.scopes import SCOPES
from worker.settings import settings
from worker.store import api_keys, db
from worker.store.api_keys import Key

#: The use of a key is stored at most this often. People look at it, so a minute is exact enough.
_NOTE_EVERY_S = 60.0
_noted: dict[UUID, float] = {}
#: Keys that were not seen valid before are looked up together, this often: a flood of wrong ones costs 20 statements a
#: second and delays a new key by a moment.
_STRANGE_EVERY_S = 0.05
#: How long a valid key is remembered. A revoked one is forgotten sooner where the broker can tell (``limits.py``).
_REMEMBERED_S = 2.0


class Admitted(NamedTuple):
    """A key that may make its request now."""

    key: Key
    headers: Mapping[str, str]  #: how many requests it has left


class _Known(NamedTuple):
    """A key as it was valid a moment ago; times are of the clock ``time.monotonic``."""

    key: Key
    stale_at: float  #: it is looked up again, while it still counts
    until: float


class Keys:
    """Finds keys. A valid one is remembered for two seconds, and while it is used it is looked up beside the requests.

    A key that was valid before never waits for strange ones.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}  #: by hash
        self._familiar: set[bytes] = set()  #: hashes of keys that were valid when they came last
        self._refreshing: dict[bytes, asyncio.Task[Key | None]] = {}
        self._of_familiar = Lookups(_load)
        self._of_strange = Lookups(_load, every_s=_STRANGE_EVERY_S)
        limiter().on_revoked = self.forget

    async def admit(self, headers: Iterable[tuple[bytes, bytes]]) -> Admitted:
        """Return the key of a request; raises ApiError: 401 if it is missing or unknown, 429 above its rate limit."""
        given, key = _given(headers), None
        if given:
            digest = sha256(given.encode()).digest()
            known = self._known.get(digest)
            if known is None or known.until < time.monotonic():
                key = await self._find(digest, given) if api_keys.has_form(given) else None
            else:
                key = known.key
                if known.stale_at < time.monotonic() and digest not in self._refreshing:
                    self._refresh(digest, given)
        if key is None:
            raise ApiError(401, "invalid or missing API key", headers={"WWW-Authenticate": "Bearer"})
        counting = limiter()
        left = counting.spend(key.id, key.rate_limit or settings().api_rate_limit)
        counting.settle_soon()
        return Admitted(key, left)

    def forget(self) -> None:
        """Look every key up when it comes next."""
        self._known.clear()

    async def _find(self, digest: bytes, given: str) -> Key | None:
        began = time.monotonic()
        key = await (self._of_familiar if digest in self._familiar else self._of_strange).find(given)
        if key is None:
            self._familiar.discard(digest)
            self._known.pop(digest, None)
        else:
            self._familiar.add(digest)
            self._known[digest] = _Known(key, began + _REMEMBERED_S / 2, began + _REMEMBERED_S)
        return key

    def _refresh(self, digest: bytes, given: str) -> None:
        task = self._refreshing[digest] = asyncio.create_task(self._find(digest, given))

        def ended(task: "asyncio.Task[Key | None]") -> None:
            self._refreshing.pop(digest, None)
            if not task.cancelled():
                task.exception()  # The key counts until its time is over; then the next request meets the same error.

        task.add_done_callback(ended)


def charge(request: Request, key: Key, further: int) -> None:
    """Count so many further requests of a key, whose rows came in one request.

    Raises ApiError (429) if fewer are left; then none of them is counted.
    """
    if further > 0:
        request.state.headers = limiter().spend(key.id, key.rate_limit or settings().api_rate_limit, further)


def _given(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the key that a request shows; empty if it shows none."""
    bearer = b""
    for name, value in headers:
        if name == b"x-api-key" and value:
            return value.decode("latin-1")
        if name == b"authorization" and not bearer:
            scheme, _, credentials = value.partition(b" ")
            bearer = credentials.strip() if scheme.lower() == b"bearer" else b""
    return bearer.decode("latin-1")


def _load(given: Sequence[str]) -> list[Key | None]:
    """Load keys, and note their use."""
    with db.tenant_engine().begin() as conn:
        keys = api_keys.check(conn, given)
        for key in keys:
            if key is not None and _noted.get(key.id, 0.0) < time.monotonic():
                _noted[key.id] = time.monotonic() + _NOTE_EVERY_S
                api_keys.note_use(conn, key)
    return keys


def _allowed(*scopes: str) -> Callable[[Request], Awaitable[Key]]:
    """Return a dependency that answers the caller's key; raises ApiError (403) for a key without one of the scopes.

    ``admin`` is every scope.
    """
    allowed = {*scopes, "admin"}

    # A plain function would take a thread.
    async def check(request: Request) -> Key:
        key: Key = request.state.key
        if not key.scopes & allowed:
            raise ApiError(403, f"the API key lacks the scope {scopes[0]}")
        return key

    return check


#: The caller's key, whatever its scopes. The caller sees only the organization of the key.
Caller = Annotated[Key, Depends(_allowed(*SCOPES))]
ReadKey = Annotated[Key, Depends(_allowed("contacts:read"))]
WriteKey = Annotated[Key, Depends(_allowed("contacts:write"))]
#: A look-up at a provider needs its own scope, or the scope to write contacts.
LookupKey = Annotated[Key, Depends(_allowed("channels:lookup", "contacts:write"))]
