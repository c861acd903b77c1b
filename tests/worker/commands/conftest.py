"""Commands are run in this process, on the stack that DATABASE_URL names; no worker runs, and no broker."""

import json

import pytest
from structlog.testing import CapturingLogger
from typer.testing import CliRunner

from worker.cli import app


@pytest.fixture
def run(engine, monkeypatch):
    monkeypatch.setattr("worker.inbox.nudge.publish_once", lambda _lane: True)
    monkeypatch.setattr("worker.inbox.drain.log", CapturingLogger())  # another test's stream may be closed by now

    def run(*arguments):
        done = CliRunner().invoke(app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return run


@pytest.fixture
def ask(run):
    return lambda *arguments: json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def connection_id(ask):
    """A connection that can be read."""
    shop = ("--shop-domain", "s.myshopify.com", "--webhook-secret", "x", "--access-token", "shpat_invented_4711")
    return ask("connections", "add", "shopify", *shop)["connection_id"]
