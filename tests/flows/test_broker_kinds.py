"""Kinds of brokers: TLS, users with few rights, a shared database, Sentinel, RabbitMQ (``docs/brokers.md``).

Those that need a stack of their own run with BROKERS=all, as ``make everything`` does.
"""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from kombu import Connection, Queue

import worker.app  # noqa: F401 - names our transports
from tests.flows.broker_work import LONGEST_S, Work
from tests.flows.brokers import OPERATOR, Redis, directory, free_port, rabbitmq, redis_server
from tests.flows.stack import RunningStack, wait_until
from worker.broker_urls import celery_options, redis_url

needs_all = pytest.mark.skipif(os.environ.get("BROKERS") != "all", reason="a stack of its own: BROKERS=all runs it")
#: the producer of a test loses connections of which the other side has been killed, or frozen
abandoned = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
GUIDE = Path(__file__).parents[2] / "docs" / "brokers.md"


def acl(password: str, prefix: str = "csync:") -> str:
    """Return the user of the guide as a line of a redis.conf."""
    found = re.search(r"^user contactsync on .*$", GUIDE.read_text(), re.MULTILINE)
    assert found is not None
    return found.group().replace("PASSWORD", password).replace("csync:", prefix)


def limiter_answers(url: str) -> bool:
    try:
        return bool(redis.Redis(connection_pool=redis_url(url).pool(1)).ping())
    except redis.RedisError:
        return False


def celery_answers(url: str) -> bool:
    options = celery_options(url, "csync:")
    connection = Connection(options["broker_url"], transport_options=options["broker_transport_options"])
    try:
        connection.ensure_connection(max_retries=0, reraise_as_library_errors=False)
    except connection.connection_errors:
        return False
    finally:
        connection.release()
    return True


@pytest.fixture(scope="module")
def secure() -> Iterator[Redis]:
    with redis_server("user default off", acl("first"), tls=True) as server:
        yield server


@pytest.mark.parametrize("answers", [limiter_answers, celery_answers])
def test_tls_is_verified_unless_the_url_says_otherwise(secure, answers):
    def at(host, query=""):
        return answers(f"rediss://contactsync:first@{host}:{secure.port}/0{query}")

    ca = f"ssl_ca_certs={secure.directory}/ca.pem"
    assert not at("127.0.0.1")  # nobody whom we trust has signed it
    assert at("127.0.0.1", f"?{ca}")
    assert not at("localhost", f"?{ca}")  # it is the certificate of another name
    assert at("localhost", f"?{ca}&ssl_check_hostname=false")
    assert at("127.0.0.1", "?ssl_cert_reqs=none")
    assert not answers(f"redis://contactsync:first@127.0.0.1:{secure.port}/0")


@pytest.mark.parametrize("answers", [limiter_answers, celery_answers])
def test_the_user_of_the_url_has_to_be_right(secure, answers):
    ca = f"ssl_ca_certs={secure.directory}/ca.pem"

    assert not answers(f"rediss://contactsync:second@127.0.0.1:{secure.port}/0?{ca}")
    assert not answers(f"rediss://127.0.0.1:{secure.port}/0?{ca}")


@pytest.mark.parametrize("answers", [limiter_answers, celery_answers])
def test_a_socket_of_the_machine_is_a_place_for_a_broker(answers):
    with directory() as path:
        server = Redis(path, OPERATOR, f"unixsocket {path}/redis.sock").start()
        try:
            assert answers(f"unix://{path}/redis.sock?db=1")
            assert not answers(f"unix://:wrong@{path}/other.sock?db=1")
        finally:
            server.kill()


@needs_all
@abandoned
def test_few_rights_tls_and_a_prefix_are_enough_beside_another_program():
    prefix = "shop-7:"
    with redis_server(acl("first", prefix), "user default off", tls=True) as server, directory() as path:
        ca = f"{server.directory}/ca.pem"
        url = f"rediss://contactsync:first@127.0.0.1:{server.port}/0?ssl_ca_certs={ca}"
        for name in ("wake", "ingest", "celery"):  # another program has queues of these names
            server.admin.lpush(name, *(b"a message of its own %d" % number for number in range(50)))
        stack = RunningStack(path, REDIS_URL=url, BROKER_PREFIX=prefix)
        stack.start()
        try:
            work = Work(stack, f"{url}&ssl_cert_reqs=required", prefix)
            main = work.main()
            work.webhook()
            work.public_task()
            client = stack.client("brokers")
            shared = int(client.get("/v1/contacts").headers["RateLimit-Remaining"])
            assert int(client.get("/v1/contacts").headers["RateLimit-Remaining"]) == shared - 1
            wait_until(lambda: server.admin.keys(f"{prefix}limits*") != [], 10)
            ours = {key.decode() for key in server.admin.keys(f"{prefix}*")}
            assert {key.decode() for key in server.admin.keys("*")} - ours == {"wake", "ingest", "celery"}
            assert {server.admin.llen(name) for name in ("wake", "ingest", "celery")} == {50}
            assert [entry["object"] for entry in server.admin.acl_log()] == []

            # a rotation in the wrong order: the new password is known to Redis only
            server.admin.execute_command("ACL", "SETUSER", "contactsync", "resetpass", ">second")
            server.admin.execute_command("CLIENT", "KILL", "USER", "contactsync")
            assert max(work.webhook() for _ in range(3)) < LONGEST_S
            server.admin.execute_command("ACL", "SETUSER", "contactsync", ">first")
            work.public_task()
            assert work.main() == main
        finally:
            work.close()
            stack.stop()


@needs_all
@abandoned
def test_sentinels_lead_to_the_new_master_and_back_to_work():
    with directory() as path:
        first = Redis(path / "first", OPERATOR, "user default on >first ~* &* +@all", "masterauth first").start()
        replica = f"replicaof 127.0.0.1 {first.port}"
        second = Redis(
            path / "second", OPERATOR, "user default on >first ~* &* +@all", "masterauth first", replica
        ).start()
        watch = [f"sentinel monitor shops 127.0.0.1 {first.port} 1", "sentinel down-after-milliseconds shops 1000"]
        watch += ["sentinel auth-pass shops first", "sentinel failover-timeout shops 5000", OPERATOR]
        sentinel = Redis(
            path / "sentinel", *watch, "user default on >third ~* &* +@all", command="redis-sentinel"
        ).start()
        wait_until(lambda: second.admin.info("replication")["master_link_status"] == "up", 20)
        wait_until(lambda: sentinel.admin.sentinel_master("shops")["num-slaves"] == 1, 30)
        hosts = f"127.0.0.1:{free_port()},127.0.0.1:{sentinel.port}"  # one of the Sentinels is away
        url = f"sentinel://:first@{hosts}/0?master=shops&sentinel_password=third"
        stack = RunningStack(path, REDIS_URL=url)
        stack.start()
        try:
            options = celery_options(url, "csync:")
            work = Work(stack, options["broker_url"], **options["broker_transport_options"])
            main = work.main()
            assert limiter_answers(url)
            work.public_task()
            first.kill()
            assert max(work.webhook() for _ in range(3)) < LONGEST_S
            wait_until(lambda: second.admin.info("replication")["role"] == "master", 30)
            began = time.monotonic()
            work.public_task()
            assert time.monotonic() - began < 15
            assert work.main() == main
            assert limiter_answers(url)
        finally:
            work.close()
            stack.stop()
            for server in (sentinel, second, first):
                server.kill()


@needs_all
@abandoned
def test_rabbitmq_brings_messages_and_may_do_what_redis_may():
    with rabbitmq() as broker, directory() as path:
        stack = RunningStack(path, BROKER_URL=broker.url)
        stack.start()
        try:
            assert stack.state()["redis_url"] == ""
            work = Work(stack, broker.url)
            work._producer.conf.broker_transport_options = {"read_timeout": 2, "write_timeout": 2}
            main = work.main()
            assert work.webhook() < LONGEST_S
            work.public_task()
            _limits_are_counted(stack)
            for fault in (_garbage, _restarted, _frozen, _alarmed, _refused, _emptied):
                fault(broker, work)
                work.public_task()
                assert work.main() == main, fault.__name__
            log = (stack.data_dir / "logs" / "worker.log").read_text()
            assert "ayu.lestari" not in log
        finally:
            work.close()
            stack.stop()


def _limits_are_counted(stack):
    client = stack.client("brokers")
    answers = [int(client.get("/v1/contacts").headers["RateLimit-Remaining"]) for _ in range(2)]
    assert answers[1] == answers[0] - 1


def _garbage(broker, work):
    mark = "ayu.lestari@example.com"
    chain = {"chain": [{"task": "worker.tasks.tick", "args": [mark], "options": {"queue": mark}}]}
    embed = {"callbacks": None, "errbacks": None, "chord": None}
    call = {"lang": "py", "task": "worker.tasks.drain", "id": mark, "eta": "2999-01-01T00:00:00"}
    with Connection(broker.url) as connection, connection.Producer() as producer:
        for body, headers in (
            (mark, {}),
            ([mark], {}),
            ([[0], {}, embed | chain], call),
            ([[mark], {}, embed], call),
            ([[0], {}, embed], call | {"task": mark}),
            ({"task": "celery.backend_cleanup", "args": []}, {}),
        ):
            producer.publish(body, routing_key="wake", headers=headers, serializer="json")
        producer.publish(
            b"\xff" + mark.encode(),
            routing_key="wake",
            content_type="application/x-python-serialize",
            content_encoding="binary",
        )
        queue = Queue("wake", durable=True)(connection.default_channel)
        wait_until(lambda: queue.queue_declare(passive=True).message_count == 0, 20)


def _restarted(broker, work):
    broker.kill()
    assert max(work.webhook() for _ in range(3)) < LONGEST_S
    broker.start()


def _frozen(broker, work):
    broker.signal(signal.SIGSTOP)
    assert max(work.webhook() for _ in range(3)) < LONGEST_S
    broker.signal(signal.SIGCONT)


def _alarmed(broker, work):
    broker.ctl("set_vm_memory_high_watermark", "absolute", "1MB")  # every publication waits from now on
    assert max(work.webhook() for _ in range(3)) < LONGEST_S
    broker.ctl("set_vm_memory_high_watermark", "0.4")


def _refused(broker, work):
    broker.ctl("change_password", "guest", "second")
    broker.ctl("close_all_connections", "a test")
    assert max(work.webhook() for _ in range(3)) < LONGEST_S
    broker.ctl("change_password", "guest", "guest")


def _emptied(broker, work):
    broker.ctl("delete_queue", "wake")
    broker.ctl("delete_queue", "ingest")
    assert max(work.webhook() for _ in range(3)) < LONGEST_S
