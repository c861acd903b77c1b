"""Recorded requests and the events they must give, one pair of files for each.

``payloads/<connector>/<name>.json`` is a request: ``topic``, ``body``, and if they
matter ``headers`` and ``account``. ``<name>.events.json`` has its events, without
fields that equal their defaults. This prints the events of a new request for review:

    python -m tests.connectors.recorded shopify/customers_update
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from connectors import CONNECTORS
from connectors.conformance import Example, written
from connectors.contract import Account, Connector, Envelope

PAYLOADS = Path(__file__).parent / "payloads"
VECTOR = "signature_vector.json"


@dataclass(frozen=True)
class Request:
    connector: Connector
    path: Path

    @cached_property
    def content(self) -> dict[str, Any]:
        return json.loads(self.path.read_text("utf-8"))

    @property
    def expected(self) -> list[dict[str, Any]]:
        return json.loads(self.path.with_suffix(".events.json").read_text("utf-8"))

    @cached_property
    def envelope(self) -> Envelope:
        return an_envelope(self.content["topic"], self.content["body"], headers=self.content.get("headers", {}))

    @property
    def account(self) -> Account:
        given = self.content.get("account", {})
        return Account(
            source=self.connector.name,
            approved_fields=frozenset(given.get("approved_fields", ())),
            options=given.get("options", {}),
        )

    @cached_property
    def example(self) -> Example:
        """The same as the conformance suite takes it."""
        return Example(
            name=self.path.stem,
            topic=self.content["topic"],
            headers=self.envelope.headers,
            body=self.envelope.body,
            account=self.account,
            events=self.expected,
        )


def an_envelope(topic: str, body: object, *, headers: Mapping[str, str] | None = None) -> Envelope:
    """Return an envelope around ``body``; anything but bytes is written as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    return Envelope(topic=topic, delivery_id="delivery", sent_at=None, headers=headers or {}, body=raw)


def requests() -> list[Request]:
    return [
        Request(connector, path)
        for name, connector in CONNECTORS.items()
        for path in sorted((PAYLOADS / name).glob("*.json"))
        if path.name != VECTOR and not path.name.endswith(".events.json")
    ]


def examples(name: str) -> list[Example]:
    """Return the recorded requests of a connector as examples, and its signature vector."""
    recorded = [request.example for request in requests() if request.connector is CONNECTORS[name]]
    path = PAYLOADS / name / VECTOR
    if path.exists():
        vector = json.loads(path.read_text("utf-8"))
        signed = Example(
            name=path.stem,
            topic="",
            headers=vector["headers"],
            body=vector["body"].encode(),
            secrets=vector["secrets"],
        )
        recorded.append(signed)
    return recorded


if __name__ == "__main__":
    name, _, stem = sys.argv[1].partition("/")
    request = Request(CONNECTORS[name], PAYLOADS / name / f"{stem}.json")
    events = [written(event) for event in request.connector.parse(request.envelope, request.account)]
    sys.stdout.write(json.dumps(events, indent=2, ensure_ascii=False) + "\n")
