"""The worker's part of reading a scripted provider: asking, asking again, going on from cursors; and faults on the way.

Nothing waits and nothing is sent: what the worker would wait for is due at once.
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

_MOST_REQUESTS = 1_000  #: of one run, far beyond what a few customers take
_MOST_STARTS = 50
_REPEATS = 3  #: of one request, before the worker gives it up for now

#: is asked after each request: its number from 0, what was asked, and what came; returns what comes instead
Fault = Callable[[int, Request, Answer], Answer]


class EndlessError(BrokenError):
    """The reader asks on and on."""


def no_fault(_number: int, _request: Request, answer: Answer) -> Answer:
    """Leave the answer as it is."""
    return answer


@dataclass
class Script:
    """One provider and all that is read from it."""

    subject: Subject
    fault: Fault = no_fault
    provider: Provider = field(init=False)
    requests: list[Request] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)  #: that came out of the reader
    cursors: list[Cursor] = field(default_factory=list)  #: all that it gave, also while it had to wait

    def __post_init__(self) -> None:
        if self.subject.simulator is None:
            raise AssertionError("who asks for a script has looked for a simulator")
        self.provider = self.subject.simulator()
        self.credentials = self.provider.credentials

    def job(self, kind: Kind, since: datetime | None = None) -> Job:
        """Say what is to be read."""
        return Job(kind=kind, account=self.provider.account, credentials=self.credentials, since=since)

    def fetch(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        """Ask as the worker does: with credentials, renewed once; again, if the reader's check says so."""
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
        """Read from the cursor to the end, going on after every wait; other errors pass."""
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
        if request.url.startswith("/"):  # whole URLs are asked without credentials
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
        """Return the cursor as the worker has it after keeping it: what JSON makes of it."""
        try:
            kept = json.loads(json.dumps(cursor, allow_nan=False))
        except (TypeError, ValueError):
            kept = None
        if not isinstance(kept, dict) or kept != cursor:
            raise BrokenError("a cursor is no JSON object, or another one once it has been written and read")
        self.cursors.append(kept)
        return kept


def ids_of(pages: Sequence[Page]) -> set[str]:
    """Return the ids of all rows."""
    return {row.external_id for page in pages for row in page.rows}


def failing_at(at: int) -> Fault:
    """Make the provider fail once, as a worker tells it that has given up for now."""

    def fault(number: int, _request: Request, answer: Answer) -> Answer:
        if number == at:
            raise TryAgainError("the provider answers 503")
        return answer

    return fault


def cut_at(at: int, share: float, *, is_noticed: bool) -> Fault:
    """Cut a download after a share of its lines, in the middle of the next; ``is_noticed``: the worker sees the cut."""

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
    """Make the provider answer something else from one request on."""

    def fault(number: int, _request: Request, answer: Answer) -> Answer:
        if number < at:
            return answer
        return replace(answer, status=status, body=body, lines=iter([(len(body) + 1, body)]))

    return fault
