"""The way of most writes: ``POST /v1/contacts`` without the framework, which costs as much as half of the write.

Only what is plain goes this way. Everything else, every request that is not valid among it, goes on to the framework,
whose route of the same name is the one that is documented.
"""

from pydantic import ValidationError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.api import lines
from worker.api.contact_writes import UpsertContact
from worker.api.errors import ApiError, answer_to, is_passing, unavailable
from worker.api.json_route import composed
from worker.api.operation import RequestInfo, digest_of
from worker.api.request_bodies import ContactIn
from worker.store.api_keys import Key

_PATH = "/v1/contacts"
_TOPIC = f"POST {_PATH}"
_SCOPES = frozenset({"contacts:write", "admin"})
_MAX_KEY = 255


class HotWrites:
    """Middleware, inside of the gate: the key of the request is known, and its body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as an ASGI application."""
        if scope["type"] != "http" or scope["method"] != "POST" or scope["path"] != _PATH or scope["query_string"]:
            await self._app(scope, receive, send)
            return
        message = await receive()
        request = _plain(scope, message)
        if request is None:
            await self._app(scope, _again(message, receive), send)
            return
        key: Key = scope["state"]["key"]
        try:
            response = await lines.perform(key, request[0], UpsertContact(key, request[1]))
        except ApiError as error:
            response = answer_to(scope, error)
        except Exception as error:
            if not is_passing(error):
                raise
            response = answer_to(scope, unavailable(error))
        await response(scope, receive, send)


def _plain(scope: Scope, message: Message) -> tuple[RequestInfo, ContactIn] | None:
    """Return a request whose head and body are valid; None if the framework has to look at it."""
    body: bytes = message.get("body", b"")
    if (
        message["type"] != "http.request"
        or message.get("more_body")
        or scope["state"]["key"].scopes.isdisjoint(_SCOPES)
    ):
        return None
    is_json, idempotency_key = False, None
    for name, value in scope["headers"]:
        if name == b"content-type":
            is_json = value == b"application/json"
        elif name == b"idempotency-key":
            if idempotency_key is not None or not 1 <= len(value) <= _MAX_KEY:
                return None
            idempotency_key = value.decode("latin-1")
    if not is_json:
        return None
    try:
        contact = ContactIn.model_validate(composed(body))
    except (ValueError, ValidationError, ApiError):
        return None
    return RequestInfo(_TOPIC, idempotency_key, digest_of("POST", _PATH, body), len(body)), contact


def _again(message: Message, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a message that was taken, and then the others."""
    waiting = [message]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again
