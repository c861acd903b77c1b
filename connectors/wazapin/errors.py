"""Errors of the Contacts API, grouped by what the caller should do next.

ApiError
├── NotFoundError          404: there is no such contact, tag or profile
├── ConflictError          409: what was sent belongs to several contacts (``contact_ids``); a person decides
├── InvalidError           400, 413, 422 …: correct the request; the same request fails again
│   └── OutdatedError      412: read the contact again, then patch with its new ETag
├── DeniedError            401, 403: check the key and its scopes; of a profile: the person has not consented
├── TryLaterError          429, 5xx or no answer, after all attempts: come back after ``retry_after``
└── UnexpectedAnswerError  the answer is not from this API: check ``base_url``

Wazapin documents three shapes of error bodies (https://docsx.wazapin.com/api/errors and
https://docsx.wazapin.com/api/reference-contacts), and proxies answer with pages; all are read. An error quotes the
server's text, shortened. It never quotes the request, because that is personal data.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Self

import httpx

_MAX_TEXT = 200  #: characters; longer texts are pages or dumps
_MAX_DETAILS = 20
_SHOWN_DETAILS = 3
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\xa0\u2028\u2029\ud800-\udfff]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One mistake in the request."""

    field: str | None = None  #: path in the body, or name of the parameter
    reason: str | None = None
    type: str | None = None  #: of a conflict: the type of the identifier
    contact_id: str | None = None  #: of a conflict: the contact that the identifier leads to


class ApiError(Exception):
    """The API refused, or did not answer."""

    def __init__(
        self,
        status: int | None,
        code: str | None,
        message: str,
        details: tuple[Detail, ...] = (),
        request_id: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        # All of them, so that the error survives pickling (multiprocessing, Celery).
        super().__init__(status, code, message, details, request_id, retry_after)
        self.status = status  #: None if no answer came
        self.code = code  #: the API's code, such as ``not_found``; None if it sent no code
        self.message = message  #: the server's text, for a person
        self.details = details
        self.request_id = request_id  #: for a question to the operator of the API
        self.retry_after = retry_after  #: how long the server asks to wait; None if it does not ask

    def __str__(self) -> str:
        head = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        text = f"{head}: {self.message}" if head else self.message
        for detail in self.details[:_SHOWN_DETAILS]:
            text += f"; {detail.field}: {detail.reason}"
        return f"{text} (request {self.request_id})" if self.request_id else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    @classmethod
    def no_answer(cls, error: httpx.RequestError) -> Self:
        """Return the error for a request without an answer. It names the type only: a text could quote a header."""
        return cls(None, None, f"no answer ({type(error).__name__})")


class NotFoundError(ApiError):
    """There is no such contact, tag or profile, or it belongs to another organization."""


class ConflictError(ApiError):
    """The identifiers in the request belong to different contacts."""

    @property
    def contact_ids(self) -> tuple[str, ...]:
        """The ids of these contacts, each once; empty if the server does not send them."""
        return tuple(dict.fromkeys(detail.contact_id for detail in self.details if detail.contact_id))


class InvalidError(ApiError):
    """The request is wrong; ``details`` say where."""


class OutdatedError(InvalidError):
    """The contact changed since its ETag was read.

    If the answer to an earlier attempt was lost, the change may be your own. Read the contact again to see.
    """


class DeniedError(ApiError):
    """The key is missing, wrong or too narrow."""


class TryLaterError(ApiError):
    """Nothing is wrong with the request; the same one may succeed later."""


class UnexpectedAnswerError(ApiError):
    """The answer is not one of this API."""


_KINDS: dict[int, type[ApiError]] = {
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    408: TryLaterError,  # a proxy's answer to a slow body
    409: ConflictError,
    410: NotFoundError,
    412: OutdatedError,
    429: TryLaterError,
}


def refusal(response: httpx.Response, retry_after: timedelta | None = None) -> ApiError:
    """Return the error for an answer that is not 2xx; never raises, whatever the body holds."""
    request_id = _text(response.headers.get("x-request-id"))
    return problem_error(response.status_code, _object(response), request_id, retry_after)


def problem_error(
    status: int, body: dict[str, Any], request_id: str | None = None, retry_after: timedelta | None = None
) -> ApiError:
    """Return the error that the body of an error tells, or the part of a body that is about one row."""
    # One of the three shapes nests the error; the others have its keys at the top.
    problem = body["error"] if isinstance(body.get("error"), dict) else body
    return _kind(status)(
        status,
        _text(problem.get("code")),
        _message(problem) or _phrase(status),
        _details(problem),
        _text(body.get("request_id")) or request_id,
        retry_after,
    )


def _kind(status: int) -> type[ApiError]:
    if status in _KINDS:
        return _KINDS[status]
    if status >= 500:
        return TryLaterError
    # Redirects are not followed: the API key would go to another host.
    return InvalidError if status >= 400 else UnexpectedAnswerError


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = json.loads(response.content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _message(problem: Mapping[str, Any]) -> str | None:
    for key in ("message", "error", "detail", "title"):
        if text := _text(problem.get(key)):
            return text
    return None


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # some proxies have status codes of their own
        return "no reason given"


def _details(problem: Mapping[str, Any]) -> tuple[Detail, ...]:
    rows = problem.get("details") or problem.get("errors")  # "errors" in Huma, Wazapin's framework
    if not isinstance(rows, list):
        return ()
    return tuple(
        Detail(
            field=_text(row.get("field")) or _text(row.get("location")),
            # Huma's "value" is left out, because it quotes the request.
            reason=_text(row.get("reason")) or _text(row.get("message")),
            type=_text(row.get("type")),
            contact_id=_text(row.get("contact_id")),
        )
        for row in rows[:_MAX_DETAILS]
        if isinstance(row, dict)
    )


def _text(value: object) -> str | None:
    """Return text as one short line; None for an empty text or another type."""
    if not isinstance(value, str):
        return None
    line = _UNPRINTABLE.sub(" ", value).strip()
    return (line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1] + "…") or None
