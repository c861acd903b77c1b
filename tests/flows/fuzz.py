"""The API against its own document, with requests that Schemathesis makes up: `make fuzz`, or a short run as a test.

Both take their options from ``schemathesis.toml``; this adds how much, and against what.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.flows.stack import RunningStack

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SCOPES = ["--scope", "contacts:read", "--scope", "contacts:write"]


def fuzz(stack: RunningStack, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis against a stack; its exit code is 0 if it found nothing."""
    keys = directory / "keys.json"
    keys.write_text(json.dumps({"auth": [_key(stack, name) for name in ("one", "other")]}))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
    environment = {**os.environ, "FUZZ_KEYS": str(keys), "PYTHONPATH": str(ROOT), "COLUMNS": "120"}
    return subprocess.run(
        [*command, *options, f"{stack.url}/openapi.json"],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
    )


def _key(stack: RunningStack, organization: str) -> dict[str, object]:
    key = stack.cli("keys", "create", *SCOPES, "--rate-limit", "1000000", "--organization", f"fuzz-{organization}")[
        "key"
    ]
    return {"name": organization, "fixedHeaders": [{"name": "X-Api-Key", "value": key}]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="cases for each operation and phase")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="contactsync-fuzz-") as directory:
        stack = RunningStack(Path(directory), workers=1)
        stack.start()
        try:
            done = fuzz(stack, Path(directory), "--max-examples", str(arguments.examples))
        finally:
            stack.stop()
    print(done.stdout, done.stderr, sep="\n")  # noqa: T201 - a command
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
