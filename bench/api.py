"""The Contacts API: a large store beside a store of ten thousand contacts, and resolving beside an empty route.

Both stores are databases of one server, and each has a web process of its own. Requests go to both in turns. Each
request is about a contact that is drawn at random from the whole store.
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
#: connections for the rates, as many as the server can serve at a time; latency is measured with one connection
CONNECTIONS = 16
_CHECKED = 100  #: people of each store whose rows are checked
_WARM_UP_S = 0.5
_LEFT_OUT = 2  #: letters at the end of a name that a search leaves out
_ENOUGH = 3_000  #: requests a second; no operation is nearly as fast
_NO_LIMIT = 1_000_000_000  #: requests a minute


@dataclass(frozen=True)
class Operation:
    """A kind of request about a contact that was drawn at random."""

    title: str
    path: Callable[[Person], str]
    body: Callable[[Person], Any] | None = None
    status: str = "200"


def _list(**filters: Callable[[Person], object]) -> Callable[[Person], str]:
    return lambda person: "/v1/contacts?" + urlencode({name: value(person) for name, value in filters.items()})


def _identifiers(person: Person) -> dict[str, Any]:
    return {"identifiers": [{"type": "phone", "value": person.phone}]}


def _profile(person: Person) -> dict[str, Any]:
    return {"phone_number": person.phone, "email": person.email, "name": person.name, "tags": ["bench"]}


def _time(at: datetime) -> str:
    return at.isoformat()


RESOLVE = Operation("resolve a phone number", lambda _: "/v1/contacts/resolve", _identifiers)
KEYED = Operation("an empty route with a key", lambda _: "/v1/keyed", _identifiers)
CREATE = Operation("upsert, new contacts", lambda _: "/v1/contacts", _profile, "201")
REPEAT = Operation("upsert, the same contacts", lambda _: "/v1/contacts", _profile)
OPERATIONS = {
    "resolve": RESOLVE,
    "get": Operation("get by id", lambda person: f"/v1/contacts/{ids.show(ids.CONTACT, person.id)}"),
    "first_page": Operation("list: the first page", lambda _: "/v1/contacts"),
    "deep_page": Operation("list: a page in the middle", _list(cursor=lambda person: paging.write(person.id))),
    "phone": Operation("list by phone_number", _list(phone_number=lambda person: person.phone)),
    "email": Operation("list by email", _list(email=lambda person: person.email)),
    "rare_tag": Operation("list by a tag of ten contacts", _list(tag=lambda person: fair_tag(person.number))),
    "frequent_tag": Operation("list by a tag of every 2nd contact", _list(tag=lambda _: FREQUENT_TAG)),
    "rare_search": Operation("search: most of a last name", _list(search=lambda person: person.last_name[:7])),
    "frequent_search": Operation("search: start of every 20th name", _list(search=lambda _: FREQUENT_BEGINNING)),
    "phone_search": Operation("search: start of every number", _list(search=lambda person: person.phone[:6])),
    "two_words": Operation("search: most of a whole name", _list(search=lambda person: person.name[:-_LEFT_OUT])),
    "updated_after": Operation("list by updated_after", _list(updated_after=lambda person: _time(person.born))),
}


class Store:
    """A database of contacts, and the web process that serves it."""

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
            _, self.key = api_keys.insert_new(Tx(conn, organization_id), scopes, rate_limit=_NO_LIMIT)
        self.people = Population(engine, organization_id, size)
        if size > SMALL:
            self.people.grow(SMALL)
        self.people.grow(size)
        self.people.check(map(self.people.person, range(0, size, size // _CHECKED)))
        self.port = at_end.enter_context(stack.web(name, app="bench.empty:app", DATABASE_URL=url))

    def measure(self, operation: Operation, *, seconds: float, connections: int = 1) -> dict[str, Any]:
        """Send requests about people who are drawn at random from the whole store."""
        return self.send(operation, self.drawn(operation, seconds), seconds=seconds, connections=connections)

    def drawn(self, operation: Operation, seconds: float) -> Iterator[Person]:
        """Yield random people, more than anybody can send requests about in ``seconds``."""
        generator = random.Random(f"{operation.title} {next(self._turn)}")
        for _ in range(int(_ENOUGH * seconds)):
            yield self.people.person(generator.randrange(self.people.size))

    def send(
        self, operation: Operation, people: Iterator[Person], *, seconds: float, connections: int
    ) -> dict[str, Any]:
        """Send a request about each of these people, or about as many as fit into ``seconds``."""
        return load.send(
            self.port,
            (self.request(operation, person) for person in people),
            connections=connections,
            seconds=seconds,
            file=self.file,
            status=operation.status,
        )

    def request(self, operation: Operation, person: Person) -> bytes:
        """Return the request about a person."""
        headers = {"X-Api-Key": self.key}
        if operation.body is None:
            return load.get(operation.path(person), headers)
        headers["Content-Type"] = "application/json"
        return load.request(operation.path(person), headers, orjson.dumps(operation.body(person)))


@contextmanager
def stores(stack: Stack, size: int) -> Iterator[tuple[Store, Store]]:
    """Fill both stores, start their web processes and warm them up."""
    with ExitStack() as at_end:
        small = Store(stack, "small", SMALL, at_end)
        large = Store(stack, "large", size, at_end)
        for store in (small, large):
            for operation in (KEYED, *OPERATIONS.values()):
                store.measure(operation, seconds=_WARM_UP_S)
        yield small, large


def run(stack: Stack, size: int, rounds: int, seconds: float, progress: Console) -> dict[str, Any]:
    """Measure all operations, with both stores in turns."""
    progress.print(f"contacts: writing {size:,} …", highlight=False)
    with stores(stack, size) as (small, large):
        times: dict[str, list[tuple[Any, Any]]] = {name: [] for name in OPERATIONS}
        rates: list[tuple[Any, Any]] = []
        for number in range(1, rounds + 1):
            progress.print(f"contacts, round {number} of {rounds} …", highlight=False)
            for name, operation in OPERATIONS.items():
                times[name].append(_in_turns(small, large, operation, 2 * seconds))
            sides = {
                operation.title: large.measure(operation, seconds=seconds, connections=CONNECTIONS)
                for operation in ((KEYED, RESOLVE) if number % 2 else (RESOLVE, KEYED))
            }
            rates.append((sides[KEYED.title], sides[RESOLVE.title]))
        written = _upserts(large, rounds, seconds)
        return {
            "contacts": {
                "stored": size,
                "beside": SMALL,
                "seconds_to_fill": round(large.people.seconds, 1),
                "operations": {name: _compared(pairs) for name, pairs in times.items()},
            },
            "resolve_beside_keyed": _rates(rates) | {"connections": CONNECTIONS},
            "upsert": written,
        }


def _in_turns(small: Store, large: Store, operation: Operation, seconds: float) -> tuple[Any, Any]:
    """Send requests to both stores in turns, one at a time."""
    stores_ = (small, large)
    beside, ours = load.send_in_turns(
        [store.port for store in stores_],
        [[store.request(operation, person) for person in store.drawn(operation, seconds)] for store in stores_],
        seconds=seconds,
        file=large.file,
        status=operation.status,
    )
    return beside, ours


def _upserts(store: Store, rounds: int, seconds: float) -> dict[str, Any]:
    """Upsert people who are not stored yet, and then the same people again."""
    created, repeated = [], []
    first = store.people.size
    for _ in range(rounds):
        people = map(store.people.person, range(first, first + int(_ENOUGH * seconds)))
        created.append(store.send(CREATE, people, seconds=seconds, connections=CONNECTIONS))
        # Repeat only those that had an answer before the time was up; others may not be stored.
        people = map(store.people.person, range(first, first + created[-1]["requests"]))
        repeated.append(store.send(REPEAT, people, seconds=seconds, connections=CONNECTIONS))
        first += created[-1]["requests"] + CONNECTIONS
    return {
        name: {
            "per_s": round(median(one["per_s"] for one in answers), 1),
            "p50_ms": round(median(one["latency_ms"]["p50"] for one in answers), 2),
        }
        for name, answers in (("created", created), ("repeated", repeated))
    }


def _compared(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Return the latency of both stores, and the median of the ratios of the rounds."""
    ratios = [ours["latency_ms"]["p50"] / beside["latency_ms"]["p50"] for beside, ours in pairs]
    return {
        "ours": _answers([ours for _, ours in pairs]),
        "baseline": _answers([beside for beside, _ in pairs]),
        "ratio": round(median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
    }


def _answers(answers: Sequence[Any]) -> dict[str, float]:
    return {
        "p50_ms": round(median(one["latency_ms"]["p50"] for one in answers), 2),
        "per_s": round(median(one["per_s"] for one in answers), 1),
    }


def _rates(pairs: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    ratios = [ours["per_s"] / beside["per_s"] for beside, ours in pairs]
    return {
        "ours": _answers([ours for _, ours in pairs]),
        "baseline": _answers([beside for beside, _ in pairs]),
        "ratio": round(median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "generator_cpu": max(one["generator_cpu"] for pair in pairs for one in pair),
    }


def show(table: Table, results: dict[str, Any]) -> None:
    """Add the results to the table."""
    sizes = results["contacts"]
    for name, figures in sizes["operations"].items():
        table.add_row(
            OPERATIONS[name].title,
            f"{sizes['stored']:,} contacts, beside {sizes['beside']:,}",
            _shown(figures["ours"]),
            _shown(figures["baseline"]),
            f"[bold]{figures['ratio']:.2f} x[/]",
        )
    resolved = results["resolve_beside_keyed"]
    table.add_row(
        f"resolve, {resolved['connections']} connections",
        KEYED.title,
        f"{resolved['ours']['per_s']:,.0f} requests/s",
        f"{resolved['baseline']['per_s']:,.0f} requests/s",
        f"[bold]{resolved['ratio']:.2f} x[/]",
    )
    for name, operation in (("created", CREATE), ("repeated", REPEAT)):
        table.add_row(operation.title, "", f"{results['upsert'][name]['per_s']:,.0f} requests/s")


def _shown(figures: dict[str, float]) -> str:
    return f"{figures['p50_ms']:.1f} ms, {figures['per_s']:,.0f}/s"


def note(results: dict[str, Any]) -> str:
    """Return a sentence about how the figures were measured."""
    sizes = results["contacts"]
    return (
        f"{sizes['stored']:,} contacts were written in {sizes['seconds_to_fill']:.0f} s. Times are medians of a "
        "single connection, which sends requests to both stores in turns."
    )
