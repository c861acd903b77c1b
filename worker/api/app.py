"""The web process: webhooks in, contacts out."""

from fastapi import FastAPI
from starlette.routing import Route

from worker import logs
from worker.api import contacts, errors, health, webhooks


def make_app() -> FastAPI:
    """Put the routes together."""
    logs.configure()
    app = FastAPI(title="contactsync", version="1", docs_url=None, redoc_url=None)
    # Plain routes: what is called thousands of times a second needs no dependency injection.
    app.router.routes.append(Route("/webhooks/{connection_id}", webhooks.receive, methods=["POST"]))
    app.router.routes.append(Route("/healthz", health.alive))
    app.router.routes.append(Route("/readyz", health.is_ready))
    app.router.routes.append(Route("/metrics", health.metrics))
    app.include_router(contacts.router)
    errors.install(app)
    return app


app = make_app()
