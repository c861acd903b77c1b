"""Which images a trial uses: the real ones if a registry has them, or else stand-ins."""

import shutil

from deploy import standins
from deploy.engine import ROOT, FailedError, docker

_LOCK = ROOT / "requirements-image.lock"
#: a service, or the base of our own image -> the image that docker-compose.yml names, and its stand-in
IMAGES = {
    "postgres": ("postgres:18.6", "postgres"),
    "valkey": ("valkey/valkey:8.1.8", "valkey"),
    "proxy": ("caddy:2.10.2", "caddy"),
    "base": ("python:3.12.12-slim-bookworm", "python"),
}


def choose(*, only_stand_ins: bool) -> dict[str, str]:
    """Return the image of each stand-in by service; nothing if the real images are here."""
    if not only_stand_ins and _pulled():
        return {}
    standins.fetch_wheels(_LOCK)
    made = {"postgres": standins.postgres(), "valkey": standins.valkey(), "base": standins.python()}
    if (caddy := standins.caddy()) is not None:
        made["proxy"] = caddy
    used = {}
    for service, image in made.items():
        name = IMAGES[service][1]
        directory = ROOT / "build" / "standins" / name
        standins.write_context(name, image, directory)
        used[service] = f"contactsync-stand-in-{name}"
        docker("build", "--quiet", "--tag", used[service], str(directory))
        shutil.rmtree(directory)
    return used


def _pulled() -> bool:
    for real, _ in IMAGES.values():
        try:
            docker("image", "inspect", real)
        except FailedError:
            try:
                docker("pull", "--quiet", real)
            except FailedError:
                return False
    return True
