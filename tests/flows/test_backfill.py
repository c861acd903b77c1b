"""Backfill of a simulated shop on a real stack: nothing is missing in spite of faults, kills and live webhooks.

CONTACTSYNC_BACKFILL_SIZE sets the number of customers; 200,000 takes some minutes a run.
"""

import asyncio
import base64
import json
import os
import random
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.flows.stack import RunningStack, wait_until
from worker.stack.processes import free_port

SIZE = int(os.environ.get("CONTACTSYNC_BACKFILL_SIZE", "3000"))
LIMIT_S = 60 + SIZE / 50
SECRET = "invented webhook secret"
FAULTS = {
    "throttle_every": 5,
    "error_every": 7,
    "html_every": 11,
    "expire_token_every": 9,
    "cut_every": 2,
    "truncate_every": 3,
    "expire_url_every": 4,
    "cancel_bulk_times": 1,
}


class Shop:
    """A simulated Admin API in a process of its own."""

    def __init__(self, port, size):
        self.url = f"http://127.0.0.1:{port}"
        given = {"port": port, "seed": 11, "size": size, "refresh-token": "r", "secret": SECRET, "bulk-seconds": 0.5}
        arguments = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        self._process = subprocess.Popen([sys.executable, "-m", "connectors.shopify.simulator", *arguments])
        self._client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def get(self, path):
        return self._client.get(path).json()

    def post(self, path, **body):
        answer = self._client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def is_up(self):
        assert self._process.poll() is None
        try:
            return self._client.get("/_control/stats").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self):
        self._client.close()
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def shop():
    found = Shop(free_port(), SIZE)
    wait_until(found.is_up, 30)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    found = RunningStack(tmp_path_factory.mktemp("backfill"))
    found.start()
    yield found
    found.stop()


def connect(stack, shop, organization):
    tokens = shop.get("/_control/credentials")
    credentials = {
        "refresh_token": tokens["refresh_token"],
        "client_id": "invented client",
        "client_secret": "invented client secret",
    }
    return stack.cli(
        *("connections", "add", "shopify", "--shop-domain", "simulated.myshopify.com", "--webhook-secret", SECRET),
        *("--access-token", tokens["access_token"], "--api-url", shop.url, "--organization", organization),
        *(word for name, value in credentials.items() for word in ("--credential", f"{name}={value}")),
    )


def start(stack, added, organization, *more):
    command = ("backfill", "start", added["connection_id"], *more, "--organization", organization)
    return stack.cli(*command)["run_id"]


def ended(stack, run_id, organization):
    wait_until(lambda: stack.run_state(run_id, organization) != "running", LIMIT_S)
    return stack.cli("backfill", "status", run_id, "--organization", organization)


@contextmanager
def failing(shop):
    """Let the shop fail in every way until the block ends."""
    shop.post("/_control/faults", **FAULTS)
    try:
        yield
    finally:
        shop.post("/_control/faults", **dict.fromkeys(FAULTS, 0))


@contextmanager
def killing(stack, every_s):
    """SIGKILL the worker's processes every few seconds, and note their peak memory."""
    is_over = threading.Event()
    seen = {"kills": 0, "peak_mb": 0.0}
    rng = random.Random(3)

    def kill():
        while not is_over.wait(every_s * rng.uniform(0.5, 1.5)):
            seen["peak_mb"] = max([seen["peak_mb"], *map(memory_mb, stack.workers())])
            seen["kills"] += stack.kill_workers() > 0

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


def memory_mb(pid):
    """Return the peak resident memory of a process in MB; 0 if the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peak = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(peak.split()[1]) / 1024


async def deliver(url, deliveries):
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client:
        left = list(reversed(deliveries))

        async def send():
            while left:
                one = left.pop()
                headers, body = one["headers"], base64.b64decode(one["body"])
                for _ in range(20):
                    try:
                        answer = await client.post(url, content=body, headers=headers)
                    except httpx.TransportError:
                        answer = None
                    if answer is not None and answer.status_code == 200:
                        break
                    await asyncio.sleep(0.2)
                else:
                    raise AssertionError("a webhook was not taken")

        await asyncio.gather(*(send() for _ in range(8)))


def test_faults_and_kills_change_nothing(stack, shop):
    plain = connect(stack, shop, "plain")
    began = time.monotonic()
    calm = ended(stack, start(stack, plain, "plain"), "plain")
    calm_s = time.monotonic() - began
    assert (calm["state"], calm["read"], calm["expected"]) == ("done", SIZE, SIZE), calm

    disturbed = connect(stack, shop, "disturbed")
    with failing(shop), killing(stack, 6.0) as seen:
        began = time.monotonic()
        wild = ended(stack, start(stack, disturbed, "disturbed"), "disturbed")
        wild_s = time.monotonic() - began
    happened = shop.get("/_control/stats")["faults"]
    print(f"calm {calm_s:.0f} s, wild {wild_s:.0f} s, {seen}, faults {happened}", file=sys.stderr)  # noqa: T201

    assert wild["state"] == "done", wild
    assert wild["read"] == wild["expected"] == SIZE
    assert wild["changed"] + wild["unchanged"] + wild["parked"] == SIZE
    assert wild["parked"] == calm["parked"]
    assert seen["peak_mb"] < 300
    assert stack.export("disturbed") == stack.export("plain")


def test_newer_webhooks_win_over_a_run(stack, shop):
    added = connect(stack, shop, "live")
    run_id = start(stack, added, "live")
    changed = shop.post("/_control/change", count=SIZE // 10, seed=1)
    random.Random(5).shuffle(changed)
    with failing(shop), killing(stack, 6.0):
        asyncio.run(deliver(added["webhook_url"].replace("http://127.0.0.1:8000", stack.url), changed))
        assert ended(stack, run_id, "live")["state"] == "done"
    stack.settled("live", LIMIT_S)
    live = stack.export("live")

    # A run that begins after all changes finds the same state as the run that went on during them.
    after = connect(stack, shop, "after")
    assert ended(stack, start(stack, after, "after"), "after")["state"] == "done"
    assert profiles(live) == profiles(stack.export("after"))
    # Consent stays with its address. So the live store shows more consents for customers who changed or share one,
    # and only the consents in the webhooks are compared.
    shown, stated = consents(live), consents_stated(changed)
    assert len(stated) > SIZE // 100
    assert {key: shown.get(key) for key in stated} == stated


def profiles(dump):
    """Return name, e-mail, phone and tags by customer."""
    return {
        line["external_id"]: (line["name"], line["email"], line["phone_number"], sorted(line["tags"]))
        for line in map(json.loads, dump.splitlines())
    }


def consents(dump):
    """Return the status of each consent by customer and channel."""
    return {
        (line["external_id"], one["channel"]): one["status"]
        for line in map(json.loads, dump.splitlines())
        for one in line["consents"]
    }


def consents_stated(deliveries):
    """Return the last status in the webhooks by customer and channel; customers may share the address."""
    statements, address_of = {}, {}
    for one in deliveries:
        body = json.loads(base64.b64decode(one["body"]))
        for channel, customer, address, block in (
            ("email", "customer_id", "email_address", "email_marketing_consent"),
            ("sms", "id", "phone", "sms_marketing_consent"),
        ):
            if block in body:
                state = {"subscribed": "opted_in", "unsubscribed": "opted_out"}[body[block]["state"]]
                subject = (channel, body[address].lower())
                # Of an opt-in and an opt-out in the same second, the opt-out counts.
                statements.setdefault(subject, []).append((body[block]["consent_updated_at"], state))
                address_of[str(body[customer]), channel] = subject
    return {key: max(statements[subject])[1] for key, subject in address_of.items()}


def test_reconciling_finds_and_repairs_what_was_missed(stack, shop):
    added = connect(stack, shop, "drift")
    assert ended(stack, start(stack, added, "drift"), "drift")["state"] == "done"
    share = max(2, SIZE // 100)
    shop.post("/_control/change", count=share, seed=2)  # The webhooks of these changes are lost.
    shop.post("/_control/delete", count=share)

    run = ended(stack, start(stack, added, "drift", "--kind", "reconcile"), "drift")

    report = run["report"]
    assert run["state"] == "done", run
    assert report["missing"] == 0
    assert report["gone"] == report["removed"] == share
    assert report["stale"] == report["repaired"] <= share  # some of the changed ones were deleted
    assert report["stale"] >= share * 0.8
    after = connect(stack, shop, "fresh")
    assert ended(stack, start(stack, after, "fresh"), "fresh")["state"] == "done"
    assert profiles(stack.export("drift")) == profiles(stack.export("fresh"))
