"""Child processes, and the users, files and ports that they need.

A child ends when we end, however that happens, and leaves no process of its own behind.
"""

import json
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from worker.errors import ConfigError

HOST = "127.0.0.1"
_SHARED = Path("/var/lib/contactsync")
POLL_S = 0.02  #: pause between two checks of a condition that we wait for

#: Below the range from which systems give ports to clients, or a client could take the port of a server that is down.
_PORTS = range(20_000, 32_000)
_LOG_LIMIT = 16 * 1024 * 1024  #: bytes; a larger log is renamed at the next start

# A small program that prepares its own process and then becomes the command, because Python code between fork and
# exec can hang in a process with threads. Changing the user clears the death signal, so the user changes first.
_LAUNCHER = """\
import ctypes, os, sys
parent, death_signal, uid, gid = map(int, sys.argv[1:5])
if uid:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, death_signal)  # PR_SET_PDEATHSIG
if os.getppid() != parent:
    sys.exit("our parent ended before we began")
try:
    os.execv(sys.argv[5], sys.argv[5:])
except OSError as error:
    sys.exit(f"{sys.argv[5]} cannot be started: {error.strerror}")
"""

_REAPER = """\
import os, signal, sys
groups = set()
for line in sys.stdin:
    (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
for group in groups:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass
"""


@dataclass(frozen=True)
class Account:
    """A user of the operating system, not root."""

    uid: int
    gid: int

    @classmethod
    def instead_of_root(cls, names: Sequence[str]) -> "Account | None":
        """Return the first of these users that exists, for root to run a server as; None if we are not root."""
        if os.geteuid() == 0:
            for name in names:
                with suppress(KeyError):
                    entry = pwd.getpwnam(name)
                    return cls(entry.pw_uid, entry.pw_gid)
        return None

    def can_enter(self, directory: Path) -> bool:
        """Whether the permissions of every directory of the path let this user through; ACLs are ignored."""
        return all(self._may(path, 0o1) for path in (directory, *directory.parents))

    def can_run(self, program: Path) -> bool:
        """Whether this user can reach, read and execute the program."""
        return self.can_enter(program.parent) and self._may(program, 0o5)

    def _may(self, path: Path, bits: int) -> bool:
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return status.st_mode >> shift & bits == bits


def shared_directory() -> Path:
    """Return a directory of ours that other users can reach, for servers that root starts as another user.

    The first call creates it. Raises ConfigError if it cannot.
    """
    try:
        if not _SHARED.exists():
            _SHARED.mkdir(parents=True)
            _SHARED.chmod(0o755)
    except OSError as error:
        raise ConfigError(f"servers do not run as root, and a directory for them cannot be created: {error}") from error
    return _SHARED


def spawn(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str],
    cwd: Path = Path("/"),
    death_signal: signal.Signals = signal.SIGKILL,
    account: Account | None = None,
    stdin: str = "",
) -> subprocess.Popen[bytes]:
    """Start a command in a session of its own, so that Ctrl-C in the terminal reaches only us.

    On Linux the command gets ``death_signal`` when the *thread* that called this function ends, however it ends. So
    call it from a thread that lives as long as the command should. On other systems the command survives if we are
    killed.
    """
    with open_log(log) as output:
        process = subprocess.Popen(  # noqa: S603  # the commands are ours
            tied_to_us(command, death_signal, account),
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
    if process.stdin:
        with suppress(BrokenPipeError), process.stdin as pipe:
            pipe.write(stdin.encode())
    return process


def tied_to_us(
    command: Sequence[str], death_signal: signal.Signals = signal.SIGKILL, account: Account | None = None
) -> list[str]:
    """Return the command behind a launcher that ties its life to ours (see ``spawn``)."""
    who = (account.uid, account.gid) if account else (0, 0)
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, (os.getpid(), int(death_signal), *who))]
    return [*launcher, *command]


def bare_environment() -> dict[str, str]:
    """Return an environment for servers: without our variables, which hold secrets and could change their settings."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}


def end(
    process: subprocess.Popen[bytes],
    *steps: tuple[signal.Signals, float],
    hurry: Callable[[], bool] = lambda: False,
) -> None:
    """Send each signal and wait its seconds until the process is gone; then kill what is left of its group.

    While we wait after the first signal, ``hurry`` is called repeatedly; once it returns True, the next signal is sent.
    """
    for number, (signum, patience_s) in enumerate(steps):
        if process.poll() is None:
            process.send_signal(signum)
            _await_end(process, patience_s, hurry if number == 0 else lambda: False)
    kill_group(process)


def _await_end(process: subprocess.Popen[bytes], patience_s: float, hurry: Callable[[], bool]) -> None:
    until(lambda: process.poll() is not None or hurry(), timeout_s=patience_s)


def kill_group(process: subprocess.Popen[bytes], *, timeout_s: float = 5) -> None:
    """Kill what is left of the process's group; return when nothing is left, or after ``timeout_s`` seconds.

    Killed processes are dead at once, but each stays in the group until its parent has collected its exit code.
    """

    def is_gone() -> bool:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # macOS permits no signal to a group of zombies
            return process.poll() is not None
        if process.poll() is not None:
            with suppress(ChildProcessError):  # if we are process 1 of a container, its orphans are our children
                os.waitpid(-process.pid, os.WNOHANG)
        return False

    until(is_gone, timeout_s=timeout_s)


class Reaper:
    """A small process that notices when we are gone, however we ended, and kills the groups under its watch.

    The kernel's death signal reaches only the processes that we started ourselves. Without the reaper Celery's pool
    would stay: its processes wait on pipes, and they hold the other ends of these pipes open for each other.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-I", "-S", "-c", _REAPER]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, env=bare_environment(), start_new_session=True)  # noqa: S603  # ours

    def watch(self, group: int) -> None:
        """Kill this process group when we are gone."""
        self._send(f"+{group}")

    def forget(self, group: int) -> None:
        """Stop watching a group that has ended, because the system may give its number to another group."""
        self._send(f"-{group}")

    def close(self) -> None:
        """End the reaper; it kills the groups that it still watches."""
        self._process.communicate()

    def _send(self, line: str) -> None:
        if self._process.stdin:
            with suppress(BrokenPipeError):  # somebody killed the reaper; we go on without it
                self._process.stdin.write(f"{line}\n".encode())
                self._process.stdin.flush()


def is_alive(pid: int) -> bool:
    """Whether a process with this id exists, whichever user it belongs to."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def until(condition: Callable[[], object], *, timeout_s: float) -> bool:
    """Wait until the condition holds; return False if it does not hold after ``timeout_s`` seconds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True


def open_log(path: Path) -> IO[bytes]:
    """Open a log for appending; a log above 16 MB is renamed to ``….1`` first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.replace(path.with_suffix(path.suffix + ".1"))
    return open_private(path)


def open_private(path: Path) -> IO[bytes]:
    """Open a file for appending; only its owner may read it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def log_tail(path: Path, lines: int = 5) -> str:
    """Return the last lines of a log for a message; empty if the log cannot be read."""
    with suppress(OSError), path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 4096))
        return "\n".join(log.read().decode(errors="replace").strip().splitlines()[-lines:])
    return ""


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read; after a crash it has either the old or the new content."""
    new = path.with_name(path.name + ".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None if the file is missing or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def port_is_free(port: int, host: str = HOST) -> bool:
    """Whether a server could listen on this port now."""
    with socket.socket() as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # recently closed connections (TIME_WAIT) do not block a port
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port for a server that can use it again after a restart; raises ConfigError if none is free."""
    for port in random.sample(_PORTS, 100):
        if port_is_free(port):
            return port
    raise ConfigError(f"found no free port from {_PORTS.start} to {_PORTS.stop}")
