"""The rate limit of an API key: requests per minute, counted in Redis for all web processes together.

The service works without Redis, so the limit does too: without Redis, and while it is away or refuses, each web process
counts for itself. After an error Redis is left alone for some seconds, so that it delays one request and not all.
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError

from worker.api.errors import ApiError
from worker.broker_urls import redis_url
from worker.settings import settings

log = structlog.get_logger()

#: How long a request waits for Redis, and how long Redis is left alone after it did not answer.
_TIMEOUT_S = 0.1
_PAUSE_S = 5.0


@dataclass(slots=True)
class Limiter:
    """Counts the requests of each key per minute."""

    url: str  #: of a Redis; empty without one
    prefix: str = "csync:"
    _shared: FixedWindowRateLimiter | None = None
    _own: FixedWindowRateLimiter = field(default_factory=lambda: FixedWindowRateLimiter(MemoryStorage()))
    _paused_until: float = field(default=0.0)

    def spend(self, key_id: UUID, allowed: int) -> dict[str, str]:
        """Count a request of a key that may make ``allowed`` a minute; return the headers that say how many are left.

        Raises ApiError (429) if the key has made all requests of the minute.
        """
        if self.url and time.monotonic() >= self._paused_until:
            try:
                return _count(self._in_redis(), key_id, allowed)
            except (RedisError, OSError) as error:  # OSError: a file of certificates cannot be read
                self._paused_until = time.monotonic() + _PAUSE_S
                log.warning("rate_limit_not_shared", error=error, for_s=_PAUSE_S)
        return _count(self._own, key_id, allowed)

    def _in_redis(self) -> FixedWindowRateLimiter:
        if self._shared is None:
            pool = redis_url(self.url).pool(_TIMEOUT_S)
            storage = RedisStorage("redis://", connection_pool=pool, key_prefix=f"{self.prefix}limits")
            self._shared = FixedWindowRateLimiter(storage)
        return self._shared


def _count(limiter: FixedWindowRateLimiter, key_id: UUID, allowed: int) -> dict[str, str]:
    item = RateLimitItemPerMinute(allowed)
    is_within = limiter.hit(item, key_id.hex)
    stats = limiter.get_window_stats(item, key_id.hex)
    left_s = max(1, round(stats.reset_time - time.time()))
    headers = {
        "RateLimit-Limit": str(allowed),
        "RateLimit-Remaining": str(max(0, stats.remaining)),
        "RateLimit-Reset": str(left_s),
    }
    if not is_within:
        raise ApiError(429, "too many requests with this key", headers={**headers, "Retry-After": str(left_s)})
    return headers


@lru_cache
def limiter() -> Limiter:
    """Return the limiter of this process."""
    return Limiter(settings().redis_url, settings().broker_prefix)
