"""Turns a simulator that is an ASGI application into a provider for the suite; nothing is sent."""

import asyncio
import json
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from connectors.contract import Account
from connectors.reader import Answer, Credentials, Request

_HOST = "shop.example"


class Served:
    """A ``Provider`` whose answers come from an application."""

    def __init__(
        self,
        app: Any,
        *,
        account: Account,
        credentials: Credentials,
        external_ids: Collection[str],
        increment_ids: Collection[str] | None = None,
    ) -> None:
        self.account = account
        self.credentials = credentials
        self.external_ids = external_ids
        self.increment_ids = increment_ids
        self._app = app

    def answer(self, request: Request) -> Answer:
        """Return the application's answer."""
        headers = dict(request.headers)
        if request.offset is not None:
            headers["Range"] = f"bytes={request.offset}-"
        url = request.url if "://" in request.url else f"https://{_HOST}{request.url}"
        body = b"" if request.json is None else json.dumps(request.json).encode()
        if request.form is not None:
            body = urlencode(request.form).encode()
        began = datetime.now(UTC)
        status, answered, content = asyncio.run(called(self._app, request.method, url, headers, body))
        times: dict[str, Any] = {
            "not_before": began.replace(microsecond=0),
            "not_after": datetime.now(UTC) + timedelta(seconds=1),
        }
        if request.offset is None or status >= 300:
            return Answer(status=status, headers=answered, body=content, **times)
        return Answer(status=status, headers=answered, lines=lines_of(content, request.offset), **times)


async def called(
    app: Any, method: str, url: str, headers: dict[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """Call an application once; return status, headers and body. A cut connection leaves a part of the body."""
    parts = urlsplit(url)
    scope: dict[str, Any] = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1"}
    scope |= {"method": method, "path": parts.path, "raw_path": parts.path.encode(), "root_path": ""}
    scope |= {"scheme": "https", "query_string": parts.query.encode(), "server": (_HOST, 443), "client": None}
    scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in {"host": _HOST, **headers}.items()]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    try:
        await app(scope, receive, send)
    except Exception:  # a simulator raises to cut the connection; the answer is the part that it sent before
        if not sent:
            raise
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answered, b"".join(message.get("body", b"") for message in sent[1:])


def lines_of(content: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a download that begins at this byte."""
    for line in content.splitlines(keepends=True):
        offset += len(line)
        yield offset, line.removesuffix(b"\n")
