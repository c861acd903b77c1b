"""How much one API key may ask: counted in Redis, for all web processes together.

Redis is disposable, so the limit is too: while it is away or frozen every request passes, and it is asked again
only after a while, so that it holds up one request at most.
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

#: how long a request waits for Redis, and how long it is left alone after it did not answer
_TIMEOUT_S = 0.1
_LEFT_ALONE_S = 5.0


@dataclass(slots=True)
class Limiter:
    """Counts requests a minute by key."""

    url: str
    _limiter: FixedWindowRateLimiter | None = None
    _ask_again_at: float = field(default=0.0)

    def spend(self, key_id: UUID, allowed: int) -> dict[str, str]:
        """Count a request; return headers that say what is left, none while nobody counts.

        Raises ApiError when the key has used up its minute.
        """
        if not self.url or time.monotonic() < self._ask_again_at:
            return {}
        try:
            return self._count(key_id, allowed)
        except RedisError as error:
            self._ask_again_at = time.monotonic() + _LEFT_ALONE_S
            log.warning("rate_limit_off", error=type(error).__name__, for_s=_LEFT_ALONE_S)
            return {}

    def _count(self, key_id: UUID, allowed: int) -> dict[str, str]:
        limiter = self._strategy()
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
    """Return this process's limiter."""
    return Limiter(settings().redis_url)
