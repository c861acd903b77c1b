"""Our web application with three more routes that do nothing, to show what every answer costs on this server."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from worker.api.app import App, make_api
from worker.api.auth import ReadKey

_CONTENT = b'{"ok":true}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_CONTENT)).encode())]


async def empty(request: Request) -> Response:
    """Read the body and answer, inside the application like any other route."""
    await request.body()
    return Response(_CONTENT, media_type="application/json")


async def bare(receive: Receive, send: Send) -> None:
    """Read the body and answer without the framework, which is the least work for this server."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _CONTENT})


def keyed(_: ReadKey) -> dict[str, bool]:
    """Check the key and answer, as every endpoint of the Contacts API does."""
    return {"ok": True}


_keyed = APIRouter()
_keyed.post("/v1/keyed")(keyed)
_api = make_api()
_api.router.routes[:0] = _keyed.routes
# The empty route comes first, because every route before it would cost a little time.
_api.router.routes.insert(0, Route("/empty", empty, methods=["POST"]))
_ours = App(_api)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer ``/bare`` here, and pass every other request to our application."""
    if scope["type"] == "http" and scope["path"] == "/bare":
        await bare(receive, send)
    else:
        await _ours(scope, receive, send)
