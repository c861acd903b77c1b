"""Embedded servers: the real binaries start, start again, and leave no process behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import closing, suppress
from importlib import util
from pathlib import Path

import psycopg
import pytest
import redis
from redis.backoff import ConstantBackoff, NoBackoff
from redis.retry import Retry

from worker.stack.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres, NoBrokerError
from worker.stack.processes import is_alive, until

# Starts both servers and then waits until the test kills it.
PARENT = """
import sys, time
from pathlib import Path
from worker.stack.embedded import EmbeddedBroker, EmbeddedPostgres
postgres, broker = EmbeddedPostgres(Path(sys.argv[1])), EmbeddedBroker(Path(sys.argv[1]))
postgres.start(), broker.start()
print(postgres.pid, broker.pid, flush=True)
time.sleep(600)
"""


def a_directory():
    """Return a new directory. If root runs the tests, only root may enter tmp_path, and Postgres never runs as root."""
    return Path(tempfile.mkdtemp(prefix="contactsync-test-"))


@pytest.fixture
def data_dir():
    directory = a_directory()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def postgres():
    directory = a_directory()
    server = EmbeddedPostgres(directory)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(directory)


@pytest.fixture
def broker(data_dir):
    server = EmbeddedBroker(data_dir)
    server.start()
    yield server
    server.stop()


def connect(server):
    return psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True)


def answers(server):
    with suppress(psycopg.OperationalError):
        connect(server).close()
        return True
    return False


def postgres_processes(data_dir):
    """Return the id of every process that works in the directory of the cluster."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink() == (data_dir / "postgres").resolve() / "cluster":
                found.append(int(process.name))
    return found


def test_commits_are_durable_and_the_role_is_no_superuser(postgres):
    with connect(postgres) as conn:
        settings = {row[0]: row[1] for row in conn.execute("SELECT name, setting FROM pg_settings")}
        rights = "rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication"
        role = conn.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = current_user").fetchone()
        collation = conn.execute("SELECT datcollate FROM pg_database WHERE datname = current_database()").fetchone()

    assert [settings[name] for name in ("fsync", "synchronous_commit", "full_page_writes")] == ["on"] * 3
    assert settings["TimeZone"] == "UTC"
    assert settings["server_encoding"] == "UTF8"
    assert collation == ("C",)
    assert role == (False,) * 5


def test_the_role_of_an_earlier_cluster_loses_the_right_to_make_databases(data_dir):
    """Clusters of the releases before have such a role, and a state that does not tell."""
    before = EmbeddedPostgres(data_dir, may_create_databases=True)
    before.start()
    with connect(before) as conn:
        conn.autocommit = True
        conn.execute("CREATE DATABASE another")
        conn.execute("CREATE TABLE kept AS SELECT 7 AS n")
    before.stop()
    state = data_dir / "postgres.json"
    state.write_text(json.dumps({k: v for k, v in json.loads(state.read_text()).items() if "may" not in k}))

    server = EmbeddedPostgres(data_dir)
    server.start()
    try:
        with connect(server) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute("CREATE DATABASE more")
    finally:
        server.stop()
    assert json.loads(state.read_text())["may_create_databases"] is False


def test_a_wrong_password_is_refused(postgres):
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(postgres.url.replace("+psycopg", ""), password="guess")


def test_values_of_failed_statements_are_not_logged(postgres):
    with connect(postgres) as conn:
        conn.execute("CREATE TEMP TABLE people (email text UNIQUE)")
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute("INSERT INTO people VALUES ('ada@example.com'), ('ada@example.com')")

    assert "ada@example.com" not in postgres.log.read_text()


def test_starting_a_running_server_changes_nothing(postgres):
    pid = postgres.pid

    assert postgres.start() == postgres.url
    assert postgres.pid == pid


def test_restart_keeps_url_and_rows(postgres):
    url = postgres.url
    with connect(postgres) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 1 AS one")

    postgres.stop()
    url_after = postgres.start()

    assert url_after == url
    with connect(postgres) as conn:
        assert conn.execute("SELECT one FROM kept").fetchone() == (1,)


def test_stop_leaves_no_process(postgres):
    directory = postgres.log.parents[1]
    assert postgres_processes(directory)

    postgres.stop()

    assert not postgres.is_running()
    assert postgres.pid is None
    assert not postgres_processes(directory)
    postgres.start()


def test_killed_server_comes_back_with_every_acknowledged_commit(postgres):
    with connect(postgres) as conn:
        conn.execute("CREATE TABLE acknowledged AS SELECT 1 AS one")
    with closing(connect(postgres)) as sleeper:
        # When the main process dies, its backend is still busy, and a new server cannot start before it ends.
        sleeper.pgconn.send_query(b"SELECT pg_sleep(60)")
        os.kill(postgres.pid, signal.SIGKILL)
        assert until(lambda: not postgres.is_running(), timeout_s=20)

        postgres.launch()

        assert until(lambda: answers(postgres), timeout_s=20)
    with connect(postgres) as conn:
        assert conn.execute("SELECT one FROM acknowledged").fetchone() == (1,)


def test_stale_lock_file_with_the_id_of_another_process_does_not_stop_the_start(postgres):
    lock_file = (postgres.log.parents[1] / "postgres").resolve() / "cluster" / "postmaster.pid"
    lines = lock_file.read_text()
    postgres.stop()
    bystander = subprocess.Popen(["sleep", "60"], user=lock_file.parent.stat().st_uid)
    lock_file.write_text(lines.replace(lines.split("\n")[0], str(bystander.pid), 1))

    try:
        postgres.start()

        assert answers(postgres)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_second_owner_is_refused(postgres):
    other = EmbeddedPostgres(postgres.log.parents[1])

    with pytest.raises(EmbeddedError, match="another process runs the postgres"):
        other.start()

    assert answers(postgres)


def test_a_lost_password_is_an_error_with_the_reason(postgres):
    state = postgres.log.parents[1] / "postgres.json"
    postgres.stop()
    aside = state.rename(state.with_suffix(".aside"))

    with pytest.raises(EmbeddedError, match="password"):
        postgres.start()

    aside.rename(state)
    postgres.start()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_killed_parent_leaves_no_server(data_dir):
    command = [sys.executable, "-c", PARENT, str(data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as parent:
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()

    assert len(pids) == 2
    assert until(lambda: not any(map(is_alive, pids)) and not postgres_processes(data_dir), timeout_s=20)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's Postgres is another user")
def test_cluster_moves_to_a_directory_that_its_user_can_enter(data_dir):
    private = data_dir / "private"
    private.mkdir(mode=0o700)
    server = EmbeddedPostgres(private / "data")

    server.start()

    link = private / "data" / "postgres"
    cluster = link.resolve()
    assert link.is_symlink()
    assert not cluster.is_relative_to(private)
    assert cluster.stat().st_uid != 0
    assert private.stat().st_mode & 0o777 == 0o700
    server.stop()
    shutil.rmtree(cluster)
    with pytest.raises(EmbeddedError, match="gone"):
        server.start()


def test_broker_demands_its_password_and_stores_nothing_on_disk(broker, data_dir):
    state = json.loads((data_dir / "broker.json").read_text())

    with redis.Redis.from_url(broker.url) as client:
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("save")["save"] == ""
        assert client.config_get("appendonly")["appendonly"] == "no"
    once = Retry(NoBackoff(), 0)
    with redis.Redis("127.0.0.1", state["port"], retry=once) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    assert (data_dir / "broker.json").stat().st_mode & 0o777 == 0o600


def test_killed_broker_comes_back_on_its_port(broker):
    os.kill(broker.pid, signal.SIGKILL)
    assert until(lambda: not broker.is_running(), timeout_s=20)

    broker.launch()

    with redis.Redis.from_url(broker.url, retry=Retry(ConstantBackoff(0.02), 200)) as client:
        assert client.ping()


def test_stopped_broker_leaves_no_process(broker):
    pid = broker.pid

    broker.stop()

    assert not is_alive(pid)
    broker.stop()


def test_a_machine_without_a_broker_program_raises_no_broker_error(data_dir, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(data_dir))

    with pytest.raises(NoBrokerError):
        EmbeddedBroker(data_dir).start()


def test_the_error_on_a_machine_without_postgres_says_what_to_do(data_dir, monkeypatch):
    monkeypatch.setattr(util, "find_spec", lambda _: None)

    with pytest.raises(EmbeddedError, match="DATABASE_URL"):
        EmbeddedPostgres(data_dir).start()
