"""The Contacts API beside an ordinary one, beside an empty route of the same server, and beside Postgres alone.

All serve the same ten thousand people on one Postgres, and are asked in turns. Postgres alone runs the statement of a
look-up on one connection, many on their way at once: no process in front of it can be faster. CPU is that of the
processes, for each request; it varies less than the rates do when the machine has other work.
"""

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import orjson
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bench import api, load
from bench.contacts import Person
from bench.stack import Stack
from worker import ids
from worker.store import contacts

CONNECTIONS = (1, 16, 64)
#: connections of the measurements at half of the highest rate
_AT_HALF = 16
_MOST_A_SECOND = 15_000
_KEY = "ordinary"
_IN_FLIGHT = 16
_BASELINE_FILL = """
    INSERT INTO ordinary_contacts
        (id, name, phone_number, email, external_source, external_id, custom_fields, updated_at)
    SELECT n, name, phone, email, 'shopify', n::text, '{"state": "disabled", "currency": "USD"}', now()
      FROM unnest(CAST(:n AS bigint[]), CAST(:name AS text[]), CAST(:phone AS text[]), CAST(:email AS text[]))
        AS given (n, name, phone, email);
"""
_BASELINE_IDENTITIES = """
    INSERT INTO ordinary_identities (kind, source, value, contact_id)
    SELECT 'phone', '', phone_number, id FROM ordinary_contacts
     UNION ALL SELECT 'email', '', email, id FROM ordinary_contacts
    ON CONFLICT DO NOTHING
"""
#: what a look-up of ours asks, for one number
_LOOK_UP = f"""
    SELECT {contacts.COLUMNS} FROM claims k
      JOIN records r ON r.organization_id = k.organization_id AND r.id = k.record_id
      JOIN contacts c ON c.organization_id = k.organization_id AND c.id = r.contact_id
     WHERE k.organization_id = %s AND k.type = 'phone' AND k.key = %s AND k.is_owner
"""


class Ordinary:
    """The ordinary API, with the people of our small store."""

    def __init__(self, stack: Stack, people: Sequence[Person], at_end: ExitStack) -> None:
        os.environ.setdefault("DATABASE_URL", stack.database_url)
        with stack.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("CREATE DATABASE ordinary"))
        url = make_url(stack.database_url).set(database="ordinary", drivername="postgresql+psycopg")
        url = url.render_as_string(hide_password=False)
        self._fill(url, people)
        self.port = at_end.enter_context(stack.web("ordinary", app="bench.baseline.api:app", DATABASE_URL=url))

    @staticmethod
    def _fill(url: str, people: Sequence[Person]) -> None:
        from sqlalchemy import create_engine  # noqa: PLC0415 - the baseline's own, without our settings

        from bench.baseline.api import Base  # noqa: PLC0415 - it reads DATABASE_URL

        engine = create_engine(url)
        with engine.begin() as conn:
            Base.metadata.create_all(conn)
            key = {"hash": sha256(_KEY.encode()).hexdigest()}
            conn.execute(text("INSERT INTO ordinary_keys (id, secret_hash) VALUES (1, :hash)"), key)
            columns = {name: [getattr(person, name) for person in people] for name in ("name", "phone", "email")}
            conn.execute(text(_BASELINE_FILL), {"n": [person.number for person in people], **columns})
            conn.execute(text("SELECT setval(pg_get_serial_sequence('ordinary_contacts', 'id'), 1000000000)"))
            conn.execute(text(_BASELINE_IDENTITIES))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            conn.execute(text("ANALYZE"))
        engine.dispose()


class Sides:
    """The three sides: our API, an ordinary API, and Postgres alone. All have the same people."""

    def __init__(self, stack: Stack, at_end: ExitStack) -> None:
        self.store = api.Store(stack, "asked", api.SMALL, at_end)
        everybody = [self.store.people.person(number) for number in range(api.SMALL)]
        self.ordinary = Ordinary(stack, everybody, at_end)
        self._file = stack.directory / "requests-asked"
        self._postmaster = _postmaster(stack)
        self._random = random.Random(19)
        self._new = api.SMALL
        self._url = make_url(stack.database_url).set(database="asked", drivername="postgresql")

    def ask(self, side: str, work: str, connections: int, seconds: float, per_s: float | None = None) -> dict[str, Any]:
        """Let one side do one kind of work for some seconds; return its figures, with the CPU of each process."""
        port = self.ordinary.port if side == "ordinary" else self.store.port
        before = _cpu(self._postmaster, port)
        figures = load.send(
            port,
            self._requests(side, work, seconds),
            connections=connections,
            seconds=seconds,
            file=self._file,
            status="201" if (side, work) == ("ours", "create") else "200",
            per_s=per_s,
        )
        after = _cpu(self._postmaster, port)
        for name, spent in after.items():
            figures[f"{name}_us"] = round((spent - before[name]) / figures["requests"] * 1e6)
        return figures

    def _requests(self, side: str, work: str, seconds: float) -> Iterator[bytes]:
        headers = {"X-Api-Key": self.store.key if side == "ours" else _KEY, "Content-Type": "application/json"}
        for _ in range(int(_MOST_A_SECOND * seconds)):
            if work == "create":
                person = self.store.people.person(self._new)
                self._new += 1
            else:
                person = self.store.people.person(self._random.randrange(api.SMALL))
            if side == "empty":
                yield load.request("/bare", {}, b"{}")
            elif work == "get":
                shown = ids.show(ids.CONTACT, person.id) if side == "ours" else f"cnt_{person.number}"
                yield load.get(f"/v1/contacts/{shown}", headers)
            elif work == "resolve":
                body = {"identifiers": [{"type": "phone", "value": person.phone}]}
                yield load.request("/v1/contacts/resolve", headers, orjson.dumps(body))
            else:
                body = {"phone_number": person.phone, "email": person.email, "name": person.name}
                yield load.request("/v1/contacts", headers, orjson.dumps(body))

    def postgres_alone(self, seconds: float) -> float:
        """Return how many look-ups a second Postgres does, one statement each, many on their way at once."""
        with psycopg.connect(self._url.render_as_string(hide_password=False), autocommit=True) as conn:
            conn.execute("SELECT set_config('contactsync.organization_id', 'all', false)")
            conn.prepare_threshold = 0
            organization_id = self.store.people.organization_id
            done, end = 0, time.perf_counter() + seconds
            cursors = [conn.cursor(binary=True) for _ in range(_IN_FLIGHT)]
            while time.perf_counter() < end:
                with conn.pipeline():
                    for cursor in cursors:
                        person = self.store.people.person(self._random.randrange(api.SMALL))
                        cursor.execute(_LOOK_UP, (organization_id, person.phone))
                done += sum(len(cursor.fetchall()) for cursor in cursors)
        return done / seconds


WORKS = ("resolve", "get", "create", "repeat")


def run(stack: Stack, rounds: int, seconds: float, progress: Console) -> dict[str, Any]:
    """Measure all sides in turns."""
    with ExitStack() as at_end:
        sides = Sides(stack, at_end)
        figures: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
        for number in range(rounds + 1):  # the first is to warm up
            progress.print(f"requests, round {number} of {rounds} …", highlight=False)
            for connections in CONNECTIONS:
                for side, work in [("empty", "empty"), *((s, w) for w in WORKS for s in ("ours", "ordinary"))]:
                    found = sides.ask(side, work, connections, seconds if number else seconds / 4)
                    if number:
                        figures.setdefault((side, work, connections), []).append(found)
        limit = [sides.postgres_alone(seconds) for _ in range(rounds)]
        half = {}
        for work in WORKS:
            per_s = median(one["per_s"] for one in figures["ours", work, _AT_HALF]) / 2
            half[work] = [sides.ask("ours", work, _AT_HALF, seconds, per_s) for _ in range(rounds)]
            slow = median(one["per_s"] for one in figures["ordinary", work, _AT_HALF]) / 2
            half[f"ordinary {work}"] = [sides.ask("ordinary", work, _AT_HALF, seconds, slow) for _ in range(rounds)]
    return {
        "requests": {
            f"{work} {connections}": _summary(found) | {"side": side}
            for (side, work, connections), found in figures.items()
            if side == "ours"
        },
        "ordinary": {
            f"{work} {connections}": _summary(found)
            for (side, work, connections), found in figures.items()
            if side == "ordinary"
        },
        "empty": {str(n): _summary(figures["empty", "empty", n]) for n in CONNECTIONS},
        "postgres_alone_per_s": round(median(limit)),
        "at_half_of_the_rate": {work: _summary(found) for work, found in half.items()},
    }


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "per_s": round(median(one["per_s"] for one in found), 1),
        "p50_ms": round(median(one["latency_ms"]["p50"] for one in found), 2),
        "p99_ms": round(median(one["latency_ms"]["p99"] for one in found), 2),
        "web_us": round(median(one["web_us"] for one in found)),
        "postgres_us": round(median(one["postgres_us"] for one in found)),
    }


def show(table: Table, results: dict[str, Any]) -> None:
    """Add the results to the table."""
    for name, ours in results["requests"].items():
        beside = results["ordinary"][name]
        table.add_row(
            f"{name} connections",
            "an ordinary API",
            _shown(ours),
            _shown(beside),
            f"[bold]{ours['per_s'] / beside['per_s']:.2f} x[/]",
        )
    for connections, empty in results["empty"].items():
        table.add_row(f"an empty POST, {connections} connections", "", _shown(empty))
    table.add_row("look-ups, Postgres alone", "", f"{results['postgres_alone_per_s']:,}/s")
    for work, half in results["at_half_of_the_rate"].items():
        table.add_row(f"{work}, half of the rate", "", _shown(half))


def _shown(figures: Mapping[str, float]) -> str:
    return (
        f"{figures['per_s']:,.0f}/s, p50 {figures['p50_ms']:.1f}, p99 {figures['p99_ms']:.1f} ms, "
        f"CPU {figures['web_us']:.0f} + {figures['postgres_us']:.0f} µs"
    )


def _postmaster(stack: Stack) -> int:
    with stack.engine.connect() as conn:
        backend = int(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    return _stat(backend)[0]


def _cpu(postmaster: int, port: int) -> dict[str, float]:
    """Return the CPU seconds of Postgres and of the web process at a port, so far."""
    spent = {"web": 0, "postgres": 0}
    for directory in Path("/proc").glob("[0-9]*"):
        pid = int(directory.name)
        try:
            parent, ticks = _stat(pid)
            command = (directory / "cmdline").read_bytes()
        except OSError:  # it has ended
            continue
        if postmaster in (pid, parent):
            spent["postgres"] += ticks
        elif b"uvicorn" in command and str(port).encode() in command.split(b"\0"):
            spent["web"] += ticks
    return {name: ticks / os.sysconf("SC_CLK_TCK") for name, ticks in spent.items()}


def _stat(pid: int) -> tuple[int, int]:
    """Return the parent of a process, and its CPU time in ticks, with that of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[1]), sum(map(int, fields[11:15]))
