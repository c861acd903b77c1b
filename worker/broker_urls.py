"""Where the broker is: one URL, which means the same to Celery and to the rate limiter.

``docs/brokers.md`` has the forms of the URL. A connection with TLS is verified unless the URL says otherwise.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import ParseResult, parse_qsl, quote, unquote, urlencode, urlparse

from worker.errors import ConfigError

if TYPE_CHECKING:
    from redis import ConnectionPool
    from redis.retry import Retry

_REDIS, _SENTINEL = ("redis", "rediss", "valkey", "valkeys"), ("sentinel", "sentinels")
_SOCKETS = ("unix", "redis+socket", "redis+unix")
_WITH_TLS = ("rediss", "valkeys", "sentinels")
#: what a URL may say about TLS, by redis-py's names
_TLS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname")
_CERT_REQS = {"required": "required", "optional": "optional", "none": "none"}
_CERT_REQS |= {f"cert_{name}": name for name in ("required", "optional", "none")}

#: waits that are the same for all who use Redis for messages
_MESSAGES = {"socket_timeout": 2, "socket_connect_timeout": 1, "socket_keepalive": True, "health_check_interval": 5}


@dataclass(frozen=True)
class RedisUrl:
    """What a URL of a Redis, a Valkey or a Sentinel says."""

    hosts: tuple[tuple[str, int], ...] = ()
    username: str | None = None
    password: str | None = None
    database: int = 0
    path: str = ""  #: of a socket, instead of hosts
    tls: dict[str, Any] = field(default_factory=dict)  #: empty without TLS
    master: str = ""  #: which master to ask Sentinels for; empty without Sentinel
    sentinel_auth: dict[str, str] = field(default_factory=dict)

    def pool(self, timeout_s: float) -> "ConnectionPool":
        """Return connections for redis-py, each with a time limit for connecting and for each answer."""
        import redis  # noqa: PLC0415 - a web process without Redis needs none of it
        from redis.sentinel import Sentinel  # noqa: PLC0415

        waits: dict[str, Any] = {"socket_timeout": timeout_s, "socket_connect_timeout": timeout_s, "retry": at_once()}
        given: dict[str, Any] = {"username": self.username, "password": self.password, "db": self.database}
        if self.path:
            connection: Any = redis.UnixDomainSocketConnection
            return redis.ConnectionPool(
                connection_class=connection, path=self.path, socket_timeout=timeout_s, retry=at_once(), **given
            )
        if self.master:
            tls = {"ssl": True, **self.tls} if self.tls else {}
            sentinels = Sentinel(self.hosts, sentinel_kwargs=self.sentinel_auth | tls | waits, **given, **tls, **waits)  # type: ignore[no-untyped-call]
            pool: ConnectionPool = sentinels.master_for(self.master).connection_pool  # type: ignore[no-untyped-call]
            return pool
        [(host, port)] = self.hosts
        connection = redis.SSLConnection if self.tls else redis.Connection
        return redis.ConnectionPool(connection_class=connection, host=host, port=port, **given, **self.tls, **waits)

    def for_celery(self) -> tuple[str, dict[str, Any]]:
        """Return the URL in Kombu's form, and the transport options that Kombu does not take from a URL."""
        login = "".join((quote(self.username or "", safe=""), ":", quote(self.password or "", safe=""), "@"))
        login = login if self.password or self.username else ""
        query = "?" + urlencode(self.tls, quote_via=quote) if self.tls else ""
        if self.path:
            return f"redis+socket://{login}{quote(self.path)}?virtual_host={self.database}", {}
        if self.master:
            urls = [f"sentinel://{login}{_host(host)}:{port}/{self.database}{query}" for host, port in self.hosts]
            tls = {"ssl": True, **self.tls} if self.tls else {}
            waits: dict[str, Any] = {name: _MESSAGES[name] for name in ("socket_timeout", "socket_connect_timeout")}
            waits["retry"] = at_once()
            return ";".join(urls), {"master_name": self.master, "sentinel_kwargs": self.sentinel_auth | tls | waits}
        [(host, port)] = self.hosts
        return f"{'rediss' if self.tls else 'redis'}://{login}{_host(host)}:{port}/{self.database}{query}", {}


def at_once() -> "Retry":
    """Return how redis-py repeats a command: once, without a pause. By itself it would hold its caller for seconds."""
    from redis.backoff import NoBackoff  # noqa: PLC0415 - see pool
    from redis.retry import Retry  # noqa: PLC0415

    return Retry(NoBackoff(), 1)


def is_redis(url: str) -> bool:
    """Whether a URL names a Redis or a Valkey, directly, by a socket or through Sentinel."""
    return url.partition("://")[0].lower() in (*_REDIS, *_SENTINEL, *_SOCKETS)


@lru_cache
def redis_url(url: str) -> RedisUrl:
    """Return what a URL says. Raises ConfigError, which quotes nothing of the URL."""
    try:
        return _parsed(url)
    except ValueError:  # of urllib, with a part of the URL in it
        raise ConfigError("expected a URL such as rediss://user:password@host:6379/0") from None


def celery_options(url: str, prefix: str) -> dict[str, Any]:
    """Return the settings of a Celery application for a broker; ``prefix`` begins our names in it.

    Raises ConfigError, which quotes nothing of the URL.
    """
    scheme = url.partition("://")[0].lower()
    if not url:
        return {"broker_url": "memory://"}
    if is_redis(url):
        kombu_url, more = redis_url(url).for_celery()
        options = {"visibility_timeout": 120, "global_keyprefix": prefix, **_MESSAGES, **more}
        return {"broker_url": kombu_url, "broker_transport_options": options}
    if scheme in ("amqp", "amqps"):
        return _amqp_options(url, is_secure=scheme == "amqps")
    if scheme == "sqs":
        name = "".join(letter if letter.isalnum() else "-" for letter in prefix)
        options = {"queue_name_prefix": name, "visibility_timeout": 120, "wait_time_seconds": 10, "polling_interval": 1}
        return {"broker_url": url, "broker_transport_options": options}
    if scheme == "memory":
        return {"broker_url": url}
    raise ConfigError("expected redis://, rediss://, sentinel://, sentinels://, unix://, amqp://, amqps:// or sqs://")


def _amqp_options(url: str, *, is_secure: bool) -> dict[str, Any]:
    import ssl  # noqa: PLC0415 - every command reads the settings, and few need it

    # Without the time limits a frozen broker holds who publishes, and who waits for its answer, for ever.
    options: dict[str, Any] = {
        "broker_url": url,
        "broker_transport_options": {"read_timeout": 4, "write_timeout": 4},
        "broker_connection_timeout": 2,
        "broker_heartbeat": 10,
        "task_default_delivery_mode": "transient",
    }
    if is_secure:
        plain, _, words = url.partition("?")
        query = dict(parse_qsl(words))
        tls = _tls(query, is_on=True)
        _all_known(query)
        verify = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
        given = {"ca_certs": "ssl_ca_certs", "certfile": "ssl_certfile", "keyfile": "ssl_keyfile"}
        names = {name: tls[ours] for name, ours in given.items() if ours in tls}
        names |= {"server_hostname": None} if tls["ssl_check_hostname"] else {}  # None: Kombu takes that of the URL
        options |= {"broker_url": plain, "broker_use_ssl": {"cert_reqs": verify[tls["ssl_cert_reqs"]], **names}}
    return options


def _parsed(url: str) -> RedisUrl:
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    parts = urlparse("http://" + rest)  # by the rules of http, whatever the scheme
    query = dict(parse_qsl(parts.query))
    login: dict[str, Any] = {
        "username": unquote(parts.username) if parts.username else query.pop("username", None),
        "password": unquote(parts.password) if parts.password else query.pop("password", None),
    }
    if scheme in _SOCKETS:
        database = _database(query.pop("db", "") or query.pop("virtual_host", "0"))
        _all_known(query)
        return RedisUrl(path=unquote(parts.path), database=database, **login)
    if scheme not in (*_REDIS, *_SENTINEL):
        raise ConfigError("expected redis://, rediss://, sentinel://, sentinels:// or unix://")
    tls = _tls(query, is_on=scheme in _WITH_TLS)
    database = _database(query.pop("db", "") or parts.path.strip("/") or "0")
    if scheme in _REDIS:
        _all_known(query)
        return RedisUrl(((parts.hostname or "127.0.0.1", parts.port or 6379),), database=database, tls=tls, **login)
    master = query.pop("master", "") or query.pop("master_name", "")
    if not master:
        raise ConfigError("expected the name of the master, as in sentinel://host:26379,host2:26379/0?master=mymaster")
    auth = {name: query.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in query}
    _all_known(query)
    return RedisUrl(_hosts(parts), database=database, tls=tls, master=master, sentinel_auth=auth, **login)


def _hosts(parts: ParseResult) -> tuple[tuple[str, int], ...]:
    places = (urlparse(f"http://{one}") for one in parts.netloc.rpartition("@")[2].split(","))
    hosts = tuple((place.hostname or "", place.port or 26379) for place in places)
    if not all(host for host, _ in hosts):
        raise ConfigError("expected a host, and a comma between two hosts")
    return hosts


def _tls(query: dict[str, str], *, is_on: bool) -> dict[str, Any]:
    given = {name: query.pop(name) for name in _TLS if name in query}
    if not is_on:
        if given:
            raise ConfigError("expected rediss:// or sentinels:// where the URL says something about certificates")
        return {}
    verify = _CERT_REQS.get(given.get("ssl_cert_reqs", "required").lower())
    if verify is None:
        raise ConfigError("ssl_cert_reqs: expected required, optional or none")
    checks_host = verify != "none" and given.get("ssl_check_hostname", "true").lower() not in ("false", "0", "no")
    return {**given, "ssl_cert_reqs": verify, "ssl_check_hostname": checks_host}


def _database(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise ConfigError("expected the number of the database behind the host")
    return int(text)


def _all_known(query: dict[str, str]) -> None:
    """Refuse what is left: a misspelt word about certificates must not switch anything off in silence."""
    if query:
        raise ConfigError(
            "expected of the words behind the ? only db, ssl_cert_reqs, ssl_ca_certs, ssl_certfile, ssl_keyfile, "
            "ssl_check_hostname, and for Sentinel master, sentinel_username and sentinel_password"
        )


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else host
