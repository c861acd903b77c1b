"""Errors of the HTTP API: all have the same body, and every answer has a request id.

The body satisfies both shapes that Wazapin documents: ``error`` and ``code``, and a problem object of
RFC 9457 (``title``, ``status``, ``detail``).
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from sqlalchemy import exc as database
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker import logs
from worker.errors import ConfigError, TransientError, sqlstate_behind
from worker.store import sqlstates

log = structlog.get_logger()
_seldom = logs.Seldom()

#: status -> (title, code)
KINDS = {
    400: ("Bad Request", "bad_request"),
    401: ("Unauthorized", "unauthorized"),
    403: ("Forbidden", "forbidden"),
    404: ("Not Found", "not_found"),
    405: ("Method Not Allowed", "method_not_allowed"),
    409: ("Conflict", "conflict"),
    412: ("Precondition Failed", "precondition_failed"),
    408: ("Request Timeout", "too_slow"),
    413: ("Content Too Large", "too_large"),
    415: ("Unsupported Media Type", "unsupported_encoding"),
    422: ("Unprocessable Content", "validation_error"),
    429: ("Too Many Requests", "rate_limited"),
    500: ("Internal Server Error", "internal"),
    502: ("Bad Gateway", "provider_error"),
    503: ("Service Unavailable", "unavailable"),
    504: ("Gateway Timeout", "provider_timeout"),
}
_RETRY_AFTER_S = "5"
#: Errors that may be over in a moment. The pool raises TimeoutError if no connection became free in time.
_PASSING = (database.OperationalError, database.InterfaceError, database.TimeoutError, TransientError, ConfigError)
#: A request id from outside ends up in logs, so an id with other characters is replaced.
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
#: Our words for those messages of pydantic that quote the value or speak of code.
_REASONS = {
    "extra_forbidden": "unknown parameter",
    "missing": "required",
    "model_attributes_type": "should be a JSON object, sent as application/json",
    "dict_type": "should be a JSON object, sent as application/json",
    "union_tag_invalid": "unknown value",
}
_MAX_FIELD = 200

Detail = Mapping[str, str]


class ApiError(HTTPException):
    """A request is answered with an error. ``text`` is shown to the caller and must quote no value."""

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str | None = None,
        details: Sequence[Detail] | None = None,
        headers: Mapping[str, str] | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(status, text, headers)
        self.code = code  #: None: the usual code of the status
        self.sqlstate = sqlstate  #: of the database error behind it
        self.details = details


def contact_not_found(details: Sequence[Detail] | None = None) -> ApiError:
    """Return the error for an id that is no contact of this organization, even if another organization has it."""
    return ApiError(404, "contact not found", details=details)


def not_valid(field: str, reason: str) -> ApiError:
    """Return the error for one field with a wrong value."""
    return ApiError(422, "the request is not valid", details=[{"field": field, "reason": reason}])


def invalid(error: ValidationError) -> ApiError:
    """Return the error for a part of a body that is not valid."""
    details = [{"field": field_of(("body", *one["loc"])), "reason": _reason(one)} for one in error.errors()]
    return ApiError(422, "the request is not valid", details=details)


def problem_of(request_id: str, error: Exception) -> dict[str, Any]:
    """Return the body of the answer for an error of one part of a request."""
    if is_passing(error):
        error = unavailable(error)
    if isinstance(error, ApiError):
        return problem(request_id, error.status_code, error.detail, error.details, error.code)
    log.error("request_failed", exc_info=error)
    return problem(request_id, 500, "internal error")


def problem(
    request_id: str,
    status: int,
    text: str,
    details: Sequence[Detail] | None = None,
    code: str | None = None,
    sqlstate: str | None = None,
) -> dict[str, Any]:
    """Return the body of an error."""
    title, usual = KINDS.get(status, (text, "error"))
    body = {
        "title": title,
        "status": status,
        "detail": text,
        "error": text,
        "code": code or usual,
        "request_id": request_id,
    }
    if sqlstate is not None:
        body["sqlstate"] = sqlstate
    return {**body, "details": list(details)} if details else body


def install(app: FastAPI) -> None:
    """Add our errors and the request ids to an app."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _not_valid)
    for passing in _PASSING:
        app.add_exception_handler(passing, _unavailable)
    app.add_exception_handler(database.DBAPIError, _database_error)
    app.add_middleware(Requests)


class Requests:
    """Middleware: gives each request an id, and answers 500 to an exception that nobody caught."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, as an ASGI application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.update(scope["state"].get("headers", {}))
                if scope["path"].startswith("/v1/"):
                    headers["Cache-Control"] = "no-store"  # People's data stay in no cache on the way.
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, answer)
            except Exception as error:
                if started:  # Too late for another answer; the server cuts the connection.
                    raise
                # It is not raised again, because the server would log its message, which may quote a row.
                log.exception("request_failed", exc_info=error)
                await _answer(request_id, 500, "internal error")(scope, receive, answer)


def _request_id(scope: Scope) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


def answer_to(scope: Scope, error: ApiError) -> Response:
    """Return the answer for an error that was raised outside of the framework."""
    return _answer(
        scope["state"]["request_id"],
        error.status_code,
        error.detail,
        error.details,
        error.headers,
        error.code,
        error.sqlstate,
    )


def unavailable(error: Exception) -> ApiError:
    """Return the error for a failure that may be over in a moment."""
    _seldom.log(log.warning, "request_unavailable", error=error)
    headers = {"Retry-After": _RETRY_AFTER_S}
    return ApiError(503, "unavailable, try again", headers=headers, sqlstate=sqlstate_behind(error))


def is_passing(error: Exception) -> bool:
    """Return whether the same request may succeed later: nothing is wrong with it, nor with our code."""
    is_operators = isinstance(error, database.DBAPIError) and sqlstates.is_for_an_operator(error)
    return isinstance(error, _PASSING) or is_operators or sqlstates.is_setup_fault(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the handler's contract
    text, headers = error.detail, error.headers
    details = code = state = None
    if isinstance(error, ApiError):
        details, code, state = error.details, error.code, error.sqlstate
    elif error.status_code == 404:
        text = "no such route"
    elif error.status_code == 405:
        headers = {"Allow": ", ".join(sorted(_methods(request)))}
    return _answer(_id_of(request), error.status_code, text, details, headers, code, state)


def _methods(request: Request) -> set[str]:
    """Return all methods of a path. The framework would name those of the first route, and each method has a route."""
    routes = [route for route in iter_route_contexts(request.app.routes) if route.methods]
    return {method for route in routes if route.path_regex.match(request.url.path) for method in route.methods or ()}


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - the handler's contract
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return _answer(_id_of(request), 400, "the body is not JSON")
    details = [{"field": field_of(problem["loc"]), "reason": _reason(problem)} for problem in problems]
    return _answer(_id_of(request), 422, "the request is not valid", details)


async def _unavailable(request: Request, error: Exception) -> Response:
    return answer_to(request.scope, unavailable(error))


async def _database_error(request: Request, error: Exception) -> Response:
    """Answer for a database that is read-only, full, not migrated, or refuses our role; all else is a bug."""
    if not is_passing(error):
        raise error
    return answer_to(request.scope, unavailable(error))


def _id_of(request: Request) -> str:
    return str(request.state.request_id)


def _answer(
    request_id: str,
    status: int,
    text: str,
    details: Sequence[Detail] | None = None,
    headers: Mapping[str, str] | None = None,
    code: str | None = None,
    sqlstate: str | None = None,
) -> Response:
    body = problem(request_id, status, text, details, code, sqlstate)
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def field_of(path: Sequence[str | int]) -> str:
    """Write ``("body", "identifiers", 0, "type")`` as ``identifiers[0].type``."""
    field = ""
    for step in path[1:]:
        field += f"[{step}]" if isinstance(step, int) else f".{step}"
    return field.removeprefix(".")[:_MAX_FIELD] or str(path[0])


def _reason(problem: Mapping[str, Any]) -> str:
    """Say what is wrong without the value, which may be a person's."""
    known = _REASONS.get(problem["type"])
    return known or str(problem["msg"]).removeprefix("Value error, ")
