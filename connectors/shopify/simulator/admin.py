"""A simulated Admin API of a shop of any size, for tests and trials, on the loopback interface only.

    python -m connectors.shopify.simulator --port 8900 --seed 7 --size 200000 --token shpat_invented

It knows the operations of Shopify's reader by name, and answers any other operation with an error.
``POST /_control/faults`` sets faults. ``POST /_control/change``, ``create`` and ``delete`` change customers, and answer
with the webhooks that Shopify would send. ``GET /_control/stats`` counts, and ``GET /_control/credentials`` returns
the tokens for a connection that is added now.
"""

import argparse
import base64
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from email.utils import formatdate
from itertools import islice
from typing import Any
from urllib.parse import parse_qs

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from connectors.shopify.simulator.bulk import Bulk
from connectors.shopify.simulator.customers import Population, altered
from connectors.shopify.simulator.faults import Faults
from connectors.shopify.simulator.graphql import Api
from connectors.shopify.simulator.webhooks import deletion, deliveries_about
from connectors.simulation.deliveries import Delivery

DOMAIN = "simulated.myshopify.com"


class SimulatedShop:
    """One shop and its API; ``app`` is the ASGI application."""

    def __init__(
        self,
        seed: int,
        size: int,
        *,
        token: str = "shpat_invented",  # noqa: S107 - invented, as all here
        refresh_token: str = "",
        client: tuple[str, str] = ("invented client", "invented client secret"),
        secret: str = "invented webhook secret",  # noqa: S107
        domain: str = DOMAIN,
        token_seconds: int = 3600,
        bulk_seconds: float = 2.0,
        restore_rate: int = 100,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.customers = Population(seed, size)
        self.faults = Faults()
        self.bulk = Bulk(self.customers, self.faults, clock, bulk_seconds)
        self.api = Api(self.customers, self.bulk, self.faults, clock, restore_rate)
        self.requests: Counter[str] = Counter()
        self.token = token
        self.refresh_tokens = {refresh_token} - {""}
        self._fresh = refresh_token
        self._client = client
        self._secret = secret
        self._domain = domain
        self._token_seconds = token_seconds
        self._dies_at = clock() + token_seconds if refresh_token else float("inf")
        self._clock = clock
        self._tokens = 0
        self._sent = 0
        self._rng = random.Random(seed)  # noqa: S311 - a story to be told again, not a secret
        self.app = Starlette(
            routes=[
                Route("/admin/api/{version}/graphql.json", self._graphql, methods=["POST"]),
                Route("/admin/oauth/access_token", self._renew, methods=["POST"]),
                Route("/_bulk/{number}/{name}", self.bulk.download),
                Route("/_control/faults", self._set_faults, methods=["POST"]),
                Route("/_control/change", self._change, methods=["POST"]),
                Route("/_control/create", self._create, methods=["POST"]),
                Route("/_control/delete", self._delete, methods=["POST"]),
                Route("/_control/stats", self._stats),
                Route("/_control/credentials", self._credentials),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        yield
        self.bulk.close()

    async def _graphql(self, request: Request) -> Response:
        self.requests["graphql"] += 1
        if self.refresh_tokens and self.faults.due("expire_token_every"):
            self._dies_at = 0
        given = request.headers.get("x-shopify-access-token")
        if given != self.token or self._clock() >= self._dies_at:
            return self._json({"errors": "[API] Invalid API key or access token (unrecognized login)"}, 401)
        if status := self.faults.number("status"):
            return self._json({"errors": "Unavailable Shop"}, status)
        if self.faults.due("error_every"):
            return HTMLResponse("<html>503</html>", 503)
        if self.faults.due("html_every"):
            return HTMLResponse("<html><title>Something went wrong</title></html>", 200, self._dated())
        body = orjson.loads(await request.body())
        operation = body.get("operationName") or ""
        self.requests[operation] += 1
        return self._json(self.api.answer(operation, body["query"], body.get("variables") or {}, self._base(request)))

    async def _renew(self, request: Request) -> Response:
        """Renew an expiring offline token; the old refresh token is valid until the new one is used."""
        self.requests["renewals"] += 1
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        known = (form.get("client_id", ""), form.get("client_secret", "")) == self._client
        used = form.get("refresh_token", "")
        if not known or form.get("grant_type") != "refresh_token" or used not in self.refresh_tokens:
            return self._json({"error": "invalid_request"}, 400)
        self._tokens += 1
        self.token, self._fresh = f"shpat_invented_{self._tokens}", f"shprt_invented_{self._tokens}"
        self.refresh_tokens = {used, self._fresh}
        self._dies_at = self._clock() + self._token_seconds
        answer = {"access_token": self.token, "expires_in": self._token_seconds, "scope": "read_customers"}
        return self._json(answer | {"refresh_token": self._fresh, "refresh_token_expires_in": 7_776_000})

    async def _credentials(self, _request: Request) -> Response:
        """Return the tokens that are valid now; the first ones die after the second renewal."""
        return self._json({"access_token": self.token, "refresh_token": self._fresh})

    async def _set_faults(self, request: Request) -> Response:
        try:
            return self._json(self.faults.change(await request.json()))
        except KeyError as error:
            return self._json({"error": f"no such fault: {error}"}, 400)

    async def _change(self, request: Request) -> Response:
        command = await request.json()
        return self._delivered(self.change(self._chosen(command), command.get("seed")))

    async def _create(self, request: Request) -> Response:
        return self._delivered(self.create(int((await request.json()).get("count", 1))))

    async def _delete(self, request: Request) -> Response:
        return self._delivered(self.delete(self._chosen(await request.json(), is_last=True)))

    async def _stats(self, _request: Request) -> Response:
        counts = {"requests": self.requests, "faults": self.faults.happened, "bulk": self.bulk.served}
        shop = {"customers": len(self.customers), "operations": len(self.bulk.operations)}
        return self._json(shop | {name: dict(count) for name, count in counts.items()})

    def change(self, numbers: Sequence[int], seed: object = None) -> list[Delivery]:
        """Change these customers now; return the webhooks about the changes."""
        rng = self._rng if seed is None else random.Random(f"{seed}")  # noqa: S311
        deliveries: list[Delivery] = []
        for number in numbers:
            second = int(self._clock())
            customer, changed = altered(self.customers.customer(number), rng, second)
            before = self.customers.customer(number)
            self.customers.keep(number, customer, second)
            deliveries += self._signed(deliveries_about(before, customer, changed))
        return deliveries

    def create(self, count: int) -> list[Delivery]:
        """Add customers now; return a webhook for each. Their tags and consent have no webhook."""
        added = [self.customers.customer(self.customers.add(int(self._clock()))) for _ in range(count)]
        return [sent for new in added for sent in self._signed(deliveries_about({}, new, ["create"]))]

    def delete(self, numbers: Sequence[int]) -> list[Delivery]:
        """Delete these customers now; return the webhooks about that."""
        gone = [self.customers.customer(number) for number in numbers]
        for number in numbers:
            self.customers.delete(number)
        return [sent for customer in gone for sent in self._signed([deletion(customer)])]

    def _signed(self, webhooks: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[Delivery]:
        for topic, body in webhooks:
            self._sent += 1
            yield self.api.signed(topic, body, self._secret, self._domain, self._sent)

    def _chosen(self, command: dict[str, Any], *, is_last: bool = False) -> list[int]:
        if "numbers" in command:
            gids = (self.customers.gid(int(number)) for number in command["numbers"])
            return [number for gid in gids if (number := self.customers.number_of(gid)) is not None]
        count = int(command.get("count", 1))
        if is_last:  # Shopify deletes no customer with orders
            numbers = reversed(range(self.customers.size + self.customers.added))
            free = (
                n for n in numbers if n not in self.customers.deleted and not self.customers.customer(n)["lastOrder"]
            )
            return list(islice(free, count))
        everybody = list(self.customers.numbers())
        return self._rng.sample(everybody, min(count, len(everybody)))

    def _delivered(self, deliveries: Sequence[Delivery]) -> Response:
        return self._json(
            [
                {"topic": sent.topic, "headers": sent.headers, "body": base64.b64encode(sent.body).decode()}
                for sent in deliveries
            ]
        )

    def _base(self, request: Request) -> str:
        return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"

    def _dated(self) -> dict[str, str]:
        return {"Date": formatdate(self._clock(), usegmt=True)}

    def _json(self, content: Any, status: int = 200) -> Response:
        return Response(orjson.dumps(content), status, self._dated(), "application/json")


def main() -> None:
    """Serve a simulated shop until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m connectors.shopify.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8900)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--token", default="shpat_invented")
    parser.add_argument("--refresh-token", default="")
    parser.add_argument("--client-id", default="invented client")
    parser.add_argument("--client-secret", default="invented client secret")
    parser.add_argument("--token-seconds", type=int, default=3600)
    parser.add_argument("--secret", default="invented webhook secret", help="signs the webhooks")
    parser.add_argument("--domain", default=DOMAIN)
    parser.add_argument("--bulk-seconds", type=float, default=2.0, help="a bulk operation takes at least so long")
    parser.add_argument("--restore-rate", type=int, default=1000, help="points a second: 100 standard, 1000 Plus")
    parser.add_argument("--faults", type=json.loads, default={}, help='JSON, e.g. {"throttle_every": 5}')
    given = parser.parse_args()
    shop = SimulatedShop(
        given.seed,
        given.size,
        token=given.token,
        refresh_token=given.refresh_token,
        client=(given.client_id, given.client_secret),
        secret=given.secret,
        domain=given.domain,
        token_seconds=given.token_seconds,
        bulk_seconds=given.bulk_seconds,
        restore_rate=given.restore_rate,
    )
    shop.faults.change(given.faults)
    # uvicorn would log each cut connection as an error of the application.
    uvicorn.run(shop.app, host="127.0.0.1", port=given.port, log_level="critical", date_header=False)
