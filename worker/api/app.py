"""The web process: webhooks in, contacts out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker import console, logs
from worker.api import (
    channels,
    consent,
    contact_writes,
    contacts,
    docs,
    errors,
    health,
    openapi,
    schemas,
    subresources,
    webhooks,
)
from worker.api.operation import WRITERS
from worker.store import db

#: all errors look like this; ``openapi`` says which operation can answer which
_PROBLEM: dict[int | str, dict[str, Any]] = {422: {"model": schemas.Problem}}


@asynccontextmanager
async def _threads(_: FastAPI) -> AsyncIterator[None]:
    """Run as many requests at once as there are connections for them: none waits for a connection and gives up."""
    to_thread.current_default_thread_limiter().total_tokens = db.TENANT_CONNECTIONS - WRITERS
    yield


def make_api() -> FastAPI:
    """Put the routes of the API together."""
    logs.configure()
    api = FastAPI(
        version="1",
        docs_url=None,
        redoc_url=None,
        lifespan=_threads,
        generate_unique_id_function=_name,
        redirect_slashes=False,  # a redirect names the host as we see it, behind a proxy without its TLS
    )
    api.router.routes.append(Route("/healthz", health.alive))
    api.router.routes.append(Route("/v1/health", health.alive))  # what clients of the hosted API ask
    api.router.routes.append(Route("/readyz", health.is_ready))
    api.router.routes.append(Route("/metrics", health.metrics))
    api.router.routes.extend([*console.routes(), *docs.routes()])
    for room in (contacts, contact_writes, subresources, consent, channels):
        api.include_router(room.router, responses=_PROBLEM)
    api.openapi = openapi.describer(api)  # type: ignore[method-assign] # as FastAPI has it
    errors.install(api)
    return api


def _name(route: APIRoute) -> str:
    """Name an operation after its function: programs made from the document keep their names."""
    return route.name


class App:
    """Webhooks go straight to their route, everything else to the API."""

    def __init__(self, api: ASGIApp) -> None:
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http" and scope["path"].startswith(webhooks.PREFIX):
            await webhooks.receive(scope, receive, send)
        else:
            await self._api(scope, receive, send)


app = App(make_api())
