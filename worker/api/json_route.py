"""A route that takes strict JSON only. Python's own parser lets NaN, infinity and lone surrogates pass."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute


class _JsonRequest(Request):
    """Refuses NaN, infinity, lone surrogates and a thousand nested levels."""

    async def json(self) -> Any:
        return orjson.loads(await self.body())  # Its error is a json.JSONDecodeError, which FastAPI handles.


class JsonRoute(APIRoute):
    """A route whose body is parsed as strict JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the request before its body is parsed."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json
