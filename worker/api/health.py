"""Health and metrics, for load balancers, orchestrators and Prometheus."""

import os
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import REGISTRY, Collector
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from worker.store import db, ready


async def alive(_: Request) -> Response:
    """``GET /healthz``: 200 as long as the process answers."""
    return JSONResponse({"status": "ok"})


def is_ready(_: Request) -> Response:
    """``GET /readyz``: 200 if Postgres can take requests, with the age of the oldest due envelope; else 503."""
    try:
        with db.engine().connect() as conn:
            oldest = max((lane.age_s for lane in ready.waiting(conn)), default=0.0)
    except SQLAlchemyError:
        return JSONResponse({"status": "unavailable", "reason": "no database"}, 503)
    return JSONResponse({"status": "ok", "oldest_due_s": round(oldest, 3)})


class _Queue(Collector):
    """The length and age of the queue, from the database, so that they cover every process that drains it."""

    def collect(self) -> Iterator[Metric]:
        with db.engine().connect() as conn:
            depth = ready.depth(conn)
        for name, help_ in (
            ("due", "Envelopes that could be drained now"),
            ("postponed", "Envelopes that wait for a later attempt"),
            ("parked", "Envelopes set aside for a person"),
            ("oldest_due_s", "Age of the oldest due envelope in seconds"),
        ):
            metric = GaugeMetricFamily(f"contactsync_inbox_{name}", help_)
            metric.add_metric([], depth[name])
            yield metric


def metrics(_: Request) -> Response:
    """``GET /metrics``: of this process, or of all on this machine if PROMETHEUS_MULTIPROC_DIR is set."""
    registry = CollectorRegistry()
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(REGISTRY)
    registry.register(_Queue())
    try:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)
    except SQLAlchemyError:
        return Response("the database is away\n", 503, media_type="text/plain")
