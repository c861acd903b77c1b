"""Settings, all from environment variables; durations in seconds, sizes in bytes."""

from functools import lru_cache
from typing import Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from worker.broker_urls import celery_options, redis_url
from worker.errors import ConfigError


class Settings(BaseSettings):
    """The settings of an operator; each is an environment variable of the same name, in any case."""

    model_config = SettingsConfigDict(extra="ignore")

    database_url: str = ""
    #: what is between us and Postgres; ``auto`` finds out for each new connection
    database_pooler: Literal["auto", "none", "session", "transaction"] = "auto"
    redis_url: str = ""
    broker_url: str = ""  #: of Celery, if it is another than ``redis_url``: RabbitMQ or SQS
    #: begins every key of ours in Redis, and every name of a queue in SQS
    broker_prefix: str = Field(default="csync:", min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:{}-]+$")
    replica_database_url: str = ""  #: a streaming replica, for lists of contacts
    replica_max_lag_s: float = Field(default=5.0, ge=2)  #: if it is further behind, lists come from the primary
    port: int = 8000
    public_url: str = ""  #: origin that providers can reach; printed webhook URLs begin with it
    #: Fernet keys, comma separated; the first encrypts, all decrypt, so that keys can be rotated
    contactsync_secret_keys: str = ""
    log_level: str = "INFO"

    max_body_bytes: int = 5 * 1024 * 1024  #: of webhooks; some of Shopify's are larger than 1 MB
    ingest_timeout_s: float = 4.0  #: Shopify hangs up after 5 s
    api_rate_limit: int = 30_000  #: requests a minute, for an API key without its own limit
    max_connections: int = Field(default=1000, ge=1)  #: open at once in a web process; strangers' are cut above it
    metrics_token: str = ""  #: a bearer token for /metrics; without it only this machine may read them
    inbox_batch: int = Field(default=1000, ge=1, le=5000)  #: envelopes that a drain leases at once
    drain_budget_s: float = 10.0  #: after this long a drain ends and nudges again
    lease_s: float = 30.0  #: after this long another worker may lease the same rows
    max_attempts: int = 5  #: failures of our own before an envelope is parked
    max_crashes: int = 5  #: crashes of a process during an envelope before it is parked
    body_days: int = Field(default=35, ge=1)  #: days until the body of a settled envelope expires
    sweep_interval_s: float = 0.5
    nudge_after_s: float = 1.0  #: if an envelope is due for longer, the sweeper nudges again
    sweep_after_s: float = 2.0  #: if an envelope is due for longer, the sweeper starts a stand-in
    lock_buckets: int = 1024  #: advisory locks of an organization, over which its identifiers are spread

    crowd_limit: int = 10  #: if more customers of one source claim a value, it identifies nobody
    component_limit: int = 200  #: larger groups of connected records are joined by decisions only

    @field_validator("redis_url", "broker_url")
    @classmethod
    def _names_a_broker(cls, url: str, info: ValidationInfo) -> str:
        try:
            if url and info.field_name == "redis_url":
                redis_url(url)
            celery_options(url, "")
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return url

    @property
    def celery_broker(self) -> str:
        """The URL of Celery's broker; empty without one."""
        return self.broker_url or self.redis_url


@lru_cache
def settings() -> Settings:
    """Return the settings of this process; the first call reads the environment.

    Raises ConfigError, which names the variables and quotes no value.
    """
    try:
        return Settings()
    except ValidationError as error:
        said = [(str(one["loc"][0]).upper(), one["msg"].removeprefix("Value error, ")) for one in error.errors()]
        wrong = "; ".join(f"{name}: {message}" for name, message in said)
        raise ConfigError(wrong) from None


def reload() -> Settings:
    """Read the environment again, after the command line has changed it."""
    settings.cache_clear()
    return settings()
