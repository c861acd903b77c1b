"""Settings, all from the environment; durations in seconds, sizes in bytes."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What an operator can set; every name may be given in upper case in the environment."""

    model_config = SettingsConfigDict(extra="ignore")

    database_url: str = ""
    redis_url: str = ""
    port: int = 8000
    public_url: str = ""  #: origin that shops can reach; webhook URLs are printed under it
    #: Fernet keys, comma separated; the first encrypts, all decrypt (rotation)
    contactsync_secret_keys: str = ""
    log_level: str = "INFO"

    max_body_bytes: int = 5 * 1024 * 1024  #: Shopify's bodies can pass a megabyte
    ingest_timeout_s: float = 4.0  #: Shopify hangs up after 5 s
    api_rate_limit: int = 30_000  #: requests a minute of an API key that has no limit of its own
    inbox_batch: int = Field(default=1000, ge=1, le=5000)  #: envelopes a drain takes at once
    drain_budget_s: float = 10.0  #: a drain hands over to the next nudge after this long
    lease_s: float = 30.0  #: how long a claim holds before others may take it
    max_attempts: int = 5  #: failures of our own before an envelope is parked
    max_crashes: int = 5  #: processes an envelope may take down before it is parked
    sweep_interval_s: float = 0.5
    nudge_after_s: float = 1.0  #: due for longer: nudge again
    sweep_after_s: float = 2.0  #: due for longer: the sweeper drains it itself
    lock_buckets: int = 1024  #: advisory locks an organization spreads its identifiers over

    crowd_limit: int = 10  #: more customers of one source claiming a value: it identifies nobody
    component_limit: int = 200  #: records connected through identifiers before only decisions join them


@lru_cache
def settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()


def reload() -> Settings:
    """Read the environment again (after the command line pointed it at a stack)."""
    settings.cache_clear()
    return settings()
