"""A route that takes strict JSON only, and text in one spelling.

Python's own parser lets NaN, infinity and lone surrogates pass. All text of a request is brought to NFC here, the body,
the query and the path alike, because "é" can be one character or two: connectors do the same with what they read.
"""

from collections.abc import Callable, Coroutine
from inspect import iscoroutinefunction
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams

from connectors.cleaning import normalised
from worker.api.errors import ApiError, Detail, field_of
from worker.api.shares import Shares
from worker.store import db

#: where a text is: ("body", "custom_fields", "note")
_Place = tuple[str | int, ...]
_MOST_PLACES = 8  #: parts of a place that are told, because a body may be nested a thousand levels deep
#: An organization may use three quarters of the threads that load. Operations wait in lines (``lines``).
_of_loads = Shares((db.TENANT_CONNECTIONS - db.OPERATION_CONNECTIONS) * 3 // 4)


class _JsonRequest(Request):
    """Refuses NaN, infinity, lone surrogates and a thousand nested levels; its text is NFC."""

    async def json(self) -> Any:
        return composed(await self.body())

    @property
    def query_params(self) -> QueryParams:
        """The parameters of the query; they are few, so they are made anew each time."""
        given = super().query_params.multi_items()
        return QueryParams([(_nfc(name, ("query",)), _nfc(value, ("query", name))) for name, value in given])

    @property
    def path_params(self) -> dict[str, Any]:
        """The parameters of the path. All of our paths have text only."""
        return {name: _nfc(value, ("path", name)) for name, value in super().path_params.items()}


def composed(body: bytes) -> Any:
    """Return what a body of JSON says, its texts in NFC; raises json.JSONDecodeError, or ApiError for a broken text."""
    given = orjson.loads(body)
    # Most bodies are ASCII, which is NFC. JSON can also write other characters as \u and four digits.
    return given if body.isascii() and b"\\u" not in body else _composed(given)


def _nfc(text: str, place: _Place) -> str:
    try:
        return normalised("NFC", text)
    except ValueError as error:
        details: list[Detail] = [{"field": field_of(place), "reason": f"{error}, which no language has"}]
        raise ApiError(422, "the request is not valid", details=details) from None


def _composed(given: Any) -> Any:
    """Bring all texts of parsed JSON to NFC, in place, the names of fields too.

    Of two names that become the same the last counts, as of two that are the same. There is no recursion, because
    what the parser takes may be nested more deeply than Python can call.
    """
    root = [given]
    waiting: list[tuple[Any, _Place]] = [(root, ())]
    while waiting:
        part, at = waiting.pop()
        if isinstance(part, dict) and not all(map(str.isascii, part)):
            items = [(_nfc(name, at), value) for name, value in part.items()]
            part.clear()
            part.update(items)
        for name, value in part.items() if isinstance(part, dict) else enumerate(part):
            place = at[:_MOST_PLACES] + (("body",) if part is root else (name,))
            if isinstance(value, str):
                part[name] = _nfc(value, place)  # The name exists, so the loop may go on.
            elif isinstance(value, dict | list):
                waiting.append((value, place))
    return root[0]


class JsonRoute(APIRoute):
    """A route whose body is parsed as strict JSON, whose text is NFC, and which leaves threads to others."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the request before its body is parsed."""
        handle = super().get_route_handler()
        # Plain functions run in the framework's threads.
        if iscoroutinefunction(self.endpoint):

            async def handle_operation(request: Request) -> Response:
                return await handle(_JsonRequest(request.scope, request.receive))

            return handle_operation

        async def handle_json(request: Request) -> Response:
            async with _of_loads.one_of(request.state.key.organization_id):
                return await handle(_JsonRequest(request.scope, request.receive))

        return handle_json
