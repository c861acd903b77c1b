"""Measure the sync and the webhook route through PgBouncer, beside a direct connection.

    python -m bench.pooler [--rounds N] [--events N] [--requests N]

The ways run in turns, on the same servers, and the table shows the median of each. ``prepared`` is what statements by
name would bring: a PgBouncer in session mode, and ``DATABASE_POOLER=session``.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from bench import ingest, pgbouncer, sync
from bench.stack import Stack, stack

_WAYS = {
    "direct": ("", "auto"),
    "transaction mode": ("transaction", "auto"),
    "session mode": ("session", "auto"),
    "prepared": ("session", "session"),
}
_TIMEOUT_S = 300.0


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=6000)
    parser.add_argument("--requests", type=int, default=4000)
    arguments = parser.parse_args()
    rates: dict[str, dict[str, list[float]]] = {"sync": {}, "ingest": {}}
    with stack() as running, ExitStack() as at_end:
        urls = {
            mode: at_end.enter_context(pgbouncer.in_front_of(running.database_url, mode))
            for mode in ("transaction", "session")
        }
        for n in range(arguments.rounds):
            for way in list(_WAYS) if n % 2 else reversed(_WAYS):
                mode, kind = _WAYS[way]
                with _environment(DATABASE_URL=urls.get(mode, running.database_url), DATABASE_POOLER=kind):
                    for name, rate in _measure(running, arguments).items():
                        rates[name].setdefault(way, []).append(rate)
                        print(f"{n} {name:6} {way:18}{rate:10.0f}/s", flush=True)
    for name, of_ways in rates.items():
        for way, found in of_ways.items():
            shares = [rate / direct for rate, direct in zip(found, of_ways["direct"], strict=True)]
            print(f"{name:6} {way:18} median {median(found):8.0f}/s, {median(shares):.2f} of direct")


def _measure(running: Stack, arguments: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    if arguments.events:
        with sync.workers(running, 2) as workers:
            found["sync"] = workers.drain(arguments.events, seconds=_TIMEOUT_S).per_s
    if arguments.requests:
        with ingest.servers(running) as servers:
            figures = servers.measure("ours", arguments.requests, seconds=_TIMEOUT_S)
            found["ingest"] = figures["requests"] / figures["seconds"]
    return found


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


if __name__ == "__main__":
    main()
