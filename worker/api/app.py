"""The web process: webhooks in, contacts out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from worker import console, logs
from worker.api import contacts, edits, errors, health, permission, schemas, sublists, webhooks
from worker.store import db

#: what every operation can answer beside its own
_ERRORS = (400, 401, 403, 404, 413, 422, 429, 500, 503)


@asynccontextmanager
async def _threads(_: FastAPI) -> AsyncIterator[None]:
    """Run as many requests at once as there are connections for them: none waits for a connection and gives up."""
    to_thread.current_default_thread_limiter().total_tokens = db.TENANT_CONNECTIONS
    yield


def make_api() -> FastAPI:
    """Put the routes of the API together."""
    logs.configure()
    api = FastAPI(title="contactsync", version="1", docs_url=None, redoc_url=None, lifespan=_threads)
    api.router.routes.append(Route("/healthz", health.alive))
    api.router.routes.append(Route("/readyz", health.is_ready))
    api.router.routes.append(Route("/metrics", health.metrics))
    api.router.routes.extend(console.routes())
    problems: dict[int | str, dict[str, Any]] = {status: {"model": schemas.Problem} for status in _ERRORS}
    for room in (contacts, edits, sublists, permission):
        api.include_router(room.router, responses=problems)
    errors.install(api)
    return api


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
