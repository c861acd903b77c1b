"""A small worker for tests: it calls an ASGI application, and its clock moves only when it waits."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from connectors.conformance.served import called, lines_of
from connectors.reader import Answer, Job, NotYetError, Page, Request, TryAgainError

MOST_TRIES = 12


class Clock:
    def __init__(self, at: str = "2026-11-20T12:00:00+00:00") -> None:
        self.at = datetime.fromisoformat(at)

    def __call__(self) -> float:
        return self.at.timestamp()

    def wait(self, time: timedelta) -> None:
        self.at += time


class Worker:
    """Fetches like the worker: repeats requests, renews tokens, returns downloads line by line."""

    def __init__(self, reader: Any, app: Any, credentials: dict[str, str], clock: Clock) -> None:
        self.reader, self.app, self.credentials, self.clock = reader, app, credentials, clock
        self.requests: list[Request] = []
        self.waits: list[timedelta] = []
        self.most_tries = MOST_TRIES

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        has_renewed = False
        for _ in range(self.most_tries):
            self.requests.append(request)
            answer = self.answer(request)
            if answer.status == 401 and not has_renewed and (renewal := self.reader.renewal(self.credentials)):
                self.credentials = dict(self.reader.renewed(self.credentials, self.answer(renewal)))
                has_renewed = True
                continue
            if answer.status >= 500 or answer.status == 429:
                self.wait(None)
                continue
            try:
                if check is not None:
                    check(answer)
            except TryAgainError as error:
                self.wait(error.after)
                continue
            return answer
        raise TryAgainError("tried too often")

    def wait(self, time: timedelta | None) -> None:
        self.waits.append(time or timedelta(seconds=1))
        self.clock.wait(self.waits[-1])

    def answer(self, request: Request) -> Answer:
        headers = dict(request.headers)
        if "://" not in request.url:
            headers |= self.reader.authorize(self.credentials)
        if request.offset is not None:
            headers["Range"] = f"bytes={request.offset}-"
        body = json.dumps(request.json) if request.form is None else urlencode(request.form)
        url = request.url if "://" in request.url else f"https://shop.example{request.url}"
        before = self.clock.at.replace(microsecond=0)
        status, answered, content = asyncio.run(called(self.app, request.method, url, headers, body.encode()))
        after = self.clock.at
        times = {"not_before": before.astimezone(UTC), "not_after": after.astimezone(UTC)}
        if request.offset is None:
            return Answer(status=status, headers=answered, body=content, **times)
        return Answer(status=status, headers=answered, lines=lines_of(content, request.offset), **times)


def pages_of(worker: Worker, job: Job, cursor: Any = None, most: int = 400) -> Iterator[Page]:
    """Read a run to its end, each time from a stored cursor, as another process would."""
    for _ in range(most):
        try:
            for page in worker.reader.read(job, cursor, worker):
                yield page
                cursor = json.loads(json.dumps(page.cursor))
        except NotYetError as error:
            cursor = json.loads(json.dumps(error.cursor))
            worker.wait(error.after)
        else:
            return
    raise AssertionError("the run does not end")


class Scripted:
    """Gives these answers in order: each is an answer, a payload for status 200, or a status."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[Request] = []

    def __call__(self, request: Request, check: Callable[[Answer], None] | None = None) -> Answer:
        self.requests.append(request)
        given = self.answers.pop(0)
        answer = given if isinstance(given, Answer) else an_answer(given)
        if check is not None:
            check(answer)
        return answer


def an_answer(content: Any = b"", status: int = 200, *, lines: Iterator[tuple[int, bytes]] | None = None) -> Answer:
    """Return an answer of noon; ``content`` is bytes, a status without a body, or a value that becomes JSON."""
    if type(content) is int:
        content, status = b"", content
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    noon = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    return Answer(status=status, headers={}, body=body, not_before=noon, not_after=noon, lines=lines or iter(()))
