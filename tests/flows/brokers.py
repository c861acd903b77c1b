"""Real brokers for tests: Redis with what an operator may configure, Sentinel, RabbitMQ. Each ends with its test.

They are the programs of the operating system's packages. A test that needs one is skipped where it is not found.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.flows.stack import wait_until
from worker.stack.processes import free_port

PASSWORD = "first"


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}, which is not installed")
    return found


class Redis:
    """A redis-server on a port of its own, with a user ``app`` for us; ``default`` is the operator."""

    def __init__(self, directory: Path, *lines: str, port: int = 0, tls: bool = False, command: str = "") -> None:
        self.port = port or free_port()
        self.directory = directory
        self.directory.mkdir(parents=True, exist_ok=True)
        self._program = program(command or "redis-server")
        self._process: subprocess.Popen[bytes] | None = None
        self._tls = tls
        ports = [f"port {self.port}"]
        if tls:
            certificates(directory)
            ports = ["port 0", f"tls-port {self.port}", f"tls-cert-file {directory}/server.pem"]
            ports += [f"tls-key-file {directory}/server.key", f"tls-ca-cert-file {directory}/ca.pem"]
            ports += ["tls-auth-clients no"]
        self._lines = ["bind 127.0.0.1", "dir " + str(directory), 'save ""', "daemonize no", *ports, *lines]

    def start(self) -> "Redis":
        path = self.directory / "redis.conf"
        if not path.exists() or "sentinel" not in self._program:  # Sentinel writes what it has found into the file
            path.write_text("\n".join(self._lines) + "\n")
        with (self.directory / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([self._program, str(path)], stdout=log, stderr=log)
        wait_until(self._answers, 10)
        return self

    def _answers(self) -> bool:
        try:
            self.admin.ping()
        except redis.exceptions.BusyLoadingError:
            return True
        except redis.RedisError:
            return False
        return True

    @property
    def url(self) -> str:
        """The URL for the user ``default``, who needs no password unless a test sets one."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def admin(self) -> "redis.Redis":
        tls: dict[str, Any] = {"ssl": True, "ssl_ca_certs": f"{self.directory}/ca.pem"} if self._tls else {}
        return redis.Redis(
            host="127.0.0.1", port=self.port, username="operator", password="operator", socket_timeout=5, **tls
        )

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


#: lines of a redis.conf: an operator whose access no fault takes away
OPERATOR = "user operator on >operator ~* &* +@all"


@contextmanager
def directory() -> Iterator[Path]:
    """Yield a directory that other accounts can reach, and delete it afterwards."""
    path = Path(tempfile.mkdtemp(prefix="contactsync-broker-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def redis_server(*lines: str, tls: bool = False) -> Iterator[Redis]:
    with directory() as path:
        server = Redis(path, OPERATOR, *lines, tls=tls)
        try:
            yield server.start()
        finally:
            server.kill()


def certificates(directory: Path) -> None:
    """Write a certificate authority and a certificate of 127.0.0.1, both good for a day."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority for a test")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a broker for a test")])
    ca = _certificate(ca_name, ca_name, ca_key, ca_key, x509.BasicConstraints(ca=True, path_length=None))
    address = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    server = _certificate(name, ca_name, key, ca_key, address)
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(ca.public_bytes(pem))
    (directory / "server.pem").write_bytes(server.public_bytes(pem))
    (directory / "server.key").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _certificate(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    extension: x509.ExtensionType,
) -> x509.Certificate:
    now = datetime.now(UTC)
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        .add_extension(identifier, critical=False)
        .sign(signer, hashes.SHA256())
    )


class Answering:
    """A port in front of a Redis that answers every command of a client with a line of its own while it is armed."""

    def __init__(self, port: int) -> None:
        self.line: bytes | None = None
        self._to = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                behind = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._requests, args=(client, behind), daemon=True).start()
            threading.Thread(target=self._answers, args=(behind, client), daemon=True).start()

    def _requests(self, client: socket.socket, behind: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                if self.line is None:
                    behind.sendall(data)
                else:
                    client.sendall(self.line * max(1, data.count(b"*")))  # one for each command
        _hang_up(client, behind)

    def _answers(self, behind: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := behind.recv(65536):
                client.sendall(data if self.line is None else self.line)
        _hang_up(client, behind)

    def close(self) -> None:
        self._server.close()


def _hang_up(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


class RabbitMQ:
    """A RabbitMQ with a node of its own, run as the account ``rabbitmq``, with nothing outside its directory."""

    def __init__(self, path: Path) -> None:
        program("rabbitmq-server")
        self._directory = path
        self.port, self._node_port, self._epmd = free_port(), free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        # The wrapper in /usr/sbin wants to be root and becomes the account; the scripts behind it run as who calls.
        self._bin = max(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"))
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            owner = Path("/var/lib/rabbitmq").stat()
            self._account = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
            shutil.chown(path, owner.st_uid, owner.st_gid)
        (path / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\nloopback_users.guest = true\nlog.console.level = warning\n"
        )
        self._env = {
            "PATH": os.environ["PATH"],
            "HOME": str(path),
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"test{self._node_port}@localhost",
            "RABBITMQ_MNESIA_BASE": str(path / "mnesia"),
            "RABBITMQ_LOG_BASE": str(path / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(path / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(path / "plugins"),
            "RABBITMQ_PID_FILE": str(path / "pid"),
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_CTL_DIST_PORT_MIN": str(self._node_port + 1),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(self._node_port + 20),
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 -kernel inet_dist_use_interface {127,0,0,1}",
        }

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> "RabbitMQ":
        with (self._directory.parent / f"{self._directory.name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "rabbitmq-server")],
                env=self._env,
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._account,
            )
        wait_until(self._answers, 60)
        return self

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, "RabbitMQ ended"
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return True
        except OSError:
            return False

    def ctl(self, *arguments: str) -> str:
        command = [str(self._bin / "rabbitmqctl"), "-q", "-n", self._env["RABBITMQ_NODENAME"], *arguments]
        return subprocess.run(
            command, env=self._env, cwd=self._directory, check=True, capture_output=True, text=True, **self._account
        ).stdout

    def signal(self, number: int) -> None:
        assert self._process
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            time.sleep(0.2)  # the scripts are the leader of the group; the emulator lets go of its port a moment later

    def close(self) -> None:
        """End the node, and the port mapper that it started."""
        self.kill()
        subprocess.run(["epmd", "-port", str(self._epmd), "-kill"], env=self._env, capture_output=True, **self._account)


@contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    with directory() as path:
        (path / "node").mkdir()
        server = RabbitMQ(path / "node")
        try:
            yield server.start()
        finally:
            server.close()
