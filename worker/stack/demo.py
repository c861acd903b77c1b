"""`contactsync demo`: a simulated shop sends webhooks to a real stack, and the results are shown."""

import asyncio
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import structlog
from rich.console import Console
from rich.table import Table

from connectors.shopify.simulator.shop import Shop, signed
from connectors.simulation.deliveries import Delivery, disturbed
from connectors.simulation.people import Person, people
from worker import ids, settings, status
from worker.domain.terms import envelope_of
from worker.domain.times import moment
from worker.errors import SyncError
from worker.pipeline import contact_view
from worker.shown import cell, columns
from worker.shown import console as stdout
from worker.stack.demo_history import read_history
from worker.stack.supervisor import Stack, Supervisor, secret_key
from worker.store import api_keys, connections, contact_lists, db, organizations
from worker.store.contact_lists import ContactFilter
from worker.store.db import Tx

DOMAIN, SECRET = "warung-kopi.myshopify.com", "demo-webhook-secret"
_SEED = 20261123
_DELIVERIES = 300
_SENDERS = 16
_SETTLED_IN_S = 90.0
#: number of contacts that are shown in full
_SHOWN = 3

log = structlog.get_logger()


def run(port: int, *, stay: bool) -> int:
    """Run the demo; return the exit code. With ``stay`` the stack keeps running until a signal arrives."""
    console = stdout()
    with tempfile.TemporaryDirectory(prefix="contactsync-demo-", ignore_cleanup_errors=True) as directory:
        data_dir = Path(directory)
        others = ("DATABASE_URL", "REDIS_URL", "BROKER_URL")
        environ = {name: value for name, value in os.environ.items() if name not in others}
        supervisor = Supervisor(data_dir, port, environ=environ)
        stop, failed = threading.Event(), threading.Event()

        def play(running: Stack) -> None:
            try:
                _play(running, data_dir, console, stay=stay)
            except BaseException as error:
                failed.set()
                stop.set()  # first, because the line below may fail, and then the stack would run on
                if not isinstance(error, (SyncError, httpx.HTTPError, AssertionError)):
                    raise
                console.print(f"the demo failed: {type(error).__name__}: {error}", markup=False, style="red")
            finally:
                db.engine().dispose()
            if not stay:
                stop.set()

        def begin(running: Stack) -> None:
            threading.Thread(target=play, args=(running,), daemon=True).start()

        console.print("Starting Postgres, the broker, web, 2 workers and beat …")
        code = supervisor.run(on_ready=begin, stop=stop)
    return code or int(failed.is_set())


def _play(running: Stack, data_dir: Path, console: Console, *, stay: bool) -> None:
    os.environ.update(
        DATABASE_URL=running["database_url"],
        REDIS_URL=running["redis_url"],
        BROKER_URL="",
        PUBLIC_URL=running["url"],
        CONTACTSYNC_SECRET_KEYS=os.environ.get("CONTACTSYNC_SECRET_KEYS") or secret_key(data_dir),
    )
    settings.reload()
    with db.engine().begin() as conn:
        organization_id = organizations.ensure(conn, "default")
        tx = Tx(conn, organization_id)
        _, key = api_keys.insert_new(tx, ["contacts:read"])
        connection_id = connections.insert_new(
            tx,
            connector="shopify",
            source="shopify",
            options={"shop_domain": DOMAIN},
            region="ID",
            priority=100,
            webhook_secrets=[SECRET],
        )
    url = f"{running['url']}/webhooks/{ids.show(ids.CONNECTION, connection_id)}"
    deliveries = story()
    began = time.monotonic()
    answers = asyncio.run(_send(url, deliveries))
    found = _wait(organization_id)
    console.print(f"{len(deliveries)} deliveries sent and worked off in {time.monotonic() - began:.1f} s\n")
    _show_outcomes(console, answers, found)
    _show_contacts(console, organization_id)
    _show_parked(console, organization_id)
    history, took_s = read_history(organization_id, data_dir)
    console.print(
        f"A second shop with earlier customers: {history.read} customers read in {took_s:.1f} s "
        f"= {history.changed} changed + {history.unchanged} unchanged + {history.parked} parked\n"
    )
    _show_address(console, running, key, data_dir, stay=stay)


def story() -> list[Delivery]:
    """Return the shop's deliveries: its history, out of order and with repeats, and six scenes of our own."""
    cast = people(_SEED, 60)
    history = Shop(_SEED, DOMAIN, SECRET, cast[:-1]).history(_DELIVERIES)
    rng = random.Random(_SEED)  # noqa: S311 - a story that is the same every time
    return [*disturbed(history, rng, most=2), *_scenes(cast[-1])]


def _scenes(hero: Person) -> list[Delivery]:
    """A customer who unsubscribes, an older consent that arrives late, a forged signature, two malformed bodies."""
    customer: dict[str, Any] = {
        "id": 9_000_000_001,
        "created_at": "2026-10-01T08:00:00+07:00",
        "updated_at": "2026-10-01T08:00:00+07:00",
        "first_name": hero.first_name,
        "last_name": hero.last_name,
        "email": hero.email,
        "phone": hero.phone,
        "verified_email": True,
    }

    def consent(state: str, at: str) -> dict[str, Any]:
        marketing = {"state": state, "opt_in_level": "single_opt_in", "consent_updated_at": at}
        return {"customer_id": customer["id"], "email_address": hero.email, "email_marketing_consent": marketing}

    topic = "customers_email_marketing_consent/update"
    sent_at = "2026-11-20T10:00:00.000000Z"

    def delivery(body: bytes | dict[str, Any], topic: str, number: int, secret: str = SECRET) -> Delivery:
        id_ = f"00000000-0000-4000-8000-{number:012}"
        return signed(body, secret, topic=topic, domain=DOMAIN, webhook_id=id_, sent_at=sent_at)

    return [
        delivery(consent("unsubscribed", "2026-11-10T12:00:00+07:00"), topic, 1),
        delivery(consent("subscribed", "2026-10-02T12:00:00+07:00"), topic, 2),  # older: it must not win
        delivery(customer, "customers/create", 3),
        delivery({**customer, "first_name": "Mallory"}, "customers/update", 4, secret="somebody-else"),  # noqa: S106
        delivery(b'{"id": 9000000002, "email": ', "customers/update", 5),
        delivery({"id": 9_000_000_003, "updated_at": "yesterday"}, "customers/update", 6),
    ]


async def _send(url: str, deliveries: Sequence[Delivery]) -> Counter[int]:
    answers: Counter[int] = Counter()
    left = list(reversed(deliveries))

    async def sender(client: httpx.AsyncClient) -> None:
        while left:
            delivery = left.pop()
            answer = await client.post(url, content=delivery.body, headers=delivery.headers)
            answers[answer.status_code] += 1

    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        await asyncio.gather(*(sender(client) for _ in range(_SENDERS)))
    return answers


def _wait(organization_id: Any) -> dict[str, Any]:
    """Wait until no envelope is due and return the status; raises SyncError after 90 s."""
    end = time.monotonic() + _SETTLED_IN_S
    while True:
        with db.engine().connect() as conn:
            found = status.status(Tx(conn, organization_id))
        if found["inbox"]["due"] + found["inbox"]["postponed"] == 0 and found["connections"][0]["refused_signatures"]:
            return found
        if time.monotonic() > end:
            raise SyncError(f"{found['inbox']['due']} envelopes are still due after {_SETTLED_IN_S:.0f} s")
        time.sleep(0.1)


def _show_outcomes(console: Console, answers: Counter[int], found: dict[str, Any]) -> None:
    meaning = {200: "kept (a repeat is recognised)", 401: "bad signature, nothing stored"}
    for code, count in sorted(answers.items()):
        console.print(f"  HTTP {code}  {count:>4}  {meaning.get(code, '')}")
    console.print()
    status.show(console, found)
    console.print()


def _show_contacts(console: Console, organization_id: Any) -> None:
    """Show a few contacts, and the source of each value."""
    with db.engine().connect() as conn:
        tx = Tx(conn, organization_id)
        views = contact_view.load(tx, contact_lists.page(tx, ContactFilter(), None, 100))
    views.sort(key=lambda v: (len(v.identities) + len(v.tags) + 3 * len(v.consents()), v.contact.id), reverse=True)
    hero = [v for v in views if any(r.record.external_id == "9000000001" for r in v.records)]
    for one in (hero + [v for v in views if v not in hero])[:_SHOWN]:
        _show_contact(console, one)


def _show_contact(console: Console, one: contact_view.ContactView) -> None:
    contact = one.contact
    title = f"{contact.name or '(no name)'}  [dim]{ids.show(ids.CONTACT, contact.id)}[/]"
    table = Table(*columns("what", "value", "source", "at", "in"), title=title, title_justify="left", box=None)

    def envelope(id_: UUID | None) -> str:
        name = "" if id_ is None else ids.show(ids.ENVELOPE, id_)
        return f"{name[:16]}…" if name and console.is_terminal else name  # else a row takes three lines of it

    def row(what: str, value: str, origin: Any) -> None:
        cause = ("", "", "")
        if origin is not None:
            cause = (origin.source, _at(origin.stamp.occurred), envelope(envelope_of(origin.stamp)))
        table.add_row(*map(cell, (what, value, *cause)))

    for identity in one.identities:
        if identity.type == "external_id":
            row("identity", f"{identity.type} {identity.source}:{identity.value}", None)
        else:
            origin = one.origins.get("phone_number" if identity.type == "phone" else identity.type)
            row("identity", f"{identity.type} {identity.value}", origin)
    row("name", contact.name or "", one.origins.get("name"))
    for tag in one.tags:
        row("tag", tag.name, tag.origin)
    for consent in one.consents():
        entry = consent.statement
        cause = (entry.ref[0], _at(entry.occurred), envelope(entry.envelope_id))
        table.add_row(f"{entry.channel} {entry.purpose}", entry.status, *cause)
    for suppressed in one.suppressions:
        state = "suppressed" if suppressed.lifted is None else "lifted"
        table.add_row(f"{suppressed.channel} {suppressed.reason}", state, suppressed.source, _at(suppressed.last_seen))
    console.print(table)
    console.print()


def _show_parked(console: Console, organization_id: Any) -> None:
    with db.engine().connect() as conn:
        rows = status.parked(Tx(conn, organization_id))
    table = Table(
        *columns("envelope", "topic", "reason"), title="Parked, for a person to see", title_justify="left", box=None
    )
    for row in rows:
        table.add_row(*map(cell, (row["id"], row["topic"], row["reason"])))
    console.print(table)
    console.print()


def _show_address(console: Console, running: Stack, key: str, data_dir: Path, *, stay: bool) -> None:
    console.print(f"Look at it:  {running['url']}/#key={key}", soft_wrap=True, highlight=False)
    if not stay:
        return
    console.print(f'  curl -H "X-Api-Key: {key}" {running["url"]}/v1/contacts', soft_wrap=True, highlight=False)
    console.print(f"  {Path(sys.argv[0]).name} status --data-dir {data_dir}", soft_wrap=True, highlight=False)
    console.print(f"  {running['url']}/metrics", soft_wrap=True)
    console.print("\nIt stays up until Ctrl-C.")


def _at(occurred: int) -> str:
    at = moment(occurred)
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
