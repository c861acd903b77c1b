"""REST v3 of an invented WooCommerce shop over real HTTP, with faults and traps, for tests and trials.

    python -m connectors.woocommerce.simulator --port 8090 --seed 7 --size 5000 \
        --consumer-key ck_invented --consumer-secret cs_invented

It listens on the loopback interface only. ``/_control/…`` changes the shop and returns the signed webhooks about the
changes; docs/connectors.md lists the calls. It has the traps of the real API: ``modified_after`` is ignored for
customers, the default role is ``customer`` and the default order by name, and unreadable users leave short pages.
"""

import argparse
import asyncio
import base64
import hmac
import json
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from connectors.simulation.deliveries import Delivery
from connectors.woocommerce.simulator.shop import BEGIN, ZONE, Body, Shop, ping

_BASE = "/wp-json/wc/v3"
_MOST = 100
_ORDERS_BY = ("date", "id", "include", "title", "slug", "modified")
_CUSTOMERS_BY = ("id", "include", "name", "registered_date")


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of every n-th request to the API (0: never); a request fails in one way at most."""

    error_every: int = 0  #: 503
    throttle_every: int = 0  #: 429, from a web server in front
    cut_every: int = 0  #: the connection ends after half of the body
    html_every: int = 0  #: a maintenance page with status 200
    slow_every: int = 0
    slow_s: float = 0.5
    unreadable_every: int = 0  #: of users, by id: they count in totals, and no page shows them


class _Error(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status = status
        self.body = {"code": code, "message": message, "data": {"status": status}}


class _Cut(Response):
    """Announces a whole body and sends half of it, so the server closes the connection."""

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        half = bytes(self.body)[: len(self.body) // 2]
        await send({"type": "http.response.body", "body": half, "more_body": True})


@dataclass(slots=True)
class Site:
    """The shop behind its web server. One thread serves it."""

    shop: Shop
    consumer_key: str = "ck_invented"
    consumer_secret: str = "cs_invented"  # noqa: S105 - of an invented shop
    faults: Faults = field(default_factory=Faults)
    prefix: str = ""  #: the path of WordPress below the root, such as ``/blog``
    requests: int = 0
    refused: int = 0
    failed: int = 0
    log: list[str] = field(default_factory=list)  #: the last 1,000 requested paths, with their queries

    def app(self) -> Starlette:
        """Return the application: the API, and ``/_control``."""
        api = [
            Route(f"{_BASE}/customers", self._api(self._customers)),
            Route(f"{_BASE}/customers/{{id:int}}", self._api(self._customer)),
            Route(f"{_BASE}/orders", self._api(self._orders)),
            Route("/{path:path}", self._api(self._no_route)),
        ]
        control = [
            Route("/faults", self._set_faults, methods=["POST"]),
            Route("/stats", self._stats),
            Route("/ping", self._ping),
            *(
                Route(f"/{name}", self._control(do), methods=["POST"])
                for name, do in (
                    ("change", self._change),
                    ("create", self._create),
                    ("delete", self._delete),
                    ("deliver", self._deliver),
                )
            ),
        ]
        return Starlette(routes=[Mount("/_control", routes=control), Mount(self.prefix or "/", routes=api)])

    # The API

    def _api(self, answer: Callable[[Request], Response]) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            self.requests += 1
            self.log = [*self.log[-999:], f"{request.url.path}?{request.url.query}"]
            faults = self.faults
            if self._is_due(faults.slow_every):
                await asyncio.sleep(faults.slow_s)
            if self._is_due(faults.error_every):
                return HTMLResponse("<h1>503 Service Unavailable</h1>", status_code=503)
            if self._is_due(faults.throttle_every):
                return HTMLResponse("<h1>429</h1>", status_code=429, headers={"Retry-After": "1"})
            if self._is_due(faults.html_every):
                return HTMLResponse("<p>Briefly unavailable for scheduled maintenance.</p>")
            try:
                self._authorize(request)
                response = answer(request)
            except _Error as error:
                return JSONResponse(error.body, status_code=error.status)
            if self._is_due(faults.cut_every):
                return _Cut(bytes(response.body), headers=dict(response.headers))
            return response

        return serve

    def _is_due(self, every: int) -> bool:
        is_due = bool(every) and self.requests % every == 0
        self.failed += is_due
        return is_due

    def _authorize(self, request: Request) -> None:
        scheme, _, value = request.headers.get("authorization", "").partition(" ")
        query = request.query_params
        pair = f"{query.get('consumer_key', '')}:{query.get('consumer_secret', '')}"
        if scheme.lower() == "basic":
            try:
                pair = base64.b64decode(value, validate=True).decode()
            except ValueError:
                pair = ""
        if not hmac.compare_digest(pair.encode(), f"{self.consumer_key}:{self.consumer_secret}".encode()):
            self.refused += 1
            raise _Error(401, "woocommerce_rest_cannot_view", "Sorry, you cannot list resources.")

    def _customers(self, request: Request) -> Response:
        query = request.query_params
        role, by = query.get("role", "customer"), _one_of(query, "orderby", _CUSTOMERS_BY, "name")
        start, size = _window(query)
        if "include" not in query and role == "all" and by in ("id", "registered_date") and _is_ascending(query):
            numbers, total = self.shop.users(start, start + size), self.shop.live
        else:
            numbers = self._selected(query, role, by)
            total = len(numbers)
            numbers = numbers[start : start + size]
        every = self.faults.unreadable_every
        found = (self.shop.user(number) for number in numbers if not (every and number % every == 0))
        return _listed(request, [body for body in found if body is not None], total, size)

    def _selected(self, query: Mapping[str, str], role: str, by: str) -> list[int]:
        shop = self.shop
        included = query.get("include", "")
        among = sorted({int(n) for n in included.split(",") if n.isdigit()}) if included else shop.users(0, shop.live)
        numbers = [n for n in among if shop.is_live(n) and role in ("all", shop.role(n))]
        if by == "name":
            numbers.sort(key=lambda n: ((shop.user(n) or {}).get("username", ""), n))
        return numbers if _is_ascending(query) else numbers[::-1]

    def _customer(self, request: Request) -> Response:
        body = self.shop.user(request.path_params["id"])
        if body is None:
            raise _Error(404, "woocommerce_rest_invalid_id", "Invalid resource ID.")
        return JSONResponse(body)

    def _orders(self, request: Request) -> Response:
        query, shop = request.query_params, self.shop
        by = _one_of(query, "orderby", _ORDERS_BY, "date")
        start, size = _window(query)
        after = _moment(query, "modified_after")
        # The first orders are in the order of their changes already.
        first = 1 if after is None else bisect_right(range(1, shop.orders + 1), after, key=shop.placed) + 1
        numbers = [n for n in range(first, shop.orders + 1) if n not in shop.changed_orders]
        moved = [n for n in shop.changed_orders if after is None or shop.modified(n) > after]
        numbers += sorted(moved, key=lambda n: (shop.modified(n), n))
        if by != "modified":
            numbers.sort()
        if not _is_ascending(query, default="desc"):
            numbers.reverse()
        bodies = [shop.order(number) for number in numbers[start : start + size]]
        return _listed(request, [body for body in bodies if body is not None], len(numbers), size)

    def _no_route(self, _request: Request) -> Response:
        raise _Error(404, "rest_no_route", "No route was found matching the URL and request method.")

    # The control

    def _control(self, do: Callable[[Mapping[str, Any]], list[Delivery]]) -> Callable[[Request], Any]:
        async def serve(request: Request) -> Response:
            try:
                deliveries = do(json.loads(await request.body() or b"{}"))
            except (KeyError, TypeError, ValueError) as error:
                return JSONResponse({"error": f"{type(error).__name__}: {error}"}, status_code=400)
            return JSONResponse({"deliveries": [_shown(delivery) for delivery in deliveries]})

        return serve

    def _change(self, command: Mapping[str, Any]) -> list[Delivery]:
        shop, members = self.shop, command.get("set", {})
        if command.get("kind", "customer") == "order":
            return shop.change_orders(self._numbers_of(command, shop.last_order), members or {"status": "completed"})
        members = members or {"last_name": f"Moved {shop.clock():%H%M%S}"}
        return shop.change(self._numbers_of(command, shop.last_user), members, is_quiet=bool(command.get("quiet")))

    def _create(self, command: Mapping[str, Any]) -> list[Delivery]:
        create = self.shop.create_orders if command.get("kind") == "order" else self.shop.create
        return create(int(command.get("count", 1)), command.get("set", {}))

    def _delete(self, command: Mapping[str, Any]) -> list[Delivery]:
        return self.shop.delete(self._numbers_of(command, self.shop.last_user))

    def _deliver(self, command: Mapping[str, Any]) -> list[Delivery]:
        return [self.shop.deliver(command["topic"], int(command["id"]))]

    def _numbers_of(self, command: Mapping[str, Any], last: int) -> list[int]:
        """Return the ids in the command, or the ``count`` highest ids."""
        if "ids" in command:
            return [int(number) for number in command["ids"] if 1 <= int(number) <= last]
        count = int(command.get("count", 1))
        if command.get("kind") == "order":
            return list(range(max(1, last - count + 1), last + 1))
        return self.shop.users(max(0, self.shop.live - count), self.shop.live)

    async def _set_faults(self, request: Request) -> Response:
        known = {fault.name for fault in fields(Faults)}
        settings = {name: value for name, value in json.loads(await request.body()).items() if name in known}
        self.faults = replace(Faults(), **settings)
        return JSONResponse({name: getattr(self.faults, name) for name in sorted(known)})

    async def _stats(self, _request: Request) -> Response:
        numbers = self.shop.users(0, self.shop.live)
        people = sum(self.shop.role(number) in ("customer", "subscriber") for number in numbers)
        stats = {"users": len(numbers), "customers": people, "orders": self.shop.last_order}
        return JSONResponse(stats | {"requests": self.requests, "refused": self.refused, "failed": self.failed})

    async def _ping(self, _request: Request) -> Response:
        return JSONResponse(_shown(ping()))


class Running:
    """A context manager that serves a site on a thread."""

    def __init__(self, site: Site) -> None:
        self.site = site
        config = uvicorn.Config(site.app(), host="127.0.0.1", port=0, log_level="critical", lifespan="off")
        self._server = uvicorn.Server(config)
        self._socket = config.bind_socket()
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started and self._thread.is_alive():
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(5)
        self._socket.close()


def _one_of(query: Mapping[str, str], name: str, words: tuple[str, ...], default: str) -> str:
    word = query.get(name, default)
    if word not in words:
        raise _Error(400, "rest_invalid_param", f"Invalid parameter(s): {name}")
    return word


def _is_ascending(query: Mapping[str, str], default: str = "asc") -> bool:
    return _one_of(query, "order", ("asc", "desc"), default) == "asc"


def _window(query: Mapping[str, str]) -> tuple[int, int]:
    numbers = {"page": 1, "per_page": 10, "offset": 0}
    for name in numbers:
        if name in query:
            written = query[name]
            if (
                not written.isdigit()
                or (name != "offset" and int(written) < 1)
                or (name == "per_page" and int(written) > _MOST)
            ):
                raise _Error(400, "rest_invalid_param", f"Invalid parameter(s): {name}")
            numbers[name] = int(written)
    return numbers["offset"] or (numbers["page"] - 1) * numbers["per_page"], numbers["per_page"]


def _moment(query: Mapping[str, str], name: str) -> datetime | None:
    """Read a time in a filter: the shop's own time, or UTC with ``dates_are_gmt``."""
    if name not in query:
        return None
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        raise _Error(400, "rest_invalid_param", f"Invalid parameter(s): {name}") from None
    at = at.replace(tzinfo=BEGIN.tzinfo) if at.tzinfo is None else at
    return at if query.get("dates_are_gmt") == "true" else at - ZONE


def _listed(request: Request, bodies: list[Body], total: int, size: int) -> Response:
    query = dict(request.query_params)
    pages, page = -(-total // size), int(query.get("page", "1"))
    links = []
    for number, is_there, rel in ((page - 1, page > 1, "prev"), (page + 1, page < pages, "next")):
        if is_there:
            links.append(f'<{request.url.replace(query=urlencode(query | {"page": number}))}>; rel="{rel}"')
    if "_fields" in query:
        names = query["_fields"].split(",")
        bodies = [{name: body[name] for name in names if name in body} for body in bodies]
    headers = {"X-WP-Total": str(total), "X-WP-TotalPages": str(pages)}
    return JSONResponse(bodies, headers=headers | ({"Link": ", ".join(links)} if links else {}))


def _shown(delivery: Delivery) -> Body:
    return {"headers": delivery.headers, "body": base64.b64encode(delivery.body).decode()}


def main() -> None:
    """Serve a shop until interrupted."""
    parser = argparse.ArgumentParser(description="A simulated WooCommerce shop, on the loopback interface only.")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=1000, help="users from the start, the shop's own people included")
    parser.add_argument("--orders", type=int, default=-1, help="orders from the start; half as many as users")
    parser.add_argument("--consumer-key", default="ck_invented")
    parser.add_argument("--consumer-secret", default="cs_invented")
    parser.add_argument("--webhook-secret", default="invented")
    parser.add_argument("--prefix", default="", help="where WordPress is below the root, such as /blog")
    given = parser.parse_args()
    shop = Shop(seed=given.seed, size=given.size, orders=given.orders, secret=given.webhook_secret)
    site = Site(shop, given.consumer_key, given.consumer_secret, prefix=given.prefix.rstrip("/"))
    uvicorn.run(site.app(), host="127.0.0.1", port=given.port, log_level="warning", lifespan="off")
