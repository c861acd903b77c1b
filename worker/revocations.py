"""Revocations: how web processes hear, where Redis can tell them, that a key of the API is no longer what it was."""

import structlog
from redis import Redis, RedisError

from worker.broker_urls import redis_url
from worker.settings import settings

log = structlog.get_logger()


def counter(prefix: str) -> str:
    """Return the key in Redis that counts revocations."""
    return f"{prefix}revoked"


def announce() -> None:
    """Tell all web processes to forget what they know of keys. Where they do not hear it, they do after two seconds."""
    url = settings().redis_url
    if not url:
        return
    try:
        Redis(connection_pool=redis_url(url).pool(1.0)).incrby(counter(settings().broker_prefix), 1)
    except (RedisError, OSError) as error:
        log.info("revocation_not_announced", error=type(error).__name__)
