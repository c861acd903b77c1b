"""The gate of the API: the key first, then the body, within a size and a time; only then the framework.

Nothing of a request's body is read before its key is known. A refusal closes the connection, so the rest of a refused
body is not read either, except a little of it, because who is still sending would not see our answer.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.api.auth import Keys
from worker.api.bodies import Bodies, CrowdedError, EndedEarlyError, TooLargeError
from worker.api.errors import ApiError, answer_to, is_passing, unavailable
from worker.api.http_protocol import recognise
from worker.api.linger import linger

MAX_BODY_BYTES = 2 * 1024 * 1024
_BODY_S = 10.0
#: Bytes of bodies that this process holds for the API.
_MAX_HELD_BYTES = 16 * 1024 * 1024
#: Answers alike for everybody, or behind a token of their own; none of these routes reads a body.
_KEYED, _OPEN = "/v1/", "/v1/health"


class Gate:
    """Middleware: lets requests through to the framework, with their key in the state and their body read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._keys = Keys()
        self._bodies = Bodies(_MAX_HELD_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as an ASGI application."""
        if scope["type"] != "http" or not scope["path"].startswith(_KEYED) or scope["path"] == _OPEN:
            await self._app(scope, receive, send)
            return
        try:
            admitted = await self._keys.admit(scope["headers"])
            recognise(scope)
            scope["state"]["key"], scope["state"]["headers"] = admitted
            _check_head(scope)
            body = await self._read(receive)
        except ApiError as error:
            await _refuse(scope, receive, send, error)
        except EndedEarlyError:
            return  # Nobody is there to be answered.
        except Exception as error:
            if not is_passing(error):
                raise
            await _refuse(scope, receive, send, unavailable(error))
        else:
            with self._bodies.held(len(body)):
                await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(_BODY_S):
                return await self._bodies.read(receive, MAX_BODY_BYTES)
        except TooLargeError:
            raise _too_large() from None
        except TimeoutError:
            raise ApiError(408, f"the body took longer than {_BODY_S:.0f} s") from None
        except CrowdedError as error:
            raise unavailable(error) from None


def _check_head(scope: Scope) -> None:
    for name, value in scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise ApiError(415, "a body is taken without Content-Encoding only")
        if name == b"content-length" and int(value) > MAX_BODY_BYTES:
            raise _too_large()


def _too_large() -> ApiError:
    return ApiError(413, f"body larger than {MAX_BODY_BYTES} bytes")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a ``receive`` that gives a body that was read already, whole."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay


async def _refuse(scope: Scope, receive: Receive, send: Send, error: ApiError) -> None:
    """Answer and close. The end of the answer is held back until the sender has had time to read it."""
    has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])

    async def send_open(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].append((b"connection", b"close"))
        elif has_body:
            message["more_body"] = True
        await send(message)

    await answer_to(scope, error)(scope, receive, send_open)
    if has_body:
        await linger(receive)
        await send({"type": "http.response.body", "body": b""})
