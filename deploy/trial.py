"""The trial of the compose file: up, 1,000 deliveries, kills, an update, stops, a proxy; see ``deploy/try.sh``."""

import argparse
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from urllib.parse import urlsplit

from cryptography.fernet import Fernet

from connectors.shopify.simulator.shop import two_shops
from deploy import images, proxied, stops
from deploy.engine import ROOT, FailedError, Project, builder, docker, inspect, own_engine
from deploy.line import Line
from deploy.organization import connect, export, wait_empty
from deploy.sender import Watch, send

_SEED = 18
#: what is killed, in this order, while deliveries arrive
_KILLED = ("valkey", "worker", "beat", "web", "postgres")
#: all but migrate, which ends
_SERVICES = ("postgres", "valkey", "web", "worker", "beat")
#: promised: without web during an update
_AWAY_S = 6.0


def main() -> int:
    """Run the trial; return the exit code."""
    parser = argparse.ArgumentParser(prog="deploy/try.sh", description=__doc__)
    parser.add_argument("--deliveries", type=int, default=1000)
    parser.add_argument("--own-engine", action="store_true", help="start the dockerd of the PATH")
    parser.add_argument("--stand-ins", action="store_true", help="do not ask a registry for the real images")
    parser.add_argument("--keep", action="store_true", help="leave it running at the end")
    given = parser.parse_args()
    lines: list[Line] = []
    with own_engine() if given.own_engine else nullcontext():
        try:
            for line in _trial(given):
                lines.append(line)
                print(f"{'ok  ' if line.is_good else 'FAIL'}  {line.what:<46}  {line.found}", flush=True)
        except FailedError as error:
            lines.append(Line("the trial", "did not come to its end", is_good=False))
            print(f"FAIL  {error}", file=sys.stderr)
    failed = sum(not line.is_good for line in lines)
    print(f"{len(lines) - failed} passed, {failed} failed")
    return int(failed > 0)


def _trial(given: argparse.Namespace) -> Iterator[Line]:
    began = time.monotonic()
    used = images.choose(only_stand_ins=given.stand_ins)
    yield Line("images", f"{'stand-ins' if used else 'the real ones'}, {time.monotonic() - began:.0f} s")
    environment = {
        "CONTACTSYNC_SECRET_KEYS": Fernet.generate_key().decode(),
        "POSTGRES_PASSWORD": secrets.token_hex(24),
        "VALKEY_PASSWORD": secrets.token_hex(24),
        "PORT": str(free_port()),
        "VERSION": "try",
    }
    project = Project(environment, used)
    with _cleaned(project, keep=given.keep):
        yield from _brought_up(project)
        history = two_shops(_SEED, given.deliveries)
        shops = list({shop.domain: shop for shop, _ in history}.values())
        urls = {name: connect(project, name, shops) for name in ("calm", "stormy", "proxied")}
        yield from _delivered(project, history, urls)
        yield from _updated(project)
        yield from stops.stopped(project, urlsplit(urls["calm"][shops[0].domain]).path)
        if used and "proxy" not in used:
            yield Line("behind the proxy", "skipped: no caddy on the PATH to stand in for the image")
        else:
            yield from proxied.tried(project, history, urls["proxied"], update, (free_port(), free_port()))


@contextmanager
def _cleaned(project: Project, *, keep: bool) -> Iterator[None]:
    project.remove()
    try:
        yield
    except FailedError:
        with suppress(FailedError):
            print(project("ps", "--all"), project("logs", "--tail", "20"), file=sys.stderr)
        raise
    finally:
        if not keep:
            project.remove()


def _brought_up(project: Project) -> Iterator[Line]:
    began = time.monotonic()
    project("build")
    size = int(docker("image", "inspect", "--format", "{{.Size}}", "contactsync:try"))
    base = project.environment.get("BASE_IMAGE")
    own = size - int(docker("image", "inspect", "--format", "{{.Size}}", base)) if base else size
    where = " above its base" if base else ""
    yield Line("the image builds", f"{time.monotonic() - began:.0f} s, {own / 1e6:.0f} MB{where}")
    began = time.monotonic()
    project("up", "--detach")
    project("up", "--detach", "--wait", *_SERVICES)
    yield Line("up, until all are healthy", f"{time.monotonic() - began:.1f} s")
    before = project.containers()
    project("up", "--detach")
    yield Line("a second up recreates nothing", f"{len(before)} containers", project.containers() == before)
    users = {name: project("exec", "--no-TTY", name, "id", "-u").strip() for name in _SERVICES if name != "postgres"}
    hosts = [inspect(one)["HostConfig"] for one in before]
    is_confined = all(
        host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and host["LogConfig"]["Config"]["max-size"]
        for host in hosts
    )
    found = ", ".join(f"{name} {uid}" for name, uid in users.items())
    yield Line("read-only, without capabilities, users", found, is_confined and "0" not in users.values())


def _delivered(project: Project, history: list, urls: dict[str, dict[str, str]]) -> Iterator[Line]:
    origin = f"http://localhost:{project.environment['PORT']}"
    printed = all(url.startswith(f"{origin}/") for known in urls.values() for url in known.values())
    yield Line("PUBLIC_URL follows PORT", origin, printed)

    began = time.monotonic()
    answers = send((urls["calm"][shop.domain], delivery) for shop, delivery in history)
    wait_empty(project, "calm")
    calm = export(project, "calm")
    contacts = calm.count("\n")
    found = f"{told(answers)}, empty after {time.monotonic() - began:.1f} s, {contacts} contacts"
    yield Line(f"{len(history)} deliveries, undisturbed", found, answers["given up"] == 0 and contacts > 0)

    began = time.monotonic()
    share = len(history) // (len(_KILLED) + 1)
    kills = {share * (n + 1): partial(project.kill, service) for n, service in enumerate(_KILLED)}
    answers = send(((urls["stormy"][shop.domain], delivery) for shop, delivery in history), at=kills)
    wait_empty(project, "stormy")
    found = f"{told(answers)}, empty after {time.monotonic() - began:.1f} s"
    yield Line(f"{len(history)} deliveries, each service killed", found, answers["given up"] == 0)
    restarts = {name: inspect(project.containers(name)[0])["RestartCount"] for name in _KILLED}
    found = ", ".join(f"{name} {n}" for name, n in restarts.items())
    yield Line("started again by themselves", found, all(restarts.values()))
    stormy = export(project, "stormy")
    yield Line("nothing lost: the exports are equal", f"{len(calm):,} and {len(stormy):,} bytes", calm == stormy)


def told(answers: dict[str, int]) -> str:
    """Return counted answers as text."""
    return ", ".join(f"{n} x {answer}" for answer, n in sorted(answers.items()) if n)


def _updated(project: Project) -> Iterator[Line]:
    """Update to the same code under another version, which makes another image."""
    url = f"http://127.0.0.1:{project.environment['PORT']}"
    with Watch(url) as restart:
        project("restart", "web")
        project("up", "--detach", "--no-deps", "--wait", "web")
    project.environment["VERSION"] = "try-next"
    before = project.containers("web")
    with Watch(url) as watch:
        update(project)
    is_new = not set(project.containers("web")) & set(before)
    found = f"{watch.longest_s:.1f} s, and {restart.longest_s:.1f} s in a mere restart of web"
    # A machine that is busy with other things starts no web in that time.
    is_short = watch.longest_s < max(_AWAY_S, restart.longest_s + 2)
    yield Line("an update; without web for", found, is_new and is_short)
    labels = inspect(project.containers("web")[0])["Config"]["Labels"]
    found = labels["org.opencontainers.image.version"]
    yield Line("the version on the label of the image", found, found == "try-next")


def update(project: Project) -> None:
    """Run the command of the guide."""
    environ = os.environ | {"COMPOSE": " ".join(project.command)} | builder()
    command = [str(ROOT / "deploy" / "update.sh")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"deploy/update.sh failed:\n{done.stderr[-2000:]}")


def free_port() -> int:
    """Return a port that is free on this machine now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
