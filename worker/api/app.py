"""The web process: it takes webhooks and answers the Contacts API."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog
from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker import api_schemas, console, logs
from worker.api import (
    channels,
    consent,
    contact_batches,
    contact_writes,
    contacts,
    docs,
    errors,
    health,
    openapi,
    replica,
    subresources,
    webhooks,
)
from worker.api.answers import answers
from worker.api.gate import Gate
from worker.api.hot_writes import HotWrites
from worker.api.lines import MAX_CONCURRENT_OPERATIONS
from worker.store import db, look_ups

log = structlog.get_logger()

#: The body of every error. ``openapi`` knows which operation can answer which error.
_PROBLEM: dict[int | str, dict[str, Any]] = {422: {"model": api_schemas.Problem}}


#: Objects that are made before garbage is looked for, and how often it is looked for among older ones.
_COLLECTED = (50_000, 20, 50)


@asynccontextmanager
async def _process(_: FastAPI) -> AsyncIterator[None]:
    """Prepare the process: as many threads as connections, so that no request times out while it waits for one.

    Garbage is collected seldom. A group of writes makes a hundred thousand short-lived objects and hardly a cycle; with
    the default thresholds the collector takes a quarter of its time.
    """
    logs.take_over_hooks()
    log.info("web_started")
    gc.freeze()
    gc.set_threshold(*_COLLECTED)
    to_thread.current_default_thread_limiter().total_tokens = db.TENANT_CONNECTIONS - MAX_CONCURRENT_OPERATIONS
    replica.lists().watch()
    yield
    replica.lists().close()
    await look_ups.close()
    with suppress(SQLAlchemyError):
        await answers.tell()
    log.info("web_ended")


def make_api() -> FastAPI:
    """Build the API with all its routes."""
    if logs.is_program("uvicorn"):
        logs.begin()
    else:
        logs.configure()
    api = FastAPI(
        version="1",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=_process,
        generate_unique_id_function=_name,
        redirect_slashes=False,  # Behind a proxy, a redirect would name the wrong host and scheme.
    )
    api.router.routes.append(Route("/healthz", health.alive))
    api.router.routes.append(Route("/v1/health", health.alive))  # the path that clients of the hosted API use
    api.router.routes.append(Route("/readyz", health.Ready().answer))
    api.router.routes.append(Route("/metrics", health.metrics))
    api.router.routes.extend([*console.routes(), *docs.routes(), openapi.route(api)])
    for room in (contact_batches, contacts, contact_writes, subresources, consent, channels):
        api.include_router(room.router, responses=_PROBLEM)
    api.openapi = openapi.describer(api)  # type: ignore[method-assign] # FastAPI documents this way
    api.add_middleware(HotWrites)
    api.add_middleware(Gate)
    errors.install(api)  # around the gate
    return api


def _name(route: APIRoute) -> str:
    """Name an operation after its function, so that the names in generated clients stay the same."""
    return route.name


class App:
    """Sends webhooks straight to their route, and all other requests to the API."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].startswith(webhooks.PREFIX):
            await webhooks.receive(scope, receive, send)
        else:
            await self._api(scope, receive, send)


app = App(make_api())
