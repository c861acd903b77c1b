"""The worker's part in reading a scripted provider: requests, retries, cursors; and faults at chosen requests.

Nothing waits and nothing is sent.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from connectors.conformance.examples import Provider
from connectors.conformance.subject import BrokenError, Subject
from connectors.contract import MalformedPayloadError
from connectors.reader import Answer, Cursor, Job, Kind, NotYetError, Page, ReadingError, Request, Row, TryAgainError

_MOST_REQUESTS = 1_000  #: of one run, far more than a few customers need
_MOST_STARTS = 50  #: of one run, after NotYetError or TryAgainError
_REPEATS = 3  #: attempts at one request before TryAgainError leaves the run

#: takes a request's number (from 0), the request and its answer; returns the answer that the reader gets
Fault = Callable[[int, Request, Answer], Answer]


class EndlessError(BrokenError):
    """The reader does not come to an end."""


def no_fault(_number: int, _request: Request, answer: Answer) -> Answer:
    """Leave the answer as it is."""
    return answer


@dataclass
class Script:
    """One provider, and everything that was requested and read."""

    subject: Subject
    fault: Fault = no_fault
    provider: Provider = field(init=False)
    requests: list[Request] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)  #: that the reader raised
    cursors: list[Cursor] = field(default_factory=list)  #: of its pages and of its NotYetErrors

    def __post_init__(self) -> None:
        if self.subject.simulator is None:
            raise AssertionError("a script needs a simulator")
        self.provider = self.subject.simulator()
        self.credentials = self.provider.credentials

    def job(self, kind: Kind, since: datetime | None = None) -> Job:
        """Return a job of this kind."""
        return Job(kind=kind, account=self.provider.account, credentials=self.credentials, since=since)

    def fetch(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        """Send a request as the worker does: renew credentials once after a 401, repeat if ``check`` says so."""
        for repeat in range(_REPEATS):
            answer = self._ask(request)
            if answer.status == 401 and repeat == 0 and self._renew():
                answer = self._ask(request)
            try:
                if check is not None:
                    check(answer)
            except TryAgainError:
                if repeat == _REPEATS - 1:
                    raise
            else:
                return answer
        raise TryAgainError("the scripted provider has no patience left")

    def read(self, kind: Kind, cursor: Cursor | None = None, since: datetime | None = None) -> list[Page]:
        """Read from the cursor to the end, and go on after NotYetError and TryAgainError; other errors pass."""
        pages: list[Page] = []
        for _ in range(_MOST_STARTS):
            try:
                for page in self.subject.connector.read(self.job(kind, since), cursor, self.fetch):
                    if not isinstance(page, Page):
                        raise BrokenError(f"{kind}: read yields something that is no Page")
                    pages.append(page)
                    cursor = self._kept(page.cursor)
            except NotYetError as error:
                self.errors.append(error)
                cursor = self._kept(error.cursor)
            except TryAgainError as error:
                self.errors.append(error)
            except (ReadingError, MalformedPayloadError) as error:
                self.errors.append(error)
                raise
            else:
                return pages
        raise EndlessError(f"{kind}: does not come to an end: started {_MOST_STARTS} times")

    def read_some(self, external_ids: Sequence[str]) -> list[Row]:
        """Read these customers."""
        rows: Iterator[Row] = self.subject.connector.read_some(self.job("full"), external_ids, self.fetch)
        return list(rows)

    def _ask(self, request: Request) -> Answer:
        if len(self.requests) >= _MOST_REQUESTS:
            raise EndlessError(f"does not come to an end: asked {_MOST_REQUESTS} times")
        if request.url.startswith("/"):  # a whole URL is requested without credentials
            request = replace(
                request, headers={**request.headers, **self.subject.connector.authorize(self.credentials)}
            )
        number = len(self.requests)
        self.requests.append(request)
        return self.fault(number, request, self.provider.answer(request))

    def _renew(self) -> bool:
        request = self.subject.connector.renewal(self.credentials)
        if request is None:
            return False
        answer = self._ask(request)
        self.credentials = self.subject.connector.renewed(self.credentials, answer)
        return True

    def _kept(self, cursor: Any) -> Cursor:
        """Return the cursor as the worker keeps it: written as JSON and read again."""
        try:
            kept = json.loads(json.dumps(cursor, allow_nan=False))
        except (TypeError, ValueError):
            kept = None
        if not isinstance(kept, dict) or kept != cursor:
            raise BrokenError("a cursor is not a JSON object, or JSON does not keep it as it is")
        self.cursors.append(kept)
        return kept


def ids_of(pages: Sequence[Page]) -> set[str]:
    """Return the ids of all rows."""
    return {row.external_id for page in pages for row in page.rows}


def failing_at(at: int) -> Fault:
    """Return a fault: at one request the provider fails, until the worker gives up for now."""

    def fault(number: int, _request: Request, answer: Answer) -> Answer:
        if number == at:
            raise TryAgainError("the provider answers 503")
        return answer

    return fault


def cut_at(at: int, share: float, *, is_noticed: bool) -> Fault:
    """Return a fault: a download ends after a share of its lines, in the middle of a line.

    With ``is_noticed`` the worker sees the cut; without, the download looks complete.
    """

    def fault(number: int, request: Request, answer: Answer) -> Answer:
        return (
            replace(answer, lines=_cut(answer.lines, share, is_noticed=is_noticed))
            if _is_hit(number, at, request)
            else answer
        )

    return fault


def _is_hit(number: int, at: int, request: Request) -> bool:
    return number == at and request.offset is not None


def _cut(lines: Iterator[tuple[int, bytes]], share: float, *, is_noticed: bool) -> Iterator[tuple[int, bytes]]:
    whole = list(lines)
    kept = int(len(whole) * share)
    yield from whole[:kept]
    if is_noticed:
        raise TryAgainError("the download was cut")
    for offset, line in whole[kept : kept + 1]:
        half = len(line) // 2
        yield offset - (len(line) - half) - 1, line[:half]


def answering_from(at: int, status: int, body: bytes) -> Fault:
    """Return a fault: from one request on the provider gives this answer."""

    def fault(number: int, _request: Request, answer: Answer) -> Answer:
        if number < at:
            return answer
        return replace(answer, status=status, body=body, lines=iter([(len(body) + 1, body)]))

    return fault
