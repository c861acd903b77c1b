"""Ingest: signed webhooks against the real web process, beside empty routes of the same server."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import orjson
from sqlalchemy import text

from bench import load
from bench.events import DOMAIN, SECRET, events
from bench.stack import ROOT, Stack, until
from connectors.shopify.simulator import signed
from worker import ids
from worker.processes import free_port

CONNECTIONS = 32
_WARM_UP = 1000
_FAR_AWAY = 5_000_000
_START_S = 30.0


class Servers:
    """Two web processes of the same kind; the one that is not asked costs nothing."""

    def __init__(self, stack: Stack, ours: int, empty: int) -> None:
        self._stack = stack
        shown = ids.show(ids.CONNECTION, stack.connection_id)
        self._paths = {"ours": f"/webhooks/{shown}", "empty": "/empty", "bare": "/bare"}
        self._ports = {"ours": ours, "empty": empty, "bare": empty}
        self._round = 0
        for which in self._ports:
            self.measure(which, _WARM_UP, seconds=10)

    def measure(self, which: str, n: int, *, seconds: float) -> dict[str, Any]:
        """Send ``n`` new webhooks, or as many as the seconds allow."""
        if which == "ours":
            self._stack.empty()
        self._round += 1
        file = self._stack.directory / "requests"
        load.save(file, self._requests(which, n))
        command = (sys.executable, "-m", "bench.load", str(self._ports[which]), str(CONNECTIONS), str(seconds))
        done = subprocess.run(
            [*command, str(file)], cwd=ROOT, capture_output=True, text=True, timeout=seconds + 60, check=False
        )
        if done.returncode != 0:
            raise SystemExit(f"the load generator failed: {done.stderr[-500:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        if found["answers"].keys() != {"200"}:
            raise SystemExit(f"{which} answered {found['answers']}")
        if which == "ours":
            self._check_kept(found["requests"])
        return found

    def _requests(self, which: str, n: int) -> Iterator[bytes]:
        for delivery_id, body in events(n, start=self._round * _FAR_AWAY):
            delivery = signed(orjson.dumps(body), SECRET, domain=DOMAIN, webhook_id=delivery_id)
            yield load.request(self._paths[which], delivery.headers, delivery.body)

    def _check_kept(self, n: int) -> None:
        """Whoever was told 200 has been kept."""
        with self._stack.engine.connect() as conn:
            kept = conn.execute(text("SELECT count(*) FROM envelopes")).scalar_one()
        if kept < n:
            raise SystemExit(f"{n} requests were acknowledged and {kept} kept")


@contextmanager
def servers(stack: Stack) -> Iterator[Servers]:
    """Start both servers, warmed up."""
    ours, empty = free_port(), free_port()
    command = stack.program("web", port=ours)
    other = [part.replace("worker.api.app:app", "bench.empty:app").replace(str(ours), str(empty)) for part in command]
    with stack.running("web", command), stack.running("empty", other):
        for name, port in (("web", ours), ("empty", empty)):
            if not until(partial(_answers, port), seconds=_START_S, every_s=0.05):
                raise stack.failure(name, f"did not answer in {_START_S:.0f} s")
        yield Servers(stack, ours, empty)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection(load.HOST, port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
