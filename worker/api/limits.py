"""The rate limit of an API key: requests per minute, for all web processes together.

A request waits for no broker: each process counts its own, and some ten times a second a thread adds them to the count
in Redis and takes over what the others have counted. So a key that uses several processes at once may make as many
requests more as they answer in that time. Without Redis, and while it is away or refuses, each process counts for
itself. After an error Redis is left alone for some seconds.

The same round trip asks whether a key was revoked, so that no process goes on remembering it.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import Redis, RedisError

from worker.api.errors import ApiError
from worker.broker_urls import redis_url
from worker.revocations import counter
from worker.settings import settings

log = structlog.get_logger()

#: How long the thread waits for Redis, and how long Redis is left alone after it did not answer.
_TIMEOUT_S = 0.1
_PAUSE_S = 5.0
_SETTLE_EVERY_S = 0.1
#: Settling goes on for so long after the last request: as long as keys are remembered, and a little more.
_LISTENS_S = 2.5
_WINDOW_S = 60.0

#: a key, how many requests it may make, and how many a process tells of
_Told = tuple[UUID, int, int]
#: a key, how many requests were told, how many all processes have told of, and when the minute ends
_Settled = tuple[UUID, int, int, float]


@dataclass(slots=True)
class _Count:
    """The requests of a key in its minute."""

    allowed: int
    ends_at: float  #: of the clock ``time.time``
    made: int = 0  #: by all processes, as far as they have told
    untold: int = 0  #: by this one, since it last told


@dataclass(slots=True)
class Limiter:
    """Counts the requests of each key per minute."""

    url: str  #: of a Redis; empty without one
    prefix: str = "csync:"
    #: is called in the thread after a key was revoked somewhere
    on_revoked: Callable[[], None] = field(default=lambda: None)
    _counts: dict[UUID, _Count] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  #: of the counts; some requests run in threads
    _shared: tuple[FixedWindowRateLimiter, Redis] | None = None
    _revocations: bytes | None = None
    _paused_until: float = 0.0
    _listens_until: float = 0.0
    _settling: "asyncio.Task[None] | None" = None

    def spend(self, key_id: UUID, allowed: int, requests: int = 1) -> dict[str, str]:
        """Count requests of a key that may make ``allowed`` a minute; return the headers that say how many are left.

        Raises ApiError (429) if the key may not make so many in this minute; then none is counted.
        """
        now = time.time()
        with self._lock:
            count = self._counts.get(key_id)
            if count is None or count.ends_at <= now or count.allowed != allowed:
                count = self._counts[key_id] = _Count(allowed, now + _WINDOW_S)
            made = count.made + count.untold
            is_within = made + requests <= allowed
            if is_within:
                count.untold += requests
                made += requests
        left_s = str(max(1, round(count.ends_at - now)))
        headers = {
            "RateLimit-Limit": str(allowed),
            "RateLimit-Remaining": str(max(0, allowed - made)),
            "RateLimit-Reset": left_s,
        }
        if not is_within:
            raise ApiError(429, "too many requests with this key", headers={**headers, "Retry-After": left_s})
        return headers

    def settle_soon(self) -> None:
        """Settle in a moment, on a thread, and then again for a while; needs an event loop."""
        self._listens_until = time.monotonic() + _LISTENS_S
        if self._settling is None or self._settling.done():
            self._settling = asyncio.create_task(self._settle_later())

    async def _settle_later(self) -> None:
        while time.monotonic() < self._listens_until:
            await asyncio.sleep(_SETTLE_EVERY_S)
            told = self._untold()
            self._take_over(await asyncio.to_thread(self._tell, told))

    def settle(self) -> None:
        """Tell Redis what this process has counted, and take over what all have. It waits for Redis."""
        self._take_over(self._tell(self._untold()))

    def _untold(self) -> list[_Told]:
        now = time.time()
        with self._lock:
            self._counts = {key_id: count for key_id, count in self._counts.items() if count.ends_at > now}
            return [(id_, count.allowed, count.untold) for id_, count in self._counts.items() if count.untold]

    def _tell(self, told: list[_Told]) -> list[_Settled]:
        """Add to the counts in Redis; return what they have come to."""
        if not self.url or time.monotonic() < self._paused_until:
            return []
        settled: list[_Settled] = []
        try:
            limiter, client = self._in_redis()
            for key_id, allowed, untold in told:
                item = RateLimitItemPerMinute(allowed)
                limiter.hit(item, key_id.hex, cost=untold)
                stats = limiter.get_window_stats(item, key_id.hex)
                settled.append((key_id, untold, allowed - max(0, stats.remaining), stats.reset_time))
            said = client.get(counter(self.prefix))
            if said != self._revocations:
                self._revocations = said  # type: ignore[assignment]  # the client is no asynchronous one
                self.on_revoked()
        except (RedisError, OSError) as error:  # OSError: a file of certificates cannot be read
            self._paused_until = time.monotonic() + _PAUSE_S
            log.warning("rate_limit_not_shared", error=error, for_s=_PAUSE_S)
        return settled

    def _take_over(self, settled: list[_Settled]) -> None:
        with self._lock:
            for key_id, told, made, ends_at in settled:
                count = self._counts.get(key_id)
                if count is not None and count.untold >= told:
                    count.made, count.ends_at = made, ends_at
                    count.untold -= told

    def _in_redis(self) -> tuple[FixedWindowRateLimiter, Redis]:
        if self._shared is None:
            pool = redis_url(self.url).pool(_TIMEOUT_S)
            storage = RedisStorage("redis://", connection_pool=pool, key_prefix=f"{self.prefix}limits")
            self._shared = FixedWindowRateLimiter(storage), Redis(connection_pool=pool)
        return self._shared


@lru_cache
def limiter() -> Limiter:
    """Return the limiter of this process."""
    return Limiter(settings().redis_url, settings().broker_prefix)
