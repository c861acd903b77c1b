"""A PgBouncer in front of a database, for tests and benchmarks; the machine has to have the program."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from worker.stack.processes import HOST, Account, bare_environment, end, free_port, log_tail, spawn, until
from worker.store import urls

_START_S = 10.0


def program() -> str | None:
    """Return the path of PgBouncer; None if this machine has none."""
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")


@contextmanager
def in_front_of(database_url: str, mode: str, **settings: object) -> Iterator[str]:
    """Run a PgBouncer in ``transaction``, ``session`` or ``statement`` mode; yield the URL that leads through it."""
    found = program()
    if found is None:
        raise SystemExit("no PgBouncer here; Debian's package is named pgbouncer")
    server = urls.arguments(database_url)
    directory = Path(tempfile.mkdtemp(prefix="contactsync-pgbouncer-"))
    port = free_port()
    url = f"postgres://{server['user']}:{quote(server['password'], safe='')}@{HOST}:{port}/{server['dbname']}"
    process: subprocess.Popen[bytes] | None = None
    try:
        account = _write(directory, server, port, {"pool_mode": mode, **settings})
        log = directory / "pgbouncer.log"
        process = spawn(
            [found, str(directory / "pgbouncer.ini")],
            log=log,
            env=bare_environment(),
            death_signal=signal.SIGTERM,
            account=account,
        )
        if not until(lambda: _listens(port), timeout_s=_START_S):
            raise SystemExit(f"PgBouncer did not listen in {_START_S:.0f} s; its log ends with:\n{log_tail(log)}")
        yield url
    finally:
        if process is not None:
            end(process, (signal.SIGTERM, 2), (signal.SIGKILL, 5))
        shutil.rmtree(directory, ignore_errors=True)


def _write(directory: Path, server: dict[str, str], port: int, settings: dict[str, object]) -> Account | None:
    """Write its files, readable to the user that runs it: it refuses to run as root."""
    options = {
        "listen_addr": HOST,
        "listen_port": port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": directory / "users.txt",
        "default_pool_size": 12,
        "max_client_conn": 500,
        **settings,
    }
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    files = {
        "users.txt": f'"{server["user"]}" "{server["password"]}"\n',
        "pgbouncer.ini": f"[databases]\n* = host={server['host']} port={server['port']}\n[pgbouncer]\n{lines}",
    }
    account = Account.instead_of_root(("postgres", "nobody"))
    for name, content in files.items():
        (directory / name).write_text(content)
        if account:
            os.chown(directory / name, account.uid, account.gid)
    if account:
        os.chown(directory, account.uid, account.gid)
    return account


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=2):
        return True
    return False
