"""Schemathesis sends the API requests that it generates from the API's document: `make fuzz`, or a short run as a test.

Both runs take their options from ``schemathesis.toml``. This module adds the stack, the keys and the number of cases.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx

from tests.flows.stack import RunningStack
from worker.api import examples

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCOPES = ["--scope", "contacts:read", "--scope", "contacts:write"]
#: Cases for each operation. Schemathesis stops early when its cases repeat, but makes at least two thirds of these.
EXAMPLES = 300
#: Few contacts are deleted in the first pass, because other operations need them. The second pass only deletes.
PASSES = ((), ("--include-method", "DELETE", "--phases", "fuzzing"))


def fuzz(stack: RunningStack, directory: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Run Schemathesis against a stack; return its report and its output."""
    keys, report, calls = directory / "keys.json", directory / "report.json", directory / "calls.txt"
    keys.write_text(json.dumps({"auth": [_create_key(stack, name) for name in ("one", "other")]}))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "--no-color"]
    options = ("run", *options, "--report", "json", "--report-json-path", str(report), f"{stack.url}/openapi.json")
    environment = {
        **os.environ,
        "FUZZ_KEYS": str(keys),
        "FUZZ_CALLS": str(calls),
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    done = subprocess.run([*command, *options], cwd=directory, env=environment, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert report.exists(), output
    tried = Counter(calls.read_text("utf-8").splitlines())
    calls.unlink()
    return {**json.loads(report.read_text()), "exit_code": done.returncode, "tried": tried}, output


def _create_key(stack: RunningStack, name: str) -> dict[str, object]:
    """Make a key to a new organization that has the contact Ujang."""
    key = stack.cli("keys", "create", *SCOPES, "--rate-limit", "1000000", "--organization", f"fuzz-{uuid4()}")["key"]
    headers = {"X-Api-Key": key}
    (ujang, *_) = examples.REQUESTS["upsert_contact"].values()
    httpx.post(f"{stack.url}/v1/contacts", json=ujang, headers=headers, trust_env=False).raise_for_status()
    return {"name": name, "fixedHeaders": [{"name": name, "value": value} for name, value in headers.items()]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="most cases for each operation")
    parser.add_argument("--seed", help="of a run to repeat")
    arguments = parser.parse_args()
    options = ["--max-examples", str(arguments.examples), *(["--seed", arguments.seed] if arguments.seed else [])]
    with tempfile.TemporaryDirectory(prefix="contactsync-fuzz-") as directory:
        Path(directory).chmod(0o755)  # Postgres, started by root, runs under another account
        stack = RunningStack(Path(directory), workers=1)
        stack.start()
        try:
            passes = [fuzz(stack, Path(directory), *options, *of_pass) for of_pass in PASSES]
        finally:
            stack.stop()
    tried: Counter[str] = Counter()
    for report, output in passes:
        print(output)  # noqa: T201 - a command
        tried += report["tried"]
    for operation, count in sorted(tried.items(), key=lambda pair: pair[1]):
        print(f"{count:>6} requests  {operation}")  # noqa: T201
    return max(int(report["exit_code"]) for report, _ in passes)


if __name__ == "__main__":
    sys.exit(main())
