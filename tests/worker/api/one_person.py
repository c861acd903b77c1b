"""One person: an organization that shops tell of people, and a caller of its API who sees what came of that.

Deliveries wait until the API is asked something. Then they arrive in the order of the test's world, and the real drain
works them off. In requests, ``"shop:1"``, an e-mail address, a number or a ``cnt_…`` names the person.
"""

import asyncio
import base64
import hmac
import random
from typing import Any

import httpx
import orjson

from connectors import connector
from tests.worker.api.mirror import Mirror
from tests.worker.api.shops import moment
from worker import ids
from worker.api.app import app
from worker.domain.snapshot import NewDecision
from worker.domain.terms import Decision
from worker.domain.times import microseconds
from worker.inbox.drain import drain
from worker.inbox.replay import queue_replay
from worker.store import connections, decisions
from worker.store.db import Tx
from worker.store.lanes import lane_of

E1, E2, E3, E4 = "ayu@example.com", "ayu.office@example.net", "ayu.lestari@example.org", "kedai@example.com"
P1, P2, P3 = "+6281273509100", "+6281273509110", "+6281273509120"
#: A "no" is shown as an opt-out, or as a suppression if it was said about the address that would be used.
REFUSED = ((False, "opted_out"), (False, "suppressed"))
#: The orders in which deliveries arrive. In the last one they arrive as sent, and a mirror is compared at every step.
ORDERS = ("backwards", "as sent, mirrored")
_SECRET = "whsec-invented"
_MANY = 50  #: more deliveries than these arrive in one batch in every world, because one by one they take long


class World:
    """An organization of its own, what is on its way to it, and the order in which that will arrive."""

    def __init__(self, engine, organization_id, key: str, runner: asyncio.Runner, order: str) -> None:
        self._engine, self._organization_id, self._runner, self._order = engine, organization_id, runner, order
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._http = httpx.AsyncClient(transport=transport, base_url="http://contacts", headers={"X-Api-Key": key})
        self._pending: list[tuple[str, dict[str, str], bytes]] = []
        self.api = Api(self)
        self._mirror = Mirror(self.api) if order.endswith("mirrored") else None
        self._lanes: set[int] = set()

    def connect(self, name: str, source: str, options: dict[str, str]) -> str:
        """Add a connection that may see everything; return its webhook path.

        It cannot be read from, so a deletion that was sent long ago takes effect without a reading (ADR 24).
        """
        access = {"webhook_secrets": [_SECRET]}
        with self._engine.begin() as conn:
            tx, more = Tx(conn, self._organization_id), {"options": options, "region": None, "priority": 100, **access}
            id_ = connections.insert_new(tx, connector=name, source=source, **more)
            connections.set_approved_fields(tx, id_, sorted(connector(name).PROTECTED_FIELDS))
        self._lanes.add(lane_of(id_))
        return f"/webhooks/{ids.show(ids.CONNECTION, id_)}"

    def send(self, path: str, signature: str, headers: dict[str, str], body: Any) -> None:
        """Sign a delivery and put it on its way."""
        content = orjson.dumps(body)
        signed = base64.b64encode(hmac.digest(_SECRET.encode(), content, "sha256")).decode()
        self._pending.append((path, {**headers, signature: signed}, content))

    def deliver(self) -> list[str]:
        """Let everything arrive that is on its way, and work it off; return the ids of the envelopes."""
        pending, self._pending = self._pending, []
        is_batch = self._order.startswith("in one batch") or len(pending) > _MANY
        if self._order.startswith("backwards"):
            pending.reverse()
        elif is_batch:
            random.Random(len(pending)).shuffle(pending)
        envelope_ids = []
        for number, (path, headers, content) in enumerate(pending, 1):
            answer = self.call("POST", path, headers=headers, content=content)
            assert answer.status_code == 200, answer.text
            envelope_ids.append(answer.json()["envelope_id"])
            if not is_batch or number == len(pending):
                self._work()
        return envelope_ids

    def replay(self, envelope_id: str) -> None:
        """Have an envelope read anew, as an operator."""
        with self._engine.begin() as conn:
            queue_replay(Tx(conn, self._organization_id), envelope_id)
        self._work()

    def decide(self, kind: str, a: str, b: str, *, at: float) -> None:
        """Link two customers, or keep them apart, as an operator; it takes effect with the next delivery about them.

        No route does this yet, so the decision is written where an operator's decisions are kept.
        """
        (source_a, id_a), (source_b, id_b) = a.split(":"), b.split(":")
        decision = Decision(kind, (source_a, id_a), (source_b, id_b), microseconds(moment(at)), f"operator-{at}")
        with self._engine.begin() as conn:
            decisions.ensure(Tx(conn, self._organization_id), [NewDecision(decision, "operator", None)])

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **request))

    def compare(self) -> None:
        """Compare the mirror with the store, if this world has a mirror."""
        if self._mirror is not None:
            self._mirror.follow()
            self._mirror.check()

    def _work(self) -> None:
        for lane in self._lanes:
            done = drain(self._engine, lane, budget_s=60)
            assert (done.parked, done.postponed) == (0, 0)
        self.compare()


class Api:
    """A caller of the Contacts API who may write."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request about contacts, after everything that is on its way."""
        self._world.deliver()
        return self._world.call(method, f"/v1/contacts{path}", **request)

    def write(self, method: str, who: str | None, rest: str = "", /, **fields: Any) -> Any:
        """Write about a person, or with None about nobody yet; return the data of the answer."""
        body = {"json": fields} if method != "DELETE" else {}
        answer = self.ask(method, ("" if who is None else self._path(who)) + rest, **body)
        assert answer.status_code in (200, 201, 204), answer.text
        self._world.compare()
        return answer.json()["data"] if answer.content else None

    def rows(self, who: str | None, rest: str = "", **params: Any) -> list[Any]:
        """Return all rows of a list, of a person or with None of everybody."""
        path, rows, cursor = ("" if who is None else self._path(who)) + rest, [], {}
        while True:
            answer = self.ask("GET", path, params={**params, **cursor})
            assert answer.status_code == 200, answer.text
            rows += answer.json()["data"]
            cursor = {"cursor": answer.json()["meta"]["next_cursor"]}
            if cursor["cursor"] is None or not answer.json()["data"]:
                return rows

    def contact(self, who: str) -> Any:
        """Return the contact that somebody leads to; None if it is nobody."""
        source, _, value = who.rpartition(":")
        kind = "external_id" if source else "email" if "@" in who else "phone"
        if who.startswith("cnt_"):
            answer = self.ask("GET", f"/{who}")
        else:
            given = {"type": kind, "value": value, **({"source": source} if source else {})}
            answer = self.ask("POST", "/resolve", json={"identifiers": [given]})
        assert answer.status_code in (200, 404), answer.text
        return answer.json()["data"] if answer.status_code == 200 else None

    def id(self, who: str) -> str | None:
        contact = self.contact(who)
        return contact and contact["id"]

    def sendable(self, who: str, channel: str = "email", purpose: str = "marketing") -> tuple[bool, str]:
        """Return whether a message may be sent, and to which address, else the reason why not.

        The consent that a contact shows must never disagree with the answer.
        """
        path, query = self._path(who), {"channel": channel, "purpose": purpose}
        answer = self.ask("GET", f"{path}/sendability", params=query).json()["data"]
        shown = [row for row in self.rows(who, "/consents") if query.items() <= row.items()]
        assert shown == ([] if answer["consent"] is None else [answer["consent"]])
        status = shown[0]["status"] if shown else None
        if answer["sendable"]:
            assert status == "opted_in" or (purpose != "marketing" and status != "opted_out")
            return True, answer["address"]
        assert status == "opted_out" or answer["reason"] != "opted_out"
        return False, answer["reason"]

    def _path(self, who: str) -> str:
        return f"/{who if who.startswith('cnt_') else self.id(who)}"
