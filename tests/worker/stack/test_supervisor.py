"""`contactsync up`, with the real servers and with stubs in the place of our own programs."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from importlib import util
from pathlib import Path

import psycopg
import pytest
import redis
from cryptography.fernet import Fernet

from worker.stack.processes import free_port, is_alive, until
from worker.stack.programs import Program
from worker.stack.supervisor import StackError, Supervisor, secret_key, stack

ROOT = Path(__file__).parents[3]
#: an environment variable of every process that a stack of these tests starts, except the servers
MARK = "CONTACTSYNC_TEST_STACK"

WEB = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
IDLE = "import time; time.sleep(600)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('stubborn', flush=True); time.sleep(600)"
)
BROKEN = "raise SystemExit('the connector is missing')"
# The worker is a real Celery, because the processes of its pool are the most likely to stay behind.
CELERY = """
import os
from celery import Celery
app = Celery(broker=os.environ["REDIS_URL"])
app.conf.update(worker_hijack_root_logger=False, broker_connection_retry_on_startup=True)
"""


def a_program(name, code, *arguments):
    return Program(name, (sys.executable, "-c", code, *arguments))


def stubs(data_dir, port, workers):
    return [a_program("web", WEB, str(port)), a_program("beat", IDLE)]


def stubs_with_celery(data_dir, port, workers):
    (data_dir / "celery_stub.py").write_text(CELERY)
    command = f"celery --workdir {data_dir} -A celery_stub worker --pool prefork --concurrency {workers}"
    return [
        *stubs(data_dir, port, workers),
        Program("worker", (sys.executable, "-m", *command.split()), needs_broker=True),
    ]


def stubs_with_a_stubborn_worker(data_dir, port, workers):
    return [*stubs(data_dir, port, workers), a_program("worker", STUBBORN)]


def main(data_dir, port, programs):
    """Do what `contactsync up` does. The tests call it in a process of its own, to which they can send signals."""
    supervisor = Supervisor(Path(data_dir), int(port), 2, programs=globals()[programs], migrate=lambda _: None)
    sys.exit(supervisor.run(on_ready=lambda _: os.write(1, b"ready\n")))


def up(data_dir, programs="stubs", port=0):
    code = f"from tests.worker.stack.test_supervisor import main; main({str(data_dir)!r}, {port}, {programs!r})"
    # Other tests may have set these variables in this process.
    ours = {"DATABASE_URL", "REDIS_URL", "CONTACTSYNC_SECRET_KEYS", "PUBLIC_URL"}
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ | {MARK: str(data_dir)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def a_running_stack(data_dir, programs="stubs"):
    with up(data_dir, programs) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield process
        finally:
            process.kill()


def processes_of(data_dir):
    """Return (id: command) of every process of the stack. Programs have the mark, servers its directory or a port."""
    ports = [json.loads(path.read_text())["port"] for path in data_dir.glob("*.json") if path.name != "stack.json"]
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            marked = f"{MARK}={data_dir}".encode() in (process / "environ").read_bytes().split(b"\0")
            serves = (process / "cwd").readlink() == (data_dir / "postgres").resolve() / "cluster"
            if command and (marked or serves or any(f"127.0.0.1:{port}" in command for port in ports)):
                found[int(process.name)] = command
    return found


def pid_of(data_dir, word):
    """Return the id of the oldest process with this word in its command, which is the main process of its kind."""
    return min(pid for pid, command in processes_of(data_dir).items() if word in command)


def status(url):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=1)
    with suppress(OSError):
        connection.request("GET", "/readyz")
        return connection.getresponse().status
    return None


def database_answers(url):
    with suppress(psycopg.OperationalError):
        psycopg.connect(url.replace("+psycopg", "")).close()
        return True
    return False


def broker_answers(url):
    with redis.Redis.from_url(url) as client, suppress(redis.RedisError):
        return client.ping()
    return False


@pytest.fixture
def data_dir():
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def running():
    directory = Path(tempfile.mkdtemp(prefix="contactsync-test-"))
    with a_running_stack(directory):
        yield directory
    assert until(lambda: not processes_of(directory), timeout_s=20)
    shutil.rmtree(directory)


def test_every_server_of_a_ready_stack_answers(running):
    found = stack(running)

    assert found["url"] == f"http://127.0.0.1:{found['port']}"
    assert status(found["url"]) == 200
    assert database_answers(found["database_url"])
    assert broker_answers(found["redis_url"])
    assert is_alive(found["pid"])


def test_secrets_are_for_the_owner_only(running):
    modes = {name: (running / name).stat().st_mode & 0o777 for name in ("stack.json", "secret.key", "postgres.json")}

    assert set(modes.values()) == {0o600}
    assert (running / "logs").stat().st_mode & 0o777 == 0o700


def test_programs_get_the_urls_of_all_servers(running):
    environ = Path(f"/proc/{pid_of(running, 'time.sleep')}/environ").read_bytes().decode().split("\0")
    found = stack(running)

    assert f"DATABASE_URL={found['database_url']}" in environ
    assert f"REDIS_URL={found['redis_url']}" in environ
    assert f"PUBLIC_URL={found['url']}" in environ
    assert f"CONTACTSYNC_SECRET_KEYS={(running / 'secret.key').read_text().strip()}" in environ


def test_second_stack_on_the_same_directory_is_refused(running):
    with up(running) as second:
        _, errors = second.communicate(timeout=20)

    assert second.returncode == 1
    assert "another contactsync runs on" in errors
    assert stack(running)


@pytest.mark.parametrize("word", ["http.server", "time.sleep"])
def test_killed_program_is_restarted(running, word):
    pid = pid_of(running, word)

    os.kill(pid, signal.SIGKILL)

    assert until(lambda: not is_alive(pid), timeout_s=20)
    assert until(lambda: any(word in command for command in processes_of(running).values()), timeout_s=20)
    assert until(lambda: status(stack(running)["url"]) == 200, timeout_s=20)


def test_killed_postgres_comes_back_under_its_url(running):
    url, pid = stack(running)["database_url"], pid_of(running, "postgres -D")

    os.kill(pid, signal.SIGKILL)

    assert until(lambda: not is_alive(pid), timeout_s=20)
    assert until(lambda: database_answers(url), timeout_s=20)


def test_killed_broker_comes_back_under_its_url(running):
    url, pid = stack(running)["redis_url"], pid_of(running, "valkey")

    os.kill(pid, signal.SIGKILL)

    assert until(lambda: not is_alive(pid), timeout_s=20)
    assert until(lambda: broker_answers(url), timeout_s=20)


def test_clean_stop_leaves_nothing_and_the_directory_can_be_used_again(data_dir):
    with a_running_stack(data_dir, "stubs_with_celery") as process:
        before = stack(data_dir)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0

    assert not processes_of(data_dir)
    assert stack(data_dir) is None
    assert not (data_dir / "stack.json").exists()
    with a_running_stack(data_dir) as process:
        assert stack(data_dir)["database_url"] == before["database_url"]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert not processes_of(data_dir)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's death signal is Linux's")
def test_killed_supervisor_leaves_no_process(data_dir):
    with a_running_stack(data_dir, "stubs_with_celery") as process:
        # Three processes: the main process and a pool of two.
        assert until(lambda: str(processes_of(data_dir)).count("celery_stub") == 3, timeout_s=20)

        process.kill()
        process.wait()

        assert until(lambda: not processes_of(data_dir), timeout_s=20)
        assert stack(data_dir) is None


def test_second_signal_shortens_the_wait_for_a_stubborn_program(data_dir):
    with a_running_stack(data_dir, "stubs_with_a_stubborn_worker") as process:
        assert until(lambda: (data_dir / "logs" / "worker.log").read_text() == "stubborn\n", timeout_s=20)
        process.send_signal(signal.SIGTERM)
        assert until(lambda: web_is_gone(data_dir), timeout_s=20)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)

        assert process.wait(8) == 0  # without the second signal, the supervisor waits 10 s for the stubborn worker
        assert not processes_of(data_dir)


def web_is_gone(data_dir):
    return not any("http.server" in command for command in processes_of(data_dir).values())


def run_in_thread(supervisor, **options):
    """Run a stack in a thread, which gets no signals; return an event that stops it, the thread, and its exit codes."""
    stop, codes = threading.Event(), []
    thread = threading.Thread(target=lambda: codes.append(supervisor.run(stop=stop, **options)))
    thread.start()
    return stop, thread, codes


def with_other_servers(data_dir):
    return {**os.environ, MARK: str(data_dir), "DATABASE_URL": "postgresql://db.example/x", "REDIS_URL": "redis://b/0"}


def test_servers_that_the_environment_names_are_used_instead(data_dir):
    migrated, ready = [], threading.Event()
    supervisor = Supervisor(data_dir, 0, programs=stubs, migrate=migrated.append, environ=with_other_servers(data_dir))

    stop, thread, codes = run_in_thread(supervisor, on_ready=lambda _: ready.set())
    assert ready.wait(20)
    found = stack(data_dir)
    stop.set()
    thread.join(20)

    assert codes == [0]
    assert migrated == ["postgresql://db.example/x"]
    assert (found["database_url"], found["redis_url"]) == ("postgresql://db.example/x", "redis://b/0")
    assert not list(data_dir.glob("postgres*"))
    assert not processes_of(data_dir)


def test_without_a_broker_the_stack_runs_and_logs_a_warning(data_dir, monkeypatch, capsys):
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(data_dir))
    ready = threading.Event()
    environ = with_other_servers(data_dir) | {"REDIS_URL": ""}
    supervisor = Supervisor(data_dir, 0, programs=stubs_with_celery, migrate=lambda _: None, environ=environ)

    stop, thread, codes = run_in_thread(supervisor, on_ready=lambda _: ready.set())
    assert ready.wait(20)
    found = stack(data_dir)
    stop.set()
    thread.join(20)

    assert codes == [0]
    assert found["redis_url"] == ""
    assert not (data_dir / "logs" / "worker.log").exists()
    assert "broker_missing" in capsys.readouterr().err


def test_taken_port_is_an_error_at_once(data_dir, capsys):
    port = free_port()
    taken = a_program("web", WEB, str(port))
    with subprocess.Popen(taken.command) as other:
        try:
            assert until(lambda: status(f"http://127.0.0.1:{port}") == 200, timeout_s=20)
            assert Supervisor(data_dir, port, programs=stubs, environ=with_other_servers(data_dir)).run() == 1
        finally:
            other.kill()

    assert f"port {port} is taken; choose another with --port" in capsys.readouterr().err


def test_program_that_cannot_start_is_an_error_with_the_end_of_its_log(data_dir, capsys):
    def broken(*_):
        return [a_program("web", BROKEN)]

    supervisor = Supervisor(data_dir, 0, programs=broken, migrate=lambda _: None, environ=with_other_servers(data_dir))

    assert supervisor.run() == 1
    errors = capsys.readouterr().err
    assert "web ended while it started" in errors
    assert "the connector is missing" in errors
    assert not processes_of(data_dir)


def test_unreachable_database_is_an_error_with_a_reason(data_dir, capsys):
    nowhere = f"postgresql+psycopg://u:hidden@127.0.0.1:{free_port()}/x"
    environ = with_other_servers(data_dir) | {"DATABASE_URL": nowhere}

    assert Supervisor(data_dir, 0, programs=stubs, environ=environ).run() == 1

    errors = capsys.readouterr().err
    assert "cannot migrate the database" in errors
    assert "hidden" not in errors


def test_the_files_of_a_stack_that_no_longer_runs_count_as_no_stack(data_dir):
    assert stack(data_dir) is None

    (data_dir / "stack.lock").touch()
    (data_dir / "stack.json").write_text(json.dumps({"pid": os.getpid()}))

    assert stack(data_dir) is None


def test_secret_key_is_created_once(data_dir):
    key = secret_key(data_dir)

    assert Fernet(key)
    assert secret_key(data_dir) == key
    (data_dir / "secret.key").write_text("")
    with pytest.raises(StackError):
        secret_key(data_dir)
