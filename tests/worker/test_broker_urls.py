"""The broker's URL: every form means the same to Kombu and to redis-py, and what is not understood is refused."""

import ssl

import pytest
from kombu import Connection
from redis import Connection as Plain
from redis import SSLConnection, UnixDomainSocketConnection
from redis.sentinel import SentinelConnectionPool

from worker.broker_urls import celery_options, is_redis, redis_url
from worker.errors import ConfigError
from worker.settings import Settings

ODD = "p%40s%3Bs%2Fw%25+"  # p@s;s/w%+


def both(url):
    """Return what Kombu and redis-py make of a URL."""
    options = celery_options(url, "csync:")
    connection = Connection(options["broker_url"], transport_options=options["broker_transport_options"])
    return connection, redis_url(url).pool(1), options["broker_transport_options"]


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_plain_url(scheme):
    connection, pool, options = both(f"{scheme}://user:{ODD}@host:7000/3")

    assert (connection.userid, connection.password, connection.virtual_host) == ("user", "p@s;s/w%+", "3")
    assert (connection.hostname, connection.port, connection.ssl) == ("host", 7000, False)
    given = pool.connection_kwargs
    assert (given["username"], given["password"], given["db"]) == ("user", "p@s;s/w%+", 3)
    assert (given["host"], given["port"], pool.connection_class) == ("host", 7000, Plain)
    assert options["global_keyprefix"] == "csync:"


def test_what_is_left_out_has_its_usual_value():
    connection, pool, _ = both("redis://host")

    assert (connection.port, connection.virtual_host, connection.password) == (6379, "0", None)
    assert (pool.connection_kwargs["port"], pool.connection_kwargs["db"]) == (6379, 0)


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_tls_is_verified_if_the_url_says_nothing(scheme):
    connection, pool, _ = both(f"{scheme}://host/0")

    assert connection.ssl == {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    assert pool.connection_class is SSLConnection
    made = pool.make_connection()
    assert (made.cert_reqs, made.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("word", ["none", "CERT_NONE", "None"])
def test_tls_is_not_verified_if_the_url_says_so(word):
    connection, pool, _ = both(f"rediss://host/0?ssl_cert_reqs={word}")

    assert connection.ssl == {"ssl_cert_reqs": ssl.CERT_NONE, "ssl_check_hostname": False}
    assert pool.make_connection().cert_reqs == ssl.CERT_NONE


def test_files_of_certificates_are_handed_on():
    files = "ssl_ca_certs=/a b/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem"
    connection, pool, _ = both(f"rediss://host/0?{files}&ssl_check_hostname=false")

    assert connection.ssl["ssl_ca_certs"] == pool.connection_kwargs["ssl_ca_certs"] == "/a b/ca.pem"
    assert connection.ssl["ssl_certfile"] == pool.connection_kwargs["ssl_certfile"] == "/c.pem"
    assert connection.ssl["ssl_keyfile"] == pool.connection_kwargs["ssl_keyfile"] == "/k.pem"
    assert connection.ssl["ssl_check_hostname"] is pool.connection_kwargs["ssl_check_hostname"] is False


def test_sentinels_are_all_known_to_both():
    url = f"sentinels://user:{ODD}@one:1,two,[::1]:3/2?master=shops&sentinel_password=other"
    connection, pool, options = both(url)

    assert [part.partition("@")[2].partition("/")[0] for part in connection.alt] == ["one:1", "two:26379", "[::1]:3"]
    assert (connection.password, connection.virtual_host, connection.ssl["ssl_cert_reqs"]) == (
        *("p@s;s/w%+", "2"),
        ssl.CERT_REQUIRED,
    )
    assert options["master_name"] == "shops"
    assert options["sentinel_kwargs"]["password"] == "other"
    assert options["sentinel_kwargs"]["ssl"] is True
    assert isinstance(pool, SentinelConnectionPool)
    nodes = [one.connection_pool.connection_kwargs for one in pool.sentinel_manager.sentinels]
    assert [(node["host"], node["port"], node["password"]) for node in nodes] == [
        *(("one", 1, "other"), ("two", 26379, "other"), ("::1", 3, "other")),
    ]
    assert pool.connection_kwargs["db"] == 2


def test_a_socket():
    connection, pool, _ = both("unix://:secret@/run/a%20b.sock?db=4")

    assert connection.as_uri() == "redis+socket://:**@/run/a b.sock"
    assert pool.connection_class is UnixDomainSocketConnection
    assert (pool.connection_kwargs["path"], pool.connection_kwargs["db"]) == ("/run/a b.sock", 4)


@pytest.mark.parametrize(
    "url",
    [
        *("redis://geheim@host:port/0", "redis://:geheim@host/geheim", "redis://:geheim@host/0?ssl_cert_reqs=none"),
        *("rediss://:geheim@host/0?ssl_cert_req=none", "rediss://:geheim@host/0?ssl_cert_reqs=geheim"),
        *("sentinel://:geheim@host/0", "sentinel://:geheim@,host/0?master=a", "redis://:geheim@[host/0"),
        *("http://:geheim@host/0", "geheim", "redis://:geheim@host:99999/0", "amqps://u:geheim@host/?ssl_verify=1"),
        *("redis://:geheim@host/-1", "redis://:geheim@host/²", "unix://:geheim@/a?db=geheim"),
    ],
)
def test_what_is_not_understood_is_refused_without_a_quote(url, monkeypatch):
    with pytest.raises(ConfigError) as raised:
        celery_options(url, "csync:")
    with pytest.raises(ValueError, match="broker_url"):
        Settings(broker_url=url)

    assert "geheim" not in str(raised.value)
    assert "expected" in str(raised.value)


def test_redis_url_is_a_redis():
    with pytest.raises(ValueError, match="redis_url"):
        Settings(redis_url="amqp://guest@host//")


@pytest.mark.parametrize(
    ("url", "expected"), [("sentinel://h/0?master=m", True), ("unix:///s", True), ("amqp://h", False)]
)
def test_what_a_redis_is(url, expected):
    assert is_redis(url) is expected


def test_rabbitmq_never_waits_for_ever():
    options = celery_options("amqp://user:secret@host:5672/shops", "csync:")

    assert options["broker_transport_options"] == {"read_timeout": 4, "write_timeout": 4}
    assert options["broker_heartbeat"] > 0
    assert "broker_use_ssl" not in options


def test_rabbitmq_with_tls_is_verified_with_its_name():
    options = celery_options("amqps://user:secret@host//?ssl_ca_certs=/ca.pem", "csync:")
    unverified = celery_options("amqps://user:secret@host//?ssl_cert_reqs=none", "csync:")

    assert options["broker_url"] == "amqps://user:secret@host//"
    assert options["broker_use_ssl"] == {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": "/ca.pem", "server_hostname": None}
    assert unverified["broker_use_ssl"] == {"cert_reqs": ssl.CERT_NONE}


def test_queues_of_sqs_have_a_name_that_sqs_takes():
    options = celery_options("sqs://", "shop.7:")

    assert options["broker_transport_options"]["queue_name_prefix"] == "shop-7-"


def test_the_broker_is_redis_unless_another_one_is_named():
    assert Settings(redis_url="redis://a", broker_url="").celery_broker == "redis://a"
    assert Settings(redis_url="redis://a", broker_url="amqp://b").celery_broker == "amqp://b"
