"""The rate limit of an API key: requests per minute, counted in Redis for all web processes together.

The service works without Redis, so the limit does too: while Redis is away or frozen, every request passes. After an
error Redis is left alone for some seconds, so that it delays one request and not all.
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache
from uuid import UUID

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import FixedWindowRateLimiter
from redis import RedisError

from worker.api.errors import ApiError
from worker.settings import settings

log = structlog.get_logger()

#: How long a request waits for Redis, and how long Redis is left alone after it did not answer.
_TIMEOUT_S = 0.1
_PAUSE_S = 5.0


@dataclass(slots=True)
class Limiter:
    """Counts the requests of each key per minute."""

    url: str
    _limiter: FixedWindowRateLimiter | None = None
    _paused_until: float = field(default=0.0)

    def spend(self, key_id: UUID, allowed: int, cost: int = 1) -> dict[str, str]:
        """Count a request of a key that may make ``allowed`` a minute; return the headers that say how many are left.

        A request may cost as much as several. Returns no headers while Redis is away. Raises ApiError (429) if fewer
        are left in the minute.
        """
        if not self.url or time.monotonic() < self._paused_until:
            return {}
        try:
            return self._count(key_id, allowed, cost)
        except RedisError as error:
            self._paused_until = time.monotonic() + _PAUSE_S
            log.warning("rate_limit_off", error=type(error).__name__, for_s=_PAUSE_S)
            return {}

    def _count(self, key_id: UUID, allowed: int, cost: int) -> dict[str, str]:
        limiter = self._strategy()
        item = RateLimitItemPerMinute(allowed)
        # What is too much for the minute is not counted, or one large request would use up what smaller ones can have.
        is_within = cost == 1 or limiter.test(item, key_id.hex, cost=cost)
        is_within = is_within and limiter.hit(item, key_id.hex, cost=cost)
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

    def _strategy(self) -> FixedWindowRateLimiter:
        if self._limiter is None:
            storage = RedisStorage(
                self.url,
                key_prefix="csync:limits",
                socket_timeout=_TIMEOUT_S,
                socket_connect_timeout=_TIMEOUT_S,
            )
            self._limiter = FixedWindowRateLimiter(storage)
        return self._limiter


@lru_cache
def limiter() -> Limiter:
    """Return the limiter of this process."""
    return Limiter(settings().redis_url)
