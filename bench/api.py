"""The Contacts API: a store of a million contacts beside one of ten thousand, and resolving beside doing nothing.

Both stores are databases of one server, each with a web process of its own, and are asked in turns. What is asked for
is drawn from the whole store.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from statistics import median
from typing import Any
from urllib.parse import urlencode

import orjson
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bench import load
from bench.contacts import FREQUENT_BEGINNING, FREQUENT_TAG, Person, Population, fair_tag
from bench.stack import Stack
from worker import ids
from worker.api import paging
from worker.store import api_keys, db, organizations
from worker.store.db import Tx
from worker.store.migrate import upgrade

SMALL = 10_000
#: for the rates: as many as requests can be at work. The time of an answer is measured with one
CONNECTIONS = 16
_CHECKED = 100  #: people of each store that are looked at closely
_WARM_UP_S = 0.5
_LEFT_OUT = 2  #: letters of a name that is not typed to its end
_ENOUGH = 3_000  #: requests a second that no operation comes near
_NO_LIMIT = 1_000_000_000  #: requests a minute


@dataclass(frozen=True)
class Operation:
    """One way to ask about a contact that was drawn."""

    title: str
    path: Callable[[Person], str]
    body: Callable[[Person], Any] | None = None
    status: str = "200"


def _list(**filters: Callable[[Person], object]) -> Callable[[Person], str]:
    return lambda one: "/v1/contacts?" + urlencode({name: of(one) for name, of in filters.items()})


def _identifiers(one: Person) -> dict[str, Any]:
    return {"identifiers": [{"type": "phone", "value": one.phone}]}


def _profile(one: Person) -> dict[str, Any]:
    return {"phone_number": one.phone, "email": one.email, "name": one.name, "tags": ["bench"]}


def _time(at: datetime) -> str:
    return at.isoformat()


RESOLVE = Operation("resolve a phone number", lambda _: "/v1/contacts/resolve", _identifiers)
KEYED = Operation("a key and an empty route", lambda _: "/keyed", _identifiers)
CREATE = Operation("upsert, new contacts", lambda _: "/v1/contacts", _profile, "201")
REPEAT = Operation("upsert, the same once more", lambda _: "/v1/contacts", _profile)
OPERATIONS = {
    "resolve": RESOLVE,
    "get": Operation("get by id", lambda one: f"/v1/contacts/{ids.show(ids.CONTACT, one.id)}"),
    "first_page": Operation("list: the first page", lambda _: "/v1/contacts"),
    "deep_page": Operation("list: a page deep inside", _list(cursor=lambda one: paging.write(one.id))),
    "phone": Operation("list by phone_number", _list(phone_number=lambda one: one.phone)),
    "email": Operation("list by email", _list(email=lambda one: one.email)),
    "rare_tag": Operation("list by a tag of ten contacts", _list(tag=lambda one: fair_tag(one.number))),
    "frequent_tag": Operation("list by a tag of every second", _list(tag=lambda _: FREQUENT_TAG)),
    "rare_search": Operation("search: most of a last name", _list(search=lambda one: one.last_name[:7])),
    "frequent_search": Operation("search: how every 20th begins", _list(search=lambda _: FREQUENT_BEGINNING)),
    "phone_search": Operation("search: how every number begins", _list(search=lambda one: one.phone[:6])),
    "two_words": Operation("search: a name and a beginning", _list(search=lambda one: one.name[:-_LEFT_OUT])),
    "updated_after": Operation("list by updated_after", _list(updated_after=lambda one: _time(one.born))),
}


class Store:
    """A database full of contacts, and the web process that serves it."""

    def __init__(self, stack: Stack, name: str, size: int, at_end: ExitStack) -> None:
        self.file = stack.directory / f"requests-{name}"
        self._turn = count()
        with stack.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text(f"CREATE DATABASE {name}"))
        url = make_url(stack.database_url).set(database=name).render_as_string(hide_password=False)
        upgrade(url)
        engine = db.make_engine(url)
        at_end.callback(engine.dispose)
        with engine.begin() as conn:
            organization_id = organizations.ensure(conn, "default")
            scopes = ("contacts:read", "contacts:write")
            _, self._key = api_keys.insert_new(Tx(conn, organization_id), scopes, rate_limit=_NO_LIMIT)
        self.people = Population(engine, organization_id, size)
        if size > SMALL:
            self.people.grow(SMALL)
        self.people.grow(size)
        self.people.check(map(self.people.person, range(0, size, size // _CHECKED)))
        self.port = at_end.enter_context(stack.web(name, app="bench.empty:app", DATABASE_URL=url))

    def measure(self, operation: Operation, *, seconds: float, connections: int = 1) -> dict[str, Any]:
        """Ask for people drawn from all that are stored."""
        return self.send(operation, self.drawn(operation, seconds), seconds=seconds, connections=connections)

    def drawn(self, operation: Operation, seconds: float) -> Iterator[Person]:
        """Draw more people than can be asked for in so many seconds."""
        drawn = random.Random(f"{operation.title} {next(self._turn)}")
        for _ in range(int(_ENOUGH * seconds)):
            yield self.people.person(drawn.randrange(self.people.size))

    def send(
        self, operation: Operation, people: Iterator[Person], *, seconds: float, connections: int
    ) -> dict[str, Any]:
        """Ask for these people, as far as the seconds allow."""
        return load.send(
            self.port,
            (self.request(operation, one) for one in people),
            connections=connections,
            seconds=seconds,
            file=self.file,
            status=operation.status,
        )

    def request(self, operation: Operation, one: Person) -> bytes:
        """Write the request for a person."""
        headers = {"X-Api-Key": self._key}
        if operation.body is None:
            return load.get(operation.path(one), headers)
        headers["Content-Type"] = "application/json"
        return load.request(operation.path(one), headers, orjson.dumps(operation.body(one)))


@contextmanager
def stores(stack: Stack, size: int) -> Iterator[tuple[Store, Store]]:
    """Fill both stores and serve them."""
    with ExitStack() as at_end:
        small = Store(stack, "small", SMALL, at_end)
        large = Store(stack, "large", size, at_end)
        for store in (small, large):
            for operation in (KEYED, *OPERATIONS.values()):
                store.measure(operation, seconds=_WARM_UP_S)
        yield small, large


def run(stack: Stack, size: int, rounds: int, seconds: float, said: Console) -> dict[str, Any]:
    """Measure everything, in turns."""
    said.print(f"contacts: writing {size:,} …", highlight=False)
    with stores(stack, size) as (small, large):
        times: dict[str, list[tuple[Any, Any]]] = {name: [] for name in OPERATIONS}
        rates: list[tuple[Any, Any]] = []
        for number in range(1, rounds + 1):
            said.print(f"contacts, round {number} of {rounds} …", highlight=False)
            for name, operation in OPERATIONS.items():
                times[name].append(_in_turns(small, large, operation, 2 * seconds))
            sides = {
                one.title: large.measure(one, seconds=seconds, connections=CONNECTIONS)
                for one in ((KEYED, RESOLVE) if number % 2 else (RESOLVE, KEYED))
            }
            rates.append((sides[KEYED.title], sides[RESOLVE.title]))
        written = _upserts(large, rounds, seconds)
        return {
            "contacts": {
                "stored": size,
                "beside": SMALL,
                "seconds_to_fill": round(large.people.seconds, 1),
                "operations": {name: _compared(found) for name, found in times.items()},
            },
            "resolve_beside_keyed": _rates(rates) | {"connections": CONNECTIONS},
            "upsert": written,
        }


def _in_turns(small: Store, large: Store, operation: Operation, seconds: float) -> tuple[Any, Any]:
    """Ask both in turns, one request at a time."""
    stores_ = (small, large)
    beside, ours = load.send_in_turns(
        [store.port for store in stores_],
        [[store.request(operation, one) for one in store.drawn(operation, seconds)] for store in stores_],
        seconds=seconds,
        file=large.file,
        status=operation.status,
    )
    return beside, ours


def _upserts(store: Store, rounds: int, seconds: float) -> dict[str, Any]:
    """People who are not there yet, and the same once more."""
    created, repeated = [], []
    first = store.people.size
    for _ in range(rounds):
        people = map(store.people.person, range(first, first + int(_ENOUGH * seconds)))
        created.append(store.send(CREATE, people, seconds=seconds, connections=CONNECTIONS))
        # All that were taken before the time was up; a later one could be new.
        people = map(store.people.person, range(first, first + created[-1]["requests"]))
        repeated.append(store.send(REPEAT, people, seconds=seconds, connections=CONNECTIONS))
        first += created[-1]["requests"] + CONNECTIONS
    return {
        name: {
            "per_s": round(median(one["per_s"] for one in found), 1),
            "p50_ms": round(median(one["latency_ms"]["p50"] for one in found), 2),
        }
        for name, found in (("created", created), ("repeated", repeated))
    }


def _compared(found: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Times of an answer."""
    ratios = [ours["latency_ms"]["p50"] / beside["latency_ms"]["p50"] for beside, ours in found]
    return {
        "ours": _answers([ours for _, ours in found]),
        "baseline": _answers([beside for beside, _ in found]),
        "ratio": round(median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def _answers(found: Sequence[Any]) -> dict[str, float]:
    return {
        "p50_ms": round(median(one["latency_ms"]["p50"] for one in found), 2),
        "per_s": round(median(one["per_s"] for one in found), 1),
    }


def _rates(found: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    ratios = [ours["per_s"] / beside["per_s"] for beside, ours in found]
    return {
        "ours": _answers([ours for _, ours in found]),
        "baseline": _answers([beside for beside, _ in found]),
        "ratio": round(median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "generator_cpu": max(one["generator_cpu"] for pair in found for one in pair),
    }


def show(table: Table, found: dict[str, Any]) -> None:
    """Add what was found to the table."""
    sizes = found["contacts"]
    for name, figures in sizes["operations"].items():
        table.add_row(
            OPERATIONS[name].title,
            f"{sizes['stored']:,} contacts, beside {sizes['beside']:,}",
            _shown(figures["ours"]),
            _shown(figures["baseline"]),
            f"[bold]{figures['ratio']:.2f} x[/]",
        )
    resolved = found["resolve_beside_keyed"]
    table.add_row(
        f"resolve, {resolved['connections']} connections",
        KEYED.title,
        f"{resolved['ours']['per_s']:,.0f} requests/s",
        f"{resolved['baseline']['per_s']:,.0f} requests/s",
        f"[bold]{resolved['ratio']:.2f} x[/]",
    )
    for name, operation in (("created", CREATE), ("repeated", REPEAT)):
        table.add_row(operation.title, "", f"{found['upsert'][name]['per_s']:,.0f} requests/s")


def _shown(figures: dict[str, float]) -> str:
    return f"{figures['p50_ms']:.1f} ms, {figures['per_s']:,.0f}/s"


def note(found: dict[str, Any]) -> str:
    """Say how it was measured."""
    sizes = found["contacts"]
    return (
        f"{sizes['stored']:,} contacts were written in {sizes['seconds_to_fill']:.0f} s; times are medians with one "
        "connection, that asks both stores in turns."
    )
