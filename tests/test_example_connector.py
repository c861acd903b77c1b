"""The connector in docs/example-connector, used like a package of another author that pip installed."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from connectors.conformance import CHECKS
from connectors.reader import Request
from tests.flows.stack import RunningStack, wait_until

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "example-connector"
SOURCE = (EXAMPLE / "contactsync_pasar.py").read_text("utf-8")

#: defect: the sound source, the broken source, and the checks that must fail
BREAKS = {
    "accepts any signature": (
        '    signing.check_hmac_sha256_base64(f"{id_}.{seconds}.".encode() + body, signature, secrets)\n',
        "",
        {"verify.refuses_unsigned", "verify.refuses_tampered"},
    ),
    "quotes a value in an error": (
        'json_values.text(body, "name")}',
        '_text(body["name"])}',
        {"parse.odd_values", "parse.several_odd_values"},
    ),
    "loses a page when resumed": (
        "    following: str | None = last\n",
        "    following: str | None = str(int(last) + 2) if cursor else last\n",
        {"read.resumed", "read.try_again"},
    ),
}

_QUOTING = """

def _text(value: object) -> str:
    if not isinstance(value, str):
        raise json_values.MalformedPayloadError(f"name: expected text, got {value}")
    return value
"""


@pytest.fixture
def site(tmp_path):
    """A directory for PYTHONPATH that holds the package as pip installs it. Nothing is downloaded."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    info = tmp_path / f"contactsync_pasar-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", "utf-8"
    )
    groups = project["entry-points"].items()
    lines = [line for group, found in groups for line in (f"[{group}]", *(f"{k} = {v}" for k, v in found.items()))]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "contactsync_pasar.py").write_text(SOURCE, "utf-8")
    return tmp_path


def command(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key not in ("DATABASE_URL", "REDIS_URL")}
    return subprocess.run(
        [sys.executable, "-m", "worker.cli", "connectors", *arguments],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_package_is_found_and_passes_every_check(site: Path):
    listed = json.loads(command(site, "list", "--json").stdout)
    done = command(site, "check", "pasar")

    (row,) = [row for row in listed if row["name"] == "pasar"]
    assert row == {
        "name": "pasar",
        "package": "contactsync-pasar",
        "webhooks": True,
        "reads": True,
        "subscribes": False,
        "error": None,
    }
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed  " not in done.stdout


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_copy_fails_the_right_checks(site: Path, broken: str):
    sound, spoilt, expected = BREAKS[broken]
    assert sound in SOURCE
    (site / "contactsync_pasar.py").write_text(SOURCE.replace(sound, spoilt) + _QUOTING, "utf-8")

    done = command(site, "check", "pasar", "--json")

    answer = json.loads(done.stdout)
    assert done.returncode == 1
    assert not answer["passed"]
    assert {check["check"] for check in answer["checks"] if check["state"] == "failed"} == expected


@pytest.fixture
def package():
    """The module, imported from its file, so that this process does not register its connector."""
    spec = importlib.util.spec_from_file_location("pasar_of_a_test", EXAMPLE / "contactsync_pasar.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scripted(package):
    """The package's simulator."""
    return package.SIMULATOR()


@pytest.fixture
def shop(scripted):
    """The origin of a server that gives the answers of the simulator."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = scripted.answer(Request(url=self.path, headers=headers))
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_connector_backfills_and_takes_webhooks_in_a_running_stack(
    site: Path, package, scripted, shop: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch
):
    monkeypatch.setenv("PYTHONPATH", str(site))
    stack = RunningStack(tmp_path_factory.mktemp("pasar"), workers=1)
    stack.start()
    try:
        options = ("--source", "pasar", "--webhook-secret", "an invented secret", "--option", "shop=lantern-row")
        access = ("--credential", "access_token=pasar_token_4711", "--api-url", shop)
        connection = stack.cli("connections", "add", "custom", "pasar", *options, *access)
        run_id = stack.cli("backfill", "start", connection["connection_id"])["run_id"]
        wait_until(lambda: stack.run_state(run_id, "default") != "running", 60)
        run = stack.cli("backfill", "status", run_id)
        assert (run["state"], run["read"], run["changed"], run["parked"]) == ("done", 7, 7, 0), run

        # The deletion was sent long ago, so the shop is asked whether the customer is gone.
        scripted.external_ids = scripted.external_ids[1:]
        # The update says that the customer 70001 has no e-mail.
        update = next(one for one in package.EXAMPLES if one.topic == "customer.updated")
        deletion = next(one for one in package.EXAMPLES if one.topic == "customer.deleted")
        url = connection["webhook_url"].replace("http://127.0.0.1:8000", stack.url)
        assert httpx.post(url, content=deletion.body, headers=deletion.headers, trust_env=False).status_code == 200
        assert httpx.post(url, content=update.body, headers=deletion.headers, trust_env=False).status_code == 401

        def exported():  # in a process of its own, which can import the package
            lines = stack.run("export", "--canonical").splitlines()
            return {one["external_id"]: one for one in map(json.loads, lines)}

        wait_until(lambda: "70001" not in exported(), 30)
        lines = exported()
        assert sorted(lines) == [str(70002 + number) for number in range(6)]
        assert (lines["70002"]["email"], lines["70002"]["tags"]) == ("c70002@example.com", ["vip"])
    finally:
        stack.stop()


def test_the_example_is_as_short_as_the_guide_says():
    assert len(SOURCE.splitlines()) < 250
    assert len((EXAMPLE / "README.md").read_text("utf-8").splitlines()) <= 30


def test_the_guide_lists_every_check_with_its_promise():
    guide = (ROOT / "docs" / "connectors.md").read_text("utf-8")

    for name, check in CHECKS.items():
        promise = check.__doc__.splitlines()[0].replace("``", "`")
        assert f"| `{name}` | {promise} |" in guide
