"""The rotation of keys that `docs/operating.md` describes: no web process of any step answers 503."""

import os
import subprocess
import sys
import uuid
from contextlib import ExitStack, contextmanager

import httpx
import pytest
from cryptography.fernet import Fernet
from typer.testing import CliRunner

from connectors.shopify.simulator.shop import signed
from tests.flows.stack import wait_until
from worker import settings
from worker.cli import app
from worker.stack.processes import free_port

A, B = Fernet.generate_key().decode(), Fernet.generate_key().decode()
#: the keys of all processes after each documented step
STEPS = (f"{A}", f"{A},{B}", f"{B},{A}", f"{B}")


@pytest.fixture
def operator(engine, database_url, monkeypatch):
    """Run commands as an operator would whose environment has these keys."""

    def command(keys, *arguments):
        monkeypatch.setenv("CONTACTSYNC_SECRET_KEYS", keys)
        settings.reload()
        done = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    yield command
    monkeypatch.undo()
    settings.reload()


@contextmanager
def web(database_url, keys, directory):
    """Run a web process with these keys; yield its origin."""
    port = free_port()
    env = {**os.environ, "DATABASE_URL": database_url, "CONTACTSYNC_SECRET_KEYS": keys, "REDIS_URL": ""}
    command = [sys.executable, "-m", "uvicorn", "worker.api.app:app", "--port", str(port)]
    with (directory / f"{port}.log").open("wb") as log, subprocess.Popen(command, env=env, stderr=log) as process:
        try:
            wait_until(lambda: _is_ready(port), 30)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _is_ready(port):
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.TransportError:
        return False


def test_no_step_of_the_rotation_answers_503(operator, database_url, tmp_path):
    shown = operator(A, "connections", "add", "shopify", "--shop-domain", "s.myshopify.com", "--webhook-secret", "s1")
    path = "/webhooks/" + shown.partition("/webhooks/")[2].partition('"')[0]
    con = path.rpartition("/")[2]
    answers = []

    def post(origin, secret):
        body = {"id": 1, "updated_at": "2026-10-01T00:00:00Z"}
        one = signed(body, secret, topic="customers/update", domain="s.myshopify.com", webhook_id=str(uuid.uuid4()))
        answers.append(httpx.post(origin + path, content=one.body, headers=one.headers, trust_env=False).status_code)

    with ExitStack() as running:
        webs = [running.enter_context(web(database_url, keys, tmp_path)) for keys in STEPS]
        for step, keys in enumerate(STEPS):
            # While processes are started again one by one, those of this step and those of the one before run at once;
            # whatever an operator or a worker writes meanwhile, with the keys of this step, both must be able to read.
            if keys == B:
                operator(STEPS[step - 1], "secrets", "reencrypt")
            else:
                operator(keys, "connections", "rotate-secret", con, "--webhook-secret", f"s{step + 2}")
            for origin in webs[max(0, step - 1) : step + 1]:
                wait_until(lambda origin=origin, step=step: _knows(post, origin, answers, step), 5)

    assert set(answers) <= {200, 401}  # 401: a changed secret is noticed after two seconds
    assert answers[-1] == 200


def _knows(post, origin, answers, step):
    post(origin, f"s{min(step + 2, 4)}")
    return answers[-1] == 200
