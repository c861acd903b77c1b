"""An organization of the trial: its shops, whether its inbox is empty, and its export."""

import json
import time
from collections.abc import Iterable

from connectors.shopify.simulator.shop import Shop
from deploy.engine import FailedError, Project

_SETTLED_IN_S = 180.0


def connect(project: Project, organization: str, shops: Iterable[Shop]) -> dict[str, str]:
    """Connect shops; return their webhook URLs, as they are printed, by domain."""
    return {shop.domain: _add(project, organization, n, shop) for n, shop in enumerate(shops)}


def _add(project: Project, organization: str, n: int, shop: Shop) -> str:
    options = ["--source", f"shop-{n}", "--shop-domain", shop.domain, "--webhook-secret-file", "-"]
    words = ["connections", "add", "shopify", *options, "--organization", organization, "--json"]
    return str(json.loads(project.contactsync(*words, stdin=shop.secret))["webhook_url"])


def wait_empty(project: Project, organization: str) -> None:
    """Wait until nothing of it is due or postponed."""
    end = time.monotonic() + _SETTLED_IN_S
    while time.monotonic() < end:
        try:
            inbox = json.loads(project.contactsync("status", "--organization", organization, "--json"))["inbox"]
        except FailedError:  # something is not back yet
            time.sleep(0.5)
            continue
        if inbox["due"] + inbox["postponed"] == 0:
            return
    raise FailedError(f"the inbox of {organization} is not empty after {_SETTLED_IN_S:.0f} s")


def export(project: Project, organization: str) -> str:
    """Return its canonical export."""
    return project.contactsync("export", "--canonical", "--organization", organization)
