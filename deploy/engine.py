"""The engine and Compose, as commands: what a person would type, with the answers as text."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
WORK = ROOT / "build" / "try"
COMPOSE = ROOT / "build" / "compose" / "bin" / "docker-compose"
_ENGINE_UP_IN_S = 60.0


class FailedError(RuntimeError):
    """A command failed; the text has its last words."""


def docker(*words: str) -> str:
    """Run `docker`; return what it printed."""
    return _run(["docker", *words])


class Project:
    """Runs Compose with our file and with the settings of one trial."""

    def __init__(self, environment: dict[str, str], images: dict[str, str]) -> None:
        WORK.mkdir(parents=True, exist_ok=True)
        self._env = WORK / "env"
        self._override = WORK / "override.json"
        self.environment = environment
        services = {name: {"image": image} for name, image in images.items() if name != "base"}
        if "base" in images:
            environment["BASE_IMAGE"] = images["base"]
        self._override.write_text(json.dumps({"services": services}))

    @property
    def command(self) -> list[str]:
        """Return how Compose is called for it, the settings of now included."""
        self._env.write_text("".join(f"{name}={value}\n" for name, value in self.environment.items()))
        files = ["--file", str(ROOT / "docker-compose.yml"), "--file", str(self._override)]
        project = ["--project-name", "contactsync-try", "--project-directory", str(ROOT)]
        return [str(COMPOSE), *project, *files, "--env-file", str(self._env)]

    def __call__(self, *words: str, stdin: str = "") -> str:
        return _run([*self.command, *words], stdin=stdin)

    def contactsync(self, *words: str, stdin: str = "") -> str:
        """Run a command of ours in the web container."""
        return self("exec", "--no-TTY", "web", "contactsync", *words, stdin=stdin)

    def containers(self, service: str = "") -> list[str]:
        """Return the ids of the containers of a service, or of all."""
        return sorted(self("ps", "--all", "--quiet", *([service] if service else [])).split())

    def kill(self, service: str) -> None:
        """End a container as a lack of memory would, so that its restart policy brings it back."""
        for container in self.containers(service):
            pid = inspect(container)["State"]["Pid"]
            # From a container beside it: the engine may be on another machine, and what it is told to kill stays down.
            docker(
                *("run", "--rm", "--pid=host", "--user=0", "--network=none", "--security-opt=apparmor=unconfined"),
                *("--entrypoint=sh", f"contactsync:{self.environment['VERSION']}", "-c", f"kill -9 {pid}"),
            )

    def remove(self) -> None:
        """Take all of it away, the volumes too."""
        self("--profile", "*", "down", "--volumes", "--timeout", "1")


def inspect(container: str) -> Any:
    """Return what the engine knows of a container."""
    return json.loads(docker("inspect", container))[0]


def _run(command: list[str], *, stdin: str = "") -> str:
    if command[0] == "docker" and shutil.which("docker") is None:
        raise FailedError("there is no docker on the PATH")
    environ = os.environ | builder()
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environ, check=False)
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise FailedError(f"{' '.join(command[:1] + command[-4:])} failed:\n{said}")
    return done.stdout


@cache
def builder() -> dict[str, str]:
    """Return the variable that asks for the engine's own builder, where the newer one is not installed."""
    done = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return {} if done.returncode == 0 else {"DOCKER_BUILDKIT": "0"}


@contextmanager
def own_engine() -> Iterator[None]:
    """Run a dockerd of our own until the block ends; our network is a new one, which nobody else is in."""
    directory = Path(tempfile.mkdtemp(prefix="contactsync-engine-"))
    socket = f"unix://{directory}/docker.sock"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with (directory / "log").open("wb") as log:
        places = {"data-root": "data", "exec-root": "exec", "pidfile": "pid"}
        options = [f"--{name}={directory / place}" for name, place in places.items()]
        process = subprocess.Popen(["dockerd", *options, f"--host={socket}"], stdout=log, stderr=log)
    os.environ["DOCKER_HOST"] = socket
    try:
        _await_engine(process, directory / "log")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        subprocess.run(["umount", "--recursive", str(directory / "data")], capture_output=True, check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _await_engine(process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + _ENGINE_UP_IN_S
    while time.monotonic() < end and process.poll() is None:
        try:
            docker("info")
        except FailedError:
            time.sleep(0.2)
        else:
            return
    raise FailedError("dockerd does not answer:\n" + "\n".join(log.read_text().splitlines()[-15:]))
