"""Health and metrics, for load balancers, orchestrators and Prometheus.

Anybody can ask for health, so what it costs is bounded: one look at the database a second, whoever asks, and a check of
writing every five. Metrics are for this machine and for who has the token.
"""

import asyncio
import hmac
import time
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from worker import metrics as counted
from worker.api import replica
from worker.api.answers import answers
from worker.api.lookups import Lookups
from worker.errors import ConfigError, sqlstate_behind
from worker.settings import settings
from worker.store import counts, db, ready, sqlstates, writable

log = structlog.get_logger()

_READY_FOR_S, _WRITABLE_FOR_S = 1.0, 5.0
#: Headers that a proxy adds. A request with one of them comes from elsewhere, though its last step is on this machine.
_FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


async def alive(_: Request) -> Response:
    """``GET /healthz``: 200 as long as the process answers."""
    return JSONResponse({"status": "ok"})


class Ready:
    """``GET /readyz``: 200 if Postgres can take requests, with the age of the oldest due envelope; else 503.

    A 503 says why, with the SQLSTATE if Postgres gave one. An answer counts for a second, and all who ask meanwhile
    share it. A check of writing that succeeded counts for five.
    """

    def __init__(self) -> None:
        self._lookups = Lookups(self._look)
        self._seen: tuple[int, dict[str, object]] = (503, {})
        self._until = self._writable_until = 0.0
        self._was_ready = True

    async def answer(self, _: Request) -> Response:
        """Answer the last look at the database, or a new one."""
        if self._until < time.monotonic():
            self._seen = await self._lookups.find(None)
            self._until = time.monotonic() + _READY_FOR_S
        status, content = self._seen
        return JSONResponse(content, status)

    def _look(self, askers: list[None]) -> list[tuple[int, dict[str, object]]]:
        try:
            with db.engine().connect() as conn:
                oldest = max((lane.age_s for lane in ready.waiting(conn)), default=0.0)
                db.check_scope(conn)
            if self._writable_until < time.monotonic():
                writable.check(db.engine())
                self._writable_until = time.monotonic() + _WRITABLE_FOR_S
        except (SQLAlchemyError, ConfigError) as error:
            self._writable_until = 0.0
            return [(503, self._not_ready(error))] * len(askers)
        if not self._was_ready:
            log.info("ready_again")
            self._was_ready = True
        return [(200, {"status": "ok", "oldest_due_s": round(oldest, 3)})] * len(askers)

    def _not_ready(self, error: Exception) -> dict[str, object]:
        state = sqlstate_behind(error)
        is_setup = isinstance(error, ConfigError) or sqlstates.is_setup_fault(error)
        reason = sqlstates.reason(error) if is_setup else writable.reason(error)
        if self._was_ready:
            log.error("not_ready", reason=reason, error=error)
            self._was_ready = False
        return {"status": "unavailable", "reason": reason, **({} if state is None else {"sqlstate": state})}


class _Counted(Collector):
    """What all processes counted, and the length and age of the queue: all from the database, whoever is asked."""

    def collect(self) -> Iterator[Metric]:
        with db.engine().connect() as conn:
            depth = ready.depth(conn)
            yield from counted.families(counts.load(conn))
        for name, help_ in (
            ("due", "Envelopes that could be drained now"),
            ("postponed", "Envelopes that wait for a later attempt"),
            ("parked", "Envelopes set aside for a person"),
            ("oldest_due_s", "Age of the oldest due envelope in seconds"),
        ):
            metric = GaugeMetricFamily(f"contactsync_inbox_{name}", help_)
            metric.add_metric([], depth[name])
            yield metric


async def metrics(request: Request) -> Response:
    """``GET /metrics``: of all processes; every web process gives the same answer.

    It answers on loopback, and elsewhere with ``METRICS_TOKEN`` as a bearer token.
    """
    token = settings().metrics_token
    if not _is_local(request) and not (token and _shows(request, token)):
        if not token:
            return Response("not here\n", 404, media_type="text/plain")
        return Response("a token is needed\n", 401, {"WWW-Authenticate": "Bearer"}, media_type="text/plain")
    try:
        await answers.tell()
        return await asyncio.to_thread(_metrics)
    except SQLAlchemyError as error:
        state = sqlstate_behind(error)
        text = "the database is away" if state is None else f"the database refuses it: SQLSTATE {state}"
        return Response(f"{text}\n", 503, media_type="text/plain")


def _metrics() -> Response:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Counted())
    registry.register(replica.Lag())
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


def _is_local(request: Request) -> bool:
    """Return whether a request was made on this machine, and not handed on by a proxy here."""
    if request.client is None or any(name in request.headers for name in _FORWARDED):
        return False
    # A proxy without these headers, or a page that has its own name point here, still shows the name it was asked for.
    try:
        name = request.url.hostname or ""
    except ValueError:
        return False
    return _is_loopback(request.client.host) and (name == "localhost" or _is_loopback(name))


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def _shows(request: Request, token: str) -> bool:
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(shown.strip().encode("latin-1"), token.encode())
